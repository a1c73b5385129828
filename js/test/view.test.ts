import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Director, OptionError, View } from '../src/index.js';
import {
  FakePeer,
  type FakeServer,
  FakeSocket,
  FakeStream,
  granted,
  install,
  outcome,
  refused,
  settle,
  uninstall,
} from './fakes.js';

let server: FakeServer;

beforeEach(() => {
  server = install();
  Director.setEndpoint('https://rostra.example');
});
afterEach(uninstall);

const token = () => Director.getSubscriber({ streamName: 'demo', streamAccountId: 'k9Mwad' });
const main = {
  sourceId: null,
  tracks: [
    { trackId: '0', media: 'video' },
    { trackId: '1', media: 'audio' },
  ],
};
const cam2 = {
  sourceId: 'cam2',
  tracks: [
    { trackId: '2', media: 'video' },
    { trackId: '3', media: 'audio' },
  ],
};
const asStreams = (...streams: FakeStream[]) => streams as unknown as MediaStream[];
const dataOf = (name: string) => FakeSocket.last.commands(name).map(({ data }) => data);

async function connected(options = {}): Promise<View> {
  const view = new View(token);
  await view.connect(options);
  FakePeer.last.become('connected');
  return view;
}

async function outage(): Promise<void> {
  FakePeer.last.become('failed');
  await settle();
  FakePeer.last.become('connected');
}

describe('the view command', () => {
  it('has the default events and nothing that was not asked for', async () => {
    await connected();
    const [command] = FakeSocket.last.sent;
    expect(command).toMatchObject({ type: 'cmd', transId: 0, name: 'view' });
    expect(command?.data).toEqual({
      sdp: expect.stringContaining('stereo=1') as string,
      streamId: 'demo',
      events: [
        'active',
        'inactive',
        'layers',
        'viewercount',
        'vad',
        'updated',
        'migrate',
        'stopped',
      ],
    });
    expect(command?.data?.sdp).not.toContain('a=candidate');
  });

  it('carries the options by their names on the wire, and no unknown ones', async () => {
    await connected({
      pinnedSourceId: 'cam1',
      excludedSourceIds: ['me'],
      multiplexedAudioTracks: 2,
      layer: { encodingId: '1' },
      events: ['active'],
      forcePlayoutDelay: { min: 0, max: 100 },
      abrConfiguration: { strategy: 'quality', metadata: { bitrate: 900_000 } },
      forceSmooth: true,
      customKeys: { a: 1 },
      metadata: true,
      enableDRM: false,
    });
    expect(dataOf('view')[0]).toEqual({
      sdp: expect.any(String) as string,
      streamId: 'demo',
      events: ['active'],
      pinnedSourceId: 'cam1',
      excludedSourceIds: ['me'],
      vad: true,
      layer: { encodingId: '1' },
      forcePlayoutDelay: { min: 0, max: 100 },
      abr: { initialBitrate: 900_000, strategy: 'quality', forceSmooth: true },
      customKeys: { a: 1 },
    });
  });

  it.each([
    [{}, ['video', 'audio']],
    [{ multiplexedAudioTracks: 2 }, ['video', 'audio', 'audio', 'audio']],
    [{ disableVideo: true }, ['audio']],
    [{ disableAudio: true }, ['video']],
  ])('offers with %j the sections %j', async (options, kinds) => {
    await connected(options);
    expect(FakePeer.last.transceivers.map(({ kind }) => kind)).toEqual(kinds);
    expect(new Set(FakePeer.last.transceivers.map(({ direction }) => direction))).toEqual(
      new Set(['recvonly']),
    );
  });

  it('is not sent when there is nothing to watch', async () => {
    const view = new View(token);
    await expect(view.connect({ disableAudio: true, disableVideo: true })).rejects.toThrow(
      OptionError,
    );
    expect(server.requests).toEqual([]);
    expect(view.state).toBe('idle');
  });

  it('takes the stream name of the constructor when the token names none', async () => {
    server.answer = granted({});
    await new View('named', token).connect();
    expect(dataOf('view')[0]).toMatchObject({ streamId: 'named' });
  });
});

