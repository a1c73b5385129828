import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Director, Publish, speakersOf, VIEW_EVENTS, View, vadOf } from '../src/index.js';
import {
  FakePeer,
  FakeSocket,
  FakeStream,
  FakeTrack,
  install,
  settle,
  uninstall,
} from './fakes.js';

beforeEach(() => {
  install();
  Director.setEndpoint('https://rostra.example');
});
afterEach(uninstall);

const token = () => Director.getSubscriber({ streamName: 'demo', streamAccountId: 'k9Mwad' });
const trackOf = (mid: number) =>
  FakePeer.last.transceivers[mid]?.receiver.track as unknown as MediaStreamTrack;

async function listening(options = {}): Promise<View> {
  const view = new View(token);
  await view.connect({ multiplexedAudioTracks: 2, ...options });
  FakePeer.last.become('connected');
  return view;
}

const hear = (mediaId: string, sourceId: string | null, more = {}) =>
  FakeSocket.last.event('vad', { mediaId, sourceId, ...more });

async function outage(): Promise<void> {
  FakePeer.last.become('failed');
  await settle();
  FakePeer.last.become('connected');
}

function voicesOf(view: View): unknown[][] {
  const heard: unknown[][] = [];
  view.on('vad', ({ mediaId, sourceId, track }) => heard.push([mediaId, sourceId, track]));
  return heard;
}

describe('vad events', () => {
  it('name the track and its source, and tell nobody from the main source', async () => {
    const view = await listening();
    const heard = voicesOf(view);
    hear('2', 'alice');
    hear('3', null, { main: true });
    hear('2', null);
    expect(heard).toEqual([
      ['2', 'alice', trackOf(2)],
      ['3', null, trackOf(3)],
      ['2', undefined, trackOf(2)],
    ]);
  });

  it('come as broadcastEvent too, as the server sent them, and first', async () => {
    const view = await listening();
    const order: string[] = [];
    view.on('vad', () => order.push('vad'));
    view.on('broadcastEvent', ({ name, data }) => order.push(name, JSON.stringify(data)));
    hear('2', 'alice');
    expect(order).toEqual(['vad', '{"mediaId":"2","sourceId":"alice"}', 'vad']);
  });

  it('end with the connection, for those that are heard, once', async () => {
    const view = await listening();
    hear('2', 'alice');
    hear('3', 'bob');
    hear('3', null);
    const before = trackOf(2);
    const heard = voicesOf(view);
    await outage();
    expect(heard).toEqual([['2', undefined, before]]);
    hear('2', 'bob');
    expect(heard[1]).toEqual(['2', 'bob', trackOf(2)]);
    view.stop();
    expect(heard[2]?.slice(0, 2)).toEqual(['2', undefined]);
    expect(heard).toHaveLength(3);
  });
});

