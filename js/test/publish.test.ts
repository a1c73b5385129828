import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Director, OptionError, Publish, type PublishOptions, StateError } from '../src/index.js';
import { MetadataReader, TIMED_JSON } from '../src/sei.js';
import {
  FakePeer,
  type FakeServer,
  FakeSocket,
  FakeStream,
  FakeTrack,
  FakeWorker,
  granted,
  install,
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

const token = () => Director.getPublisher({ token: 'secret', streamName: 'demo' });
const camera = () =>
  new FakeStream([new FakeTrack('audio'), new FakeTrack('video')]) as unknown as MediaStream;
const command = () => FakeSocket.last.commands('publish')[0]?.data;

describe('the publish command', () => {
  it('asks for H264 and has nothing that was not asked for', async () => {
    await new Publish(token).connect({ mediaStream: camera() });
    expect(command()).toEqual({ name: 'demo', sdp: expect.any(String) as string, codec: 'h264' });
    expect(command()?.sdp).toMatch(/m=audio.*a=sendonly.*m=video.*a=sendonly/s);
  });

  it('carries codec, source, priority, recording and events', async () => {
    server.answer = granted({ streamName: 'demo', record: true });
    const options = {
      sourceId: 'cam1',
      codec: 'av1',
      priority: 5,
      record: true,
      events: ['viewercount'],
    } as const;
    await new Publish(token).connect({
      ...options,
      events: ['viewercount'],
      mediaStream: camera(),
    });
    expect(command()).toMatchObject(options);
  });

  it('leaves the order of the codecs in the offer alone', async () => {
    await new Publish(token).connect({ mediaStream: camera(), codec: 'h264' });
    expect(command()?.sdp).toContain('m=video 9 UDP/TLS/RTP/SAVPF 96 97 109');
  });

  it('offers a disabled kind as inactive', async () => {
    await new Publish(token).connect({ mediaStream: camera(), disableVideo: true });
    expect(FakePeer.last.transceivers.map(({ direction }) => direction)).toEqual([
      'sendonly',
      'inactive',
    ]);
  });

  it('is the same from the old form of the constructor', async () => {
    const publish = new Publish('demo', token);
    await publish.connect({ mediaStream: camera() });
    expect(command()).toMatchObject({ name: 'demo' });
  });
});

describe('connect', () => {
  it.each([
    ['no media', {}],
    ['no tracks', { mediaStream: [] }],
    ['two of a kind', { mediaStream: [new FakeTrack('video'), new FakeTrack('video', 'b')] }],
    [
      'everything disabled',
      { mediaStream: [new FakeTrack('video')], disableAudio: true, disableVideo: true },
    ],
  ])('refuses %s before asking the director', async (_, options) => {
    await expect(new Publish(token).connect(options as unknown as PublishOptions)).rejects.toThrow(
      OptionError,
    );
    expect(server.requests).toEqual([]);
  });

  it('refuses a codec that the browser cannot send', async () => {
    const codecs = [{ mimeType: 'video/VP8' }, { mimeType: 'video/H264' }];
    vi.stubGlobal('RTCRtpSender', { getCapabilities: () => ({ codecs }) });
    const connecting = new Publish(token).connect({ mediaStream: camera(), codec: 'h265' });
    await expect(connecting).rejects.toThrow('This browser cannot send h265, only h264, vp8');
    await new Publish(token).connect({ mediaStream: camera(), codec: 'vp8' });
  });

  it('refuses to record without the right to', async () => {
    const publish = new Publish(token);
    const connecting = publish.connect({ mediaStream: camera(), record: true });
    await expect(connecting).rejects.toThrow('This token does not allow recording');
    expect(FakeSocket.all).toEqual([]);
    await publish.connect({ mediaStream: camera() });
    await expect(publish.record()).rejects.toThrow(OptionError);
  });

  it('makes three encodings, lowest first, or a scalable one', async () => {
    await new Publish(token).connect({ mediaStream: camera(), simulcast: true });
    const encodings = FakePeer.last.transceivers[1]?.init.sendEncodings;
    expect(
      encodings?.map(({ rid, scaleResolutionDownBy }) => [rid, scaleResolutionDownBy]),
    ).toEqual([
      ['q', 4],
      ['h', 2],
      ['f', 1],
    ]);
    expect(FakePeer.last.transceivers[0]?.init).not.toHaveProperty('sendEncodings');
    await new Publish(token).connect({
      mediaStream: camera(),
      codec: 'av1',
      scalabilityMode: 'L1T3',
    });
    expect(FakePeer.last.transceivers[1]?.init.sendEncodings).toEqual([
      { scalabilityMode: 'L1T3' },
    ]);
  });

  it('limits the bandwidth in the answer, and later by updateBitrate', async () => {
    const publish = new Publish(token);
    await publish.connect({ mediaStream: camera(), bandwidth: 700, dtx: true, stereo: true });
    expect(FakePeer.last.remoteDescription?.sdp).toContain('b=AS:700\r\nb=TIAS:700000\r\n');
    expect(command()?.sdp).toContain('useinbandfec=1;stereo=1;usedtx=1');
    await publish.webRTCPeer?.updateBitrate(0);
    expect(FakePeer.last.remoteDescription?.sdp).not.toContain('b=AS');
  });
});

describe('while it is connected', () => {
  it('records with the right to', async () => {
    server.answer = granted({ streamName: 'demo', record: true });
    const publish = new Publish(token);
    await publish.connect({ mediaStream: camera() });
    await publish.record();
    await publish.unrecord();
    const [, record, unrecord] = FakeSocket.last.sent;
    expect([record, unrecord]).toEqual([
      { type: 'cmd', transId: 1, name: 'record' },
      { type: 'cmd', transId: 2, name: 'unrecord' },
    ]);
  });

  it.each(['the publisher', 'webRTCPeer'])(
    'a track replaced on %s is sent after a reconnection too',
    async (where) => {
      const publish = new Publish(token);
      await publish.connect({ mediaStream: camera() });
      FakePeer.last.become('connected');
      const screen = new FakeTrack('video', 'screen') as unknown as MediaStreamTrack;
      await (where === 'webRTCPeer' ? publish.webRTCPeer : publish)?.replaceTrack(screen);
      expect(FakePeer.last.transceivers[1]?.sender.track).toBe(screen);
      FakePeer.last.become('failed');
      await settle();
      expect(FakePeer.all).toHaveLength(2);
      expect(FakePeer.last.transceivers.map(({ sender }) => sender.track?.id)).toEqual([
        'audio-track',
        'screen',
      ]);
    },
  );

  it('only a kind that is sent can be replaced', async () => {
    const publish = new Publish(token);
    await publish.connect({
      mediaStream: [new FakeTrack('audio')] as unknown as MediaStreamTrack[],
    });
    const video = new FakeTrack('video') as unknown as MediaStreamTrack;
    await expect(publish.replaceTrack(video)).rejects.toThrow('No video is being sent');
    await expect(publish.webRTCPeer?.replaceTrack(video)).rejects.toThrow('No video is being sent');
  });

  it('passes the events of the server on', async () => {
    const publish = new Publish(token);
    await publish.connect({ mediaStream: camera(), events: ['viewercount'] });
    const heard: string[] = [];
    publish.on('broadcastEvent', ({ name }) => heard.push(name));
    FakeSocket.last.event('viewercount', { viewercount: 2 });
    expect(heard).toEqual(['viewercount']);
  });
});

describe('after the server stopped', () => {
  it('publishes again at once, and with the same tracks', async () => {
    const publish = new Publish(token);
    await publish.connect({ mediaStream: camera(), sourceId: 'cam1' });
    FakePeer.last.become('connected');
    FakeSocket.last.closeCleanly(1001);
    await settle();
    expect(FakePeer.all).toHaveLength(2);
    expect(publish.state).toBe('connected');
    expect(command()).toMatchObject({ sourceId: 'cam1' });
    expect(FakePeer.last.getSenders().map(({ track }) => track?.kind)).toEqual(['audio', 'video']);
  });

  it('ends when its token is refused, and says so', async () => {
    const publish = new Publish(token);
    await publish.connect({ mediaStream: camera() });
    server.answer = refused(401, 'Unauthorized: Invalid token', 'invalid_token');
    FakeSocket.last.breakDown();
    await settle();
    expect(publish.state).toBe('idle');
    expect(publish.failure).toMatchObject({ status: 401, code: 'invalid_token' });
  });
});

describe('simulcast', () => {
  const CHROMIUM =
    'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/147.0.0.0 Safari/537.36';
  const encodings = () => FakePeer.last.transceivers[1]?.init.sendEncodings;
  const start = (options: PublishOptions) =>
    new Publish(token).connect({ mediaStream: camera(), ...options });

  it('by SSRC is left to the offer in Chromium', async () => {
    vi.stubGlobal('navigator', { userAgent: CHROMIUM });
    FakePeer.ssrcs = true;
    await start({ simulcast: 'ssrc', codec: 'vp8' });
    expect(encodings()).toBeUndefined();
    expect(command()?.sdp).toMatch(/a=ssrc-group:SIM \d+ \d+ \d+/);
    expect(FakePeer.last.localDescription?.sdp).toBe(command()?.sdp);
    const sent = FakePeer.last.transceivers[1]?.sender.parameters.encodings;
    expect(sent?.map(({ scaleResolutionDownBy }) => scaleResolutionDownBy)).toEqual([4, 2, 1]);
  });

  it.each([
    ['another browser', 'Mozilla/5.0 Gecko/20100101 Firefox/140.0', 'vp8'],
    ['another codec', CHROMIUM, 'vp9'],
  ] as const)('by SSRC is by RID for %s', async (_, userAgent, codec) => {
    vi.stubGlobal('navigator', { userAgent });
    FakePeer.ssrcs = true;
    await start({ simulcast: 'ssrc', codec });
    expect(encodings()?.map(({ rid }) => rid)).toEqual(['q', 'h', 'f']);
    expect(command()?.sdp).not.toContain('SIM');
  });

  it('of VP9 is three encodings and not three layers of one', async () => {
    await start({ simulcast: true, codec: 'vp9' });
    expect(encodings()).toMatchObject(Array<object>(3).fill({ scalabilityMode: 'L1T1' }));
    await start({ simulcast: 'rid', codec: 'vp8', scalabilityMode: 'L1T3' });
    expect(encodings()).toMatchObject(Array<object>(3).fill({ scalabilityMode: 'L1T3' }));
  });
});

describe('header extensions', () => {
  it('are written into the offer where the browser has no way to ask for them', async () => {
    await new Publish(token).connect({
      mediaStream: camera(),
      absCaptureTime: true,
      dependencyDescriptor: true,
    });
    expect(command()?.sdp).toEqual(expect.stringMatching(/(extmap:\d+ \S+abs-capture-time.*){2}/s));
    expect(command()?.sdp).toEqual(expect.stringMatching(/(extmap:\d+ \S+dependency-desc.*){2}/s));
  });

  it('are asked for where there is a way, and the offer stays as it is', async () => {
    FakePeer.knownExtensions = [
      'http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time',
      'urn:other',
    ];
    await new Publish(token).connect({ mediaStream: camera(), absCaptureTime: true });
    expect(FakePeer.last.transceivers[0]?.getHeaderExtensionsToNegotiate?.()).toEqual([
      { uri: FakePeer.knownExtensions[0], direction: 'sendrecv' },
      { uri: 'urn:other', direction: 'stopped' },
    ]);
    expect(command()?.sdp).not.toContain('abs-capture-time');
  });
});

describe('sendMetadata', () => {
  const transform = () => FakePeer.last.transceivers[1]?.sender.transform;
  const start = async (options: PublishOptions = { metadata: true }) => {
    const publish = new Publish(token);
    await publish.connect({ mediaStream: camera(), ...options });
    FakePeer.last.become('connected');
    return publish;
  };

  it('hands a unit to the frames of the video, and of it alone', async () => {
    const publish = await start();
    publish.sendMetadata({ goal: 1 });
    expect(transform()?.posted).toHaveLength(1);
    const unit = transform()?.posted[0] as Uint8Array;
    expect(new MetadataReader().read(unit)).toEqual([
      { uuid: TIMED_JSON, timecode: new Date(Date.now()), unregistered: { goal: 1 } },
    ]);
    expect(FakePeer.last.transceivers[0]?.sender.transform).toBeUndefined();
  });

  it('goes on after a reconnection, with one worker', async () => {
    const publish = await start();
    FakePeer.last.become('failed');
    expect(() => publish.sendMetadata(1)).toThrow(StateError);
    await settle();
    publish.sendMetadata(2);
    expect(FakePeer.all).toHaveLength(2);
    expect(transform()?.posted).toHaveLength(1);
    expect(FakeWorker.running).toBe(1);
    publish.stop();
    expect(FakeWorker.running).toBe(0);
  });

  it.each([
    ['without the option', {}],
    ['with another codec', { metadata: true, codec: 'vp8' }],
    ['without video', { metadata: true, disableVideo: true }],
  ] as [string, PublishOptions][])('is refused %s, and no frame is touched', async (_, options) => {
    const publish = await start(options);
    expect(() => publish.sendMetadata(1)).toThrow(OptionError);
    expect(transform()).toBeUndefined();
  });

  it('refuses what is no JSON, and a name that is no UUID', async () => {
    const publish = await start();
    const round: Record<string, unknown> = {};
    round.self = round;
    for (const value of [undefined, () => 1, 1n, round]) {
      expect(() => publish.sendMetadata(value)).toThrow(OptionError);
    }
    expect(() => publish.sendMetadata(1, 'goal')).toThrow('Not a UUID: goal');
    expect(transform()?.posted).toEqual([]);
  });
});

it('tells the name that the server gave it', async () => {
  const publish = new Publish(token);
  expect(publish.publisherId).toBeUndefined();
  await publish.connect({ mediaStream: camera() });
  expect(publish.publisherId).toBe('id-of-publish');
  publish.stop();
  expect(publish.publisherId).toBeUndefined();
});