describe('track events', () => {
  it('are withheld until the first active', async () => {
    const view = new View(token);
    const kinds: string[] = [];
    view.on('track', (event) => kinds.push(event.track.kind));
    await view.connect();
    await settle();
    expect(kinds).toEqual([]);
    FakeSocket.last.event('active', cam2);
    expect(kinds).toEqual(['video', 'audio']);
    FakeSocket.last.event('active', main);
    expect(kinds).toHaveLength(2);
  });

  it('come at once on a connection that follows a lost one', async () => {
    const view = await connected();
    FakeSocket.last.event('active', main);
    const kinds: string[] = [];
    view.on('track', (event) => kinds.push(event.track.kind));
    await outage();
    expect(kinds).toEqual(['video', 'audio']);
  });

  it('are withheld again after stop(), and those of before are gone', async () => {
    const view = await connected();
    view.stop();
    const tracks: unknown[] = [];
    view.on('track', (event) => tracks.push(event.track));
    await view.connect();
    expect(tracks).toEqual([]);
    FakeSocket.last.event('active', main);
    expect(tracks).toEqual(FakePeer.last.transceivers.map(({ receiver }) => receiver.track));
  });

  it('feed the media element with the main stream, again after a reconnection', async () => {
    const element = { srcObject: null } as unknown as HTMLMediaElement;
    const view = new View('demo', token, element);
    await view.connect();
    expect(element.srcObject).toBeNull();
    FakeSocket.last.event('active', main);
    const first = element.srcObject;
    expect(first).toBeInstanceOf(FakeStream);
    FakePeer.last.become('connected');
    await outage();
    expect(element.srcObject).toBeInstanceOf(FakeStream);
    expect(element.srcObject).not.toBe(first);
  });
});

describe('addRemoteTrack', () => {
  it('gives the next mid, fills the streams and says nothing to the server', async () => {
    const view = await connected();
    const stream = new FakeStream();
    const before = FakeSocket.last.sent.length;
    const transceiver = await view.addRemoteTrack('video', asStreams(stream));
    expect(transceiver.mid).toBe('2');
    expect(stream.getTracks()).toEqual([transceiver.receiver.track]);
    expect(FakeSocket.last.sent).toHaveLength(before);
    expect(FakePeer.last.remoteDescription?.sdp).toContain('a=group:BUNDLE 0 1 2');
  });

  it('can be called many times at once', async () => {
    const view = await connected();
    const kinds = ['video', 'audio', 'video', 'audio', 'video'] as const;
    const added = await Promise.all(kinds.map((kind) => view.addRemoteTrack(kind)));
    expect(added.map(({ mid }) => mid)).toEqual(['2', '3', '4', '5', '6']);
    expect(added.map(({ receiver }) => receiver.track.kind)).toEqual(kinds);
  });

  it('works for audio without video, and refuses what was not negotiated', async () => {
    const view = await connected({ disableVideo: true });
    const results = await Promise.allSettled([
      view.addRemoteTrack('video'),
      view.addRemoteTrack('audio'),
    ]);
    expect(results[0]).toMatchObject({ status: 'rejected', reason: { name: 'OptionError' } });
    expect(results[1]).toMatchObject({ status: 'fulfilled', value: { mid: '1' } });
    expect(FakePeer.last.transceivers).toHaveLength(2);
  });

  it('keeps stereo in the offers that the browser makes anew', async () => {
    const view = await connected();
    await view.addRemoteTrack('audio');
    expect(FakePeer.last.localDescription?.sdp.match(/stereo=1/g)).toHaveLength(2);
  });

  it('needs a connection, and ends with it', async () => {
    await expect(new View(token).addRemoteTrack('video')).rejects.toMatchObject({
      code: 'not_connected',
    });
    const view = await connected();
    FakePeer.hangs = 'setLocalDescription';
    const adding = view.addRemoteTrack('video');
    await settle();
    view.stop();
    expect(await outcome(adding)).toMatchObject({ code: 'stopped' });
  });

  it('is done again after a reconnection, in the same order, into the same streams', async () => {
    const view = await connected();
    const [a, b] = [new FakeStream(), new FakeStream()];
    await view.addRemoteTrack('video', asStreams(a));
    await view.addRemoteTrack('audio', asStreams(b));
    const old = a.getTracks();
    await outage();
    await settle();
    const again = FakePeer.last.transceivers.slice(2);
    expect(again.map(({ kind, mid }) => [kind, mid])).toEqual([
      ['video', '2'],
      ['audio', '3'],
    ]);
    expect(a.getTracks()).toEqual([again[0]?.receiver.track]);
    expect(b.getTracks()).toEqual([again[1]?.receiver.track]);
    expect(a.getTracks()).not.toEqual(old);
  });
});

