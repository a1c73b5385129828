import { Director, View } from 'rostra';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { FakePeer, FakeSocket, install, uninstall } from '../../js/test/fakes.js';
import { isVoice, shareOf, VOICES } from '../src/voices.js';

beforeEach(() => {
  install();
  Director.setEndpoint('https://rostra.example');
});
afterEach(uninstall);

it('tells the sound of the main picture from the voices behind it', async () => {
  const view = new View(() => Director.getSubscriber({ streamName: 'demo' }));
  await view.connect(VOICES);
  const found: boolean[] = [];
  view.on('track', (event) => found.push(isVoice(view, event)));
  FakeSocket.last.event('active', { sourceId: null, tracks: [] });
  expect(FakePeer.last.transceivers.map(({ kind }) => kind)).toEqual([
    'video',
    ...Array(4).fill('audio'),
  ]);
  expect(found).toEqual([false, false, true, true, true]);
});

it('asks for who talks beside everything that a view hears anyway', () => {
  expect(VOICES.events).toEqual(expect.arrayContaining(['active', 'layers', 'vad', 'speakers']));
});

it.each([
  [0, 100],
  [-30, 50],
  [-60, 0],
  [-127, 0],
])('draws a level of %d dBov as %d %%', (level, share) => {
  expect(shareOf(level)).toBe(share);
});