describe('sourceOf', () => {
  it('finds a source by track, by transceiver and by mid', async () => {
    const view = await listening();
    hear('2', 'alice');
    const [transceiver] = (view.webRTCPeer?.getTransceivers() ?? []).slice(2);
    expect(view.sourceOf('2')).toBe('alice');
    expect(view.sourceOf(trackOf(2))).toBe('alice');
    expect(transceiver && view.sourceOf(transceiver)).toBe('alice');
    expect(view.sourceOf('3')).toBeUndefined();
    expect(view.sourceOf('9')).toBeUndefined();
    expect(view.sourceOf(null)).toBeUndefined();
    expect(view.sourceOf(new FakeTrack('audio') as unknown as MediaStreamTrack)).toBeUndefined();
  });

  it('is right already while an event is handled', async () => {
    const view = await listening();
    const found: unknown[] = [];
    view.on('broadcastEvent', () => found.push(view.sourceOf('2')));
    view.on('vad', () => found.push(view.sourceOf('2')));
    hear('2', 'alice');
    hear('2', null, { main: true });
    hear('2', null);
    expect(found).toEqual(['alice', 'alice', null, null, undefined, undefined]);
  });

  it('knows the pinned source, and what was projected instead', async () => {
    const view = await listening({ pinnedSourceId: 'host' });
    expect([view.sourceOf('0'), view.sourceOf('1')]).toEqual(['host', 'host']);
    await view.project('bob', [{ media: 'audio' }]);
    await view.project(null, [{ media: 'video' }]);
    expect([view.sourceOf('0'), view.sourceOf('1')]).toEqual([null, 'bob']);
    await view.unproject(['1']);
    expect(view.sourceOf('1')).toBeUndefined();
  });

  it('is the main source on the main tracks where none is pinned', async () => {
    const view = await listening();
    expect([view.sourceOf('0'), view.sourceOf('1')]).toEqual([null, null]);
  });

  it('goes by the projection while a track is out of the pool', async () => {
    const view = await listening();
    hear('2', 'alice');
    await view.project('bob', [{ media: 'audio', mediaId: '2' }]);
    expect(view.sourceOf('2')).toBe('bob');
    hear('2', null);
    await view.unproject(['2']);
    expect(view.sourceOf('2')).toBeUndefined();
    hear('2', 'carol');
    expect(view.sourceOf('2')).toBe('carol');
  });

  it('knows nothing of a connection that was lost, and all of the next one', async () => {
    const view = await listening({ pinnedSourceId: 'host' });
    FakeSocket.last.event('active', { sourceId: 'bob', tracks: [] });
    await view.addRemoteTrack('audio', [new FakeStream() as unknown as MediaStream]);
    await view.project('bob', [{ media: 'audio', mediaId: '4' }]);
    hear('2', 'alice');
    const old = trackOf(2);
    await outage();
    await settle();
    expect(view.sourceOf(old)).toBeUndefined();
    expect(view.sourceOf('2')).toBeUndefined();
    // Not projected again before its source is live again.
    expect(view.sourceOf('4')).toBeUndefined();
    expect(view.sourceOf(trackOf(1))).toBe('host');
    hear('2', 'bob');
    FakeSocket.last.event('active', { sourceId: 'bob', tracks: [] });
    await settle();
    expect(view.sourceOf(trackOf(2))).toBe('bob');
    expect(view.sourceOf(trackOf(4))).toBe('bob');
    view.stop();
    expect(view.sourceOf('2')).toBeUndefined();
  });
});

describe('speakers events', () => {
  const speakers = [
    { sourceId: 'alice', level: -23 },
    { sourceId: null, level: -40 },
  ];

  it('are not asked for by default', () => {
    expect(VIEW_EVENTS).toContain('vad');
    expect(VIEW_EVENTS).not.toContain('speakers');
  });

  it('come typed to viewers and publishers, and end with the connection', async () => {
    const view = await listening({ events: [...VIEW_EVENTS, 'speakers'] });
    const heard: unknown[] = [];
    view.on('speakers', (event) => heard.push(event));
    FakeSocket.last.event('speakers', { speakers });
    await outage();
    await outage();
    expect(heard).toEqual([{ speakers }, { speakers: [] }]);
    view.stop();
    expect(heard).toHaveLength(2);

    const publish = new Publish(() => Director.getPublisher({ token: 'x', streamName: 'demo' }));
    publish.on('speakers', (event) => heard.push(event));
    const mediaStream = new FakeStream([new FakeTrack('audio')]) as unknown as MediaStream;
    await publish.connect({ mediaStream, events: ['speakers'] });
    FakeSocket.last.event('speakers', { speakers });
    publish.stop();
    expect(heard.slice(2)).toEqual([{ speakers }, { speakers: [] }]);
  });
});

describe('what servers send', () => {
  it.each([
    [{ name: 'active', data: { mediaId: '2', sourceId: 'x' } }, undefined],
    [{ name: 'vad', data: {} }, undefined],
    [
      { name: 'vad', data: { mediaId: 2, sourceId: 'x' } },
      { mediaId: '2', sourceId: 'x' },
    ],
    [
      { name: 'vad', data: { mediaId: '2' } },
      { mediaId: '2', sourceId: undefined },
    ],
    [{ name: 'vad', data: { mediaId: '2', sourceId: null, main: 1 } }, { mediaId: '2' }],
  ])('as vad is checked: %j', (event, expected) => {
    expect(vadOf(event)).toEqual(expected);
  });

  it.each([
    [{ name: 'vad', data: { speakers: [] } }, undefined],
    [{ name: 'speakers', data: {} }, undefined],
    [{ name: 'speakers', data: { speakers: [null, {}, { sourceId: 'x' }] } }, { speakers: [] }],
    [
      { name: 'speakers', data: { speakers: [{ sourceId: 'x', level: -1, more: 1 }] } },
      { speakers: [{ sourceId: 'x', level: -1 }] },
    ],
  ])('as speakers is checked: %j', (event, expected) => {
    expect(speakersOf(event)).toEqual(expected);
  });
});
