import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Director, OptionError, Publish, type PublishOptions } from '../src/index.js';
import {
  FakePeer,
  type FakeServer,
  FakeSocket,
  FakeStream,
  FakeTrack,
  granted,
  install,
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
