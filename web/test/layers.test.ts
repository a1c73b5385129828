import { Director, type LayersData, type MediaLayers, View } from 'rostra';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  FakePeer,
  FakeSocket,
  FakeStream,
  install,
  settle,
  uninstall,
} from '../../js/test/fakes.js';
import { choiceInWords, choicesOf, isOff, shownInWords } from '../src/layer-words.js';
import { AUTOMATIC, Stage } from '../src/stage.js';

const entry = (encodingId: string, simulcastIdx: number, spatial = 255, temporal = 255) => ({
  encodingId,
  simulcastIdx,
  spatialLayerId: spatial,
  temporalLayerId: temporal,
});
const simulcast: MediaLayers = {
  active: [
    { id: 'f', simulcastIdx: 1, height: 720, fps: 30, layers: [] },
    { id: 'q', simulcastIdx: 0, height: 180, fps: 15, layers: [] },
  ],
  inactive: [{ id: 'h' }],
  layers: [
    { ...entry('f', 1), bitrate: 1_810_000, height: 720 },
    { ...entry('q', 0), bitrate: 90_000 },
  ],
};
const scalable: MediaLayers = {
  active: [{ id: '0', simulcastIdx: 0, height: 720, fps: 30, layers: [] }],
  inactive: [],
  layers: [
    { ...entry('0', 0, 1, 2), bitrate: 900_000, height: 720 },
    { ...entry('0', 0, 0, 2), bitrate: 300_000, height: 360 },
    { ...entry('0', 0, 1, 0), bitrate: 400_000, height: 720 },
  ],
};
const selected = (encodingId: string, spatial = 255, temporal = 255) => ({
  selected: { encodingId, spatialLayerId: spatial, temporalLayerId: temporal },
});

describe('layers in words', () => {
  it('have height, frames and rate of an encoding', () => {
    expect(choicesOf(simulcast).map((one) => choiceInWords(one, simulcast))).toEqual([
      '720p · 30 fps · 1.8 Mb/s',
      '180p · 15 fps · 90 kb/s',
    ]);
  });

  it('name the layers of an encoding that has them, and not its frames', () => {
    expect(choicesOf(scalable).map((one) => choiceInWords(one, scalable))).toEqual([
      '720p · S1 T2 · 900 kb/s',
      '720p · S1 T0 · 400 kb/s',
      '360p · S0 T2 · 300 kb/s',
    ]);
  });

  it('make do with the id', () => {
    const bare = { active: [], inactive: [], layers: [entry('x', 0)] };
    expect(choiceInWords(entry('x', 0), bare)).toBe('Encoding x');
  });

  it.each([
    ['an encoding', { ...simulcast, ...selected('q') }, '180p'],
    ['a layer', { ...scalable, ...selected('0', 0, 2) }, '360p S0 T2'],
    ['all of an encoding', { ...scalable, ...selected('0') }, '720p'],
    ['all frames of a layer', { ...scalable, ...selected('0', 0) }, '360p S0'],
    ['an encoding that has just ended', { ...simulcast, ...selected('h') }, 'Encoding h'],
    ['nothing', { ...simulcast, selected: null }, 'nothing'],
    ['nothing for want of a line', { ...simulcast, selected: null, limited: true }, 'off'],
    ['what an older server does not tell', simulcast, ''],
    ['no report', undefined, ''],
  ] as [string, MediaLayers | undefined, string][])('say that %s is shown', (_, media, words) => {
    expect(shownInWords(media)).toBe(words);
  });

  it('a picture is off only while nothing of it is sent', () => {
    expect(isOff({ ...simulcast, selected: null, limited: true })).toBe(true);
    expect(isOff({ ...simulcast, ...selected('q'), limited: true })).toBe(false);
    expect(isOff({ ...simulcast, selected: null })).toBe(false);
  });
});