describe('project, unproject, select', () => {
  it('send what they were given', async () => {
    const view = await connected();
    await view.project('cam2', [{ trackId: '2', media: 'video', mediaId: '0', promote: true }]);
    await view.project(undefined, [{ media: 'audio' }]);
    await view.unproject(['0', null, 1, undefined]);
    await view.select({ encodingId: '1' });
    await view.select({ layer: { maxHeight: 180 } });
    await view.select();
    expect(dataOf('project')).toEqual([
      {
        sourceId: 'cam2',
        mapping: [{ trackId: '2', media: 'video', mediaId: '0', promote: true }],
      },
      { sourceId: null, mapping: [{ media: 'audio' }] },
    ]);
    expect(dataOf('unproject')).toEqual([{ mediaIds: ['0', '1'] }]);
    expect(dataOf('select')).toEqual([
      { layer: { encodingId: '1' } },
      { layer: { maxHeight: 180 } },
      { layer: {} },
    ]);
  });

  it('refuse what cannot work before asking the server', async () => {
    const view = await connected();
    await expect(view.project('cam2', [{ mediaId: '0' }])).rejects.toThrow(OptionError);
    await expect(view.project('cam2', [{ media: 'video', mediaId: '9' }])).rejects.toThrow(
      OptionError,
    );
    expect(dataOf('project')).toEqual([]);
  });

  it('are asked for again after a reconnection, each when its source is live', async () => {
    const view = await connected();
    FakeSocket.last.event('active', main);
    FakeSocket.last.event('active', cam2);
    await view.addRemoteTrack('video');
    await view.project('cam2', [{ trackId: '2', mediaId: '2', layer: { encodingId: '1' } }]);
    await view.project(null, [{ media: 'audio' }]);
    await view.select({ encodingId: '0' });
    await outage();
    await settle();
    expect(dataOf('select')).toEqual([{ layer: { encodingId: '0' } }]);
    expect(dataOf('project')).toEqual([]);
    FakeSocket.last.event('active', main);
    await settle();
    expect(dataOf('project')).toEqual([
      { sourceId: null, mapping: [{ media: 'audio', mediaId: '1' }] },
    ]);
    FakeSocket.last.event('active', {
      sourceId: 'cam2',
      tracks: [{ trackId: '77', media: 'video' }],
    });
    await settle();
    // The kind is named, so that the server finds the track under its new id.
    expect(dataOf('project')[1]).toEqual({
      sourceId: 'cam2',
      mapping: [{ trackId: '2', media: 'video', mediaId: '2', layer: { encodingId: '1' } }],
    });
    FakeSocket.last.event('active', cam2);
    await settle();
    expect(dataOf('project')).toHaveLength(2);
  });

  it('keep their layer and their promotion over a reconnection', async () => {
    const view = await connected();
    FakeSocket.last.event('active', cam2);
    const entry = { encodingId: '1', simulcastIdx: 1, spatialLayerId: 255, bitrate: 640_000 };
    const mapping = { media: 'video', mediaId: '0', layer: entry, promote: true } as const;
    await view.project('cam2', [mapping]);
    await outage();
    FakeSocket.last.event('active', cam2);
    await settle();
    expect(dataOf('project')).toEqual([{ sourceId: 'cam2', mapping: [mapping] }]);
  });

  it('take the layer of a select that came after them', async () => {
    const view = await connected();
    FakeSocket.last.event('active', cam2);
    await view.addRemoteTrack('video');
    const layer = { encodingId: '1' };
    await view.project('cam2', [
      { media: 'video', mediaId: '0', layer, promote: true },
      { media: 'video', mediaId: '2', layer },
    ]);
    await view.select({});
    await outage();
    FakeSocket.last.event('active', cam2);
    await settle();
    expect(dataOf('project')).toEqual([
      {
        sourceId: 'cam2',
        mapping: [
          { media: 'video', mediaId: '0', layer: {}, promote: true },
          { media: 'video', mediaId: '2', layer },
        ],
      },
    ]);
  });

  it('are asked for again only as they were last', async () => {
    const view = await connected();
    FakeSocket.last.event('active', main);
    await view.project('cam2', [{ media: 'video', mediaId: '0' }]);
    await view.project('cam3', [{ media: 'video', mediaId: '0' }]);
    await view.project('cam2', [{ media: 'audio', mediaId: '1' }]);
    await view.unproject(['1']);
    await outage();
    await settle();
    expect(dataOf('unproject')).toEqual([{ mediaIds: ['1'] }]);
    FakeSocket.last.event('active', cam2);
    FakeSocket.last.event('active', { ...cam2, sourceId: 'cam3' });
    await settle();
    expect(dataOf('project')).toEqual([
      { sourceId: 'cam3', mapping: [{ media: 'video', mediaId: '0' }] },
    ]);
  });

  it('are asked for again when the source comes back after a refusal', async () => {
    const view = await connected();
    await view.project('cam2', [{ media: 'video', mediaId: '0' }]);
    await outage();
    FakeSocket.behaviour = 'opens';
    FakeSocket.last.event('active', cam2);
    await settle();
    const [first] = FakeSocket.last.commands('project');
    FakeSocket.last.say({ type: 'error', transId: first?.transId, data: 'unknown source' });
    await settle();
    FakeSocket.behaviour = 'answers';
    FakeSocket.last.event('active', cam2);
    await settle();
    FakeSocket.last.event('active', cam2);
    await settle();
    expect(dataOf('project')).toHaveLength(2);
  });

  it('are asked for at once when the application does not listen to active', async () => {
    const view = await connected({ events: ['layers'] });
    await view.project('cam2', [{ media: 'video', mediaId: '0' }]);
    await outage();
    await settle();
    expect(dataOf('project')).toHaveLength(1);
  });

  it('survive several failed attempts, and are forgotten by stop()', async () => {
    const view = await connected();
    await view.addRemoteTrack('video');
    await view.project('cam2', [{ media: 'video', mediaId: '2' }]);
    server.answer = refused(400, 'stream not being published');
    FakePeer.last.become('failed');
    await vi.advanceTimersByTimeAsync(5_000);
    server.answer = granted();
    await vi.advanceTimersByTimeAsync(8_000);
    FakeSocket.last.event('active', cam2);
    await settle();
    expect(dataOf('project')).toEqual([
      { sourceId: 'cam2', mapping: [{ media: 'video', mediaId: '2' }] },
    ]);
    view.stop();
    await view.connect();
    FakeSocket.last.event('active', cam2);
    await settle();
    expect(dataOf('project')).toEqual([]);
    expect(FakePeer.last.transceivers).toHaveLength(2);
  });

  it('that the server refused are not asked for again', async () => {
    const view = await connected();
    FakeSocket.behaviour = 'opens';
    const projecting = view.project('cam9', [{ media: 'video', mediaId: '0' }]);
    await settle();
    const [command] = FakeSocket.last.commands('project');
    FakeSocket.last.say({ type: 'error', transId: command?.transId, data: 'unknown source' });
    expect(await outcome(projecting)).toMatchObject({ message: 'unknown source' });
    FakeSocket.behaviour = 'answers';
    await outage();
    FakeSocket.last.event('active', { ...cam2, sourceId: 'cam9' });
    await settle();
    expect(dataOf('project')).toEqual([]);
  });
});