describe('the stage', () => {
  const tracks = [
    { trackId: 'v', media: 'video' },
    { trackId: 'a', media: 'audio' },
  ];
  const active = (sourceId: string | null) => FakeSocket.last.event('active', { sourceId, tracks });
  const projected = () => FakeSocket.last.commands('project').map(({ data }) => data);
  const [best] = simulcast.layers;

  beforeEach(() => {
    install();
    vi.stubGlobal('MediaStream', FakeStream);
    Director.setEndpoint('https://rostra.example');
  });
  afterEach(uninstall);

  async function staged(): Promise<Stage> {
    const view = new View(() => Director.getSubscriber({ streamName: 'demo' }));
    const stage = new Stage(view, () => undefined);
    view.on('broadcastEvent', (event) => stage.heard(event));
    await view.connect();
    FakePeer.last.become('connected');
    active(null);
    active('cam2');
    await settle();
    FakeSocket.last.sent.length = 0;
    return stage;
  }

  it('sends the chosen entry back whole, to where the source is shown', async () => {
    const stage = await staged();
    stage.choose(null, { layer: best, promote: false });
    stage.choose('cam2', { layer: undefined, promote: true });
    await settle();
    expect(projected()).toEqual([
      {
        sourceId: null,
        mapping: [{ media: 'video', mediaId: '0', layer: best, promote: false }],
      },
      {
        sourceId: 'cam2',
        mapping: [{ media: 'video', mediaId: '2', layer: { maxHeight: 240 }, promote: true }],
      },
    ]);
    expect(stage.choice.layer).toBe(best);
    expect(stage.strip[0]?.choice.promote).toBe(true);
  });

  it('shows who talks, until nobody does or the connection is gone', async () => {
    const stage = await staged();
    const talk = (speakers: object[]) => FakeSocket.last.event('speakers', { speakers });
    talk([{ sourceId: 'cam2', level: -20 }]);
    expect([stage.talks(null), stage.talks('cam2'), stage.strip[0]?.talks]).toEqual([
      false,
      true,
      true,
    ]);
    talk([{ sourceId: null, level: -20 }]);
    expect([stage.talks(null), stage.talks(undefined), stage.strip[0]?.talks]).toEqual([
      true,
      false,
      false,
    ]);
    stage.lost();
    expect(stage.talks(null)).toBe(false);
  });

  it('leaves the main picture to the server again', async () => {
    const stage = await staged();
    stage.choose(null, { layer: best, promote: false });
    stage.choose(null, AUTOMATIC);
    await settle();
    expect(projected()[1]).toMatchObject({ mapping: [{ layer: {} }] });
  });

  it('keeps a choice no longer than the server takes it', async () => {
    const stage = await staged();
    FakeSocket.behaviour = 'opens';
    stage.choose(null, { layer: best, promote: false });
    await settle();
    expect(stage.choice.layer).toBe(best);
    const [command] = FakeSocket.last.commands('project');
    FakeSocket.last.say({ type: 'error', transId: command?.transId, data: 'no' });
    await settle();
    expect(stage.choice).toBe(AUTOMATIC);
  });

  const ends = (sourceId: string | null) => FakeSocket.last.event('inactive', { sourceId });

  it('shows another source when the main one ends, and the main one when it is back', async () => {
    const stage = await staged();
    ends(null);
    await settle();
    expect(stage.sources.main).toBe('cam2');
    expect(projected()).toEqual([
      { sourceId: 'cam2', mapping: [{ media: 'video' }, { media: 'audio' }] },
    ]);
    // It is not shown twice.
    expect(FakeSocket.last.commands('unproject').at(-1)?.data).toEqual({ mediaIds: ['2'] });
    expect(stage.strip).toEqual([]);
    active(null);
    await settle();
    expect(stage.sources.main).toBeNull();
    expect(stage.strip.map(({ source }) => source)).toEqual(['cam2']);
  });

  it('stays with what the person chose after the main source ended', async () => {
    const stage = await staged();
    active('cam3');
    ends(null);
    await settle();
    stage.swap('cam3');
    await settle();
    active(null);
    await settle();
    expect(stage.sources.main).toBe('cam3');
  });

  it('waits for a main source while there is no other, and shows the next one that comes', async () => {
    const stage = await staged();
    ends('cam2');
    ends(null);
    await settle();
    expect(stage.sources.main).toBeNull();
    active('cam3');
    await settle();
    expect(stage.sources.main).toBe('cam3');
  });

  it('shows no picture of another source beside audio alone, and its own when it gets one', async () => {
    const stage = await staged();
    const radio = (more: object[]) =>
      FakeSocket.last.event('active', {
        sourceId: 'radio',
        tracks: [{ trackId: 'a', media: 'audio' }, ...more],
      });
    radio([]);
    stage.swap('radio');
    await settle();
    expect(projected()[0]).toEqual({ sourceId: 'radio', mapping: [{ media: 'audio' }] });
    expect(FakeSocket.last.commands('unproject')[0]?.data).toEqual({ mediaIds: ['0'] });
    // The former main source has a place in the strip.
    expect(stage.strip.map(({ source }) => source)).toContain(null);
    expect(stage.strip.every(({ stream }) => stream)).toBe(true);
    radio([{ trackId: 'v', media: 'video' }]);
    await settle();
    expect(projected().at(-1)).toEqual({
      sourceId: 'radio',
      mapping: [{ media: 'video' }, { media: 'audio' }],
    });
  });

  it('forgets choices with the pictures that they were for', async () => {
    const stage = await staged();
    stage.choose(null, { layer: best, promote: true });
    stage.swap('cam2');
    await settle();
    expect(stage.sources.main).toBe('cam2');
    expect([stage.choice, stage.strip[0]?.choice]).toEqual([AUTOMATIC, AUTOMATIC]);
  });

  it('knows what there is to choose from for each picture, and whose picture it is', async () => {
    const stage = await staged();
    const data: LayersData = { medias: { '0': simulcast, '2': scalable } };
    FakeSocket.last.event('layers', data);
    expect(stage.media).toEqual(simulcast);
    expect(stage.strip[0]?.media).toEqual(scalable);
    expect([stage.sourceAt('0'), stage.sourceAt('2')]).toEqual([null, 'cam2']);
    stage.lost();
    expect(stage.media).toBeUndefined();
  });
});