describe('metadata', () => {
  const receiverOf = (mid: number) => FakePeer.last.transceivers[mid]?.receiver;

  it('of a frame comes with the track that it belongs to', async () => {
    const view = await connected({ metadata: true });
    await view.addRemoteTrack('video');
    const heard: unknown[] = [];
    view.on('metadata', (event) => heard.push(event));
    receiverOf(2)?.transform?.options.port.postMessage({ uuid: 'x', unregistered: { a: 1 } });
    expect(heard).toEqual([
      { mid: '2', track: receiverOf(2)?.track, uuid: 'x', unregistered: { a: 1 } },
    ]);
    expect(receiverOf(0)?.transform).toBeDefined();
    expect(receiverOf(1)?.transform).toBeUndefined();
  });

  it('is read after a reconnection too', async () => {
    const view = await connected({ metadata: true });
    await view.addRemoteTrack('video');
    await outage();
    await settle();
    const heard: unknown[] = [];
    view.on('metadata', ({ mid }) => heard.push(mid));
    for (const mid of [0, 2]) receiverOf(mid)?.transform?.options.port.postMessage({});
    expect(heard).toEqual(['0', '2']);
  });

  it('is not read unless it is asked for', async () => {
    await connected();
    expect(receiverOf(0)?.transform).toBeUndefined();
  });
});

describe('header extensions', () => {
  const DESCRIPTOR =
    'https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension';
  const directions = () =>
    FakePeer.last.transceivers.map(
      (one) => one.getHeaderExtensionsToNegotiate?.()[0]?.direction ?? 'none',
    );

  it('that describe layers are asked for, for added tracks too', async () => {
    FakePeer.knownExtensions = [DESCRIPTOR];
    const view = await connected();
    await view.addRemoteTrack('video');
    expect(directions()).toEqual(['sendrecv', 'sendrecv', 'sendrecv']);
    await connected({ dependencyDescriptor: false });
    expect(directions()).toEqual(['stopped', 'stopped']);
  });

  it('that describe layers are forced into an offer only when the application says so', async () => {
    await connected();
    expect(dataOf('view')[0]?.sdp).not.toContain(DESCRIPTOR);
    await connected({ dependencyDescriptor: true });
    expect(dataOf('view')[0]?.sdp).toContain(DESCRIPTOR);
  });
});

it('tells the name that the server gave it', async () => {
  expect((await connected()).subscriberId).toBe('id-of-view');
});
