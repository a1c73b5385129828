/**
 * Hand-written stand-ins for the browser and the server: just enough of `WebSocket`,
 * `RTCPeerConnection` and `fetch` to drive the client through its states without a clock of its own.
 */
import { vi } from 'vitest';

export function jwtOf(millicast: object): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ millicast })}.c2ln`;
}

export class FakeTrack {
  constructor(
    readonly kind: 'audio' | 'video',
    readonly id: string = `${kind}-track`,
  ) {}
}

export class FakeStream {
  readonly #tracks: FakeTrack[] = [];
  constructor(tracks: FakeTrack[] = []) {
    this.#tracks.push(...tracks);
  }
  getTracks(): FakeTrack[] {
    return [...this.#tracks];
  }
  addTrack(track: FakeTrack): void {
    if (!this.#tracks.includes(track)) this.#tracks.push(track);
  }
  removeTrack(track: FakeTrack): void {
    const at = this.#tracks.indexOf(track);
    if (at >= 0) this.#tracks.splice(at, 1);
  }
}

interface Command {
  type: string;
  transId: number;
  name: string;
  data: Record<string, unknown> | undefined;
}

export class FakeSocket {
  static readonly OPEN = 1;
  static all: FakeSocket[] = [];
  /** What every new socket does by itself: open and answer, open only, or nothing. */
  static behaviour: 'answers' | 'opens' | 'silent' | 'refuses' = 'answers';
  static get last(): FakeSocket {
    const socket = FakeSocket.all.at(-1);
    if (!socket) throw new Error('no socket was opened');
    return socket;
  }

  readyState = 0;
  readonly sent: Command[] = [];
  closedByClient = false;
  onopen: (() => void) | null = null;
  onerror: (() => void) | null = null;
  onclose: ((event: { wasClean: boolean; code: number; reason: string }) => void) | null = null;
  onmessage: ((event: { data: string }) => void) | null = null;

  constructor(readonly url: string) {
    FakeSocket.all.push(this);
    const behaviour = FakeSocket.behaviour;
    if (behaviour === 'silent') return;
    queueMicrotask(() => {
      if (behaviour === 'refuses') this.breakDown();
      else this.open();
    });
  }

  open(): void {
    if (this.readyState !== 0) return;
    this.readyState = FakeSocket.OPEN;
    this.onopen?.();
  }

  send(text: string): void {
    const command = JSON.parse(text) as Command;
    this.sent.push(command);
    if (FakeSocket.behaviour !== 'answers') return;
    const isSetup = command.name === 'view' || command.name === 'publish';
    const ids = { publisherId: 'id-of-publish', subscriberId: 'id-of-view' };
    const data = isSetup ? { sdp: answerTo(String(command.data?.sdp)), ...ids } : undefined;
    queueMicrotask(() => this.say({ type: 'response', transId: command.transId, data }));
  }

  say(message: object | string): void {
    if (this.readyState !== FakeSocket.OPEN) return;
    this.onmessage?.({ data: typeof message === 'string' ? message : JSON.stringify(message) });
  }

  event(name: string, data: object = {}): void {
    this.say({ type: 'event', name, data });
  }

  commands(name: string): Command[] {
    return this.sent.filter((command) => command.name === name);
  }

  /** As a browser does for a broken connection: an error, then an unclean close. */
  breakDown(): void {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.onerror?.();
    this.onclose?.({ wasClean: false, code: 1006, reason: '' });
  }

  closeCleanly(code = 1000, reason = ''): void {
    this.readyState = 3;
    this.onclose?.({ wasClean: true, code, reason });
  }

  close(): void {
    this.closedByClient = true;
    if (this.readyState === 3) return;
    this.readyState = 3;
    queueMicrotask(() => this.onclose?.({ wasClean: true, code: 1005, reason: '' }));
  }
}

const VIDEO = [
  'a=rtpmap:96 VP8/90000',
  'a=rtcp-fb:96 nack pli',
  'a=rtpmap:97 rtx/90000',
  'a=fmtp:97 apt=96',
  'a=rtpmap:109 H264/90000',
  'a=fmtp:109 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f',
];
const AUDIO = ['a=rtpmap:111 opus/48000/2', 'a=fmtp:111 minptime=10;useinbandfec=1'];

/** What a server that takes H264 and Opus answers. */
export function answerTo(offer: string): string {
  const [session = '', ...sections] = offer.split(/(?=^m=)/m);
  const bundle = /^a=group:BUNDLE.*$/m.exec(session)?.[0] ?? '';
  const head = [
    'v=0',
    'o=- 1700000000000 1 IN IP4 127.0.0.1',
    's=-',
    't=0 0',
    bundle,
    'a=ice-lite',
  ];
  const answered = sections.map((section, at) => {
    const isVideo = section.startsWith('m=video');
    const mid = /^a=mid:(\S+)/m.exec(section)?.[1] ?? '';
    const direction = /^a=(sendonly|recvonly|inactive)/m.exec(section)?.[1];
    const reversed = { sendonly: 'recvonly', recvonly: 'sendonly' }[direction ?? ''] ?? 'inactive';
    return [
      isVideo ? 'm=video 9 UDP/TLS/RTP/SAVPF 109' : 'm=audio 9 UDP/TLS/RTP/SAVPF 111',
      'c=IN IP4 0.0.0.0',
      ...(at === 0 ? ['a=candidate:1 1 udp 2130706431 127.0.0.1 8081 typ host'] : []),
      'a=ice-ufrag:Okio',
      'a=ice-pwd:rcGiX3Kx4xgdxP9pifNedx6C',
      'a=fingerprint:sha-256 F2:04:5A',
      'a=setup:passive',
      `a=mid:${mid}`,
      'a=extmap:9 urn:ietf:params:rtp-hdrext:sdes:mid',
      'a=extmap:13 urn:not-offered',
      `a=${reversed}`,
      `a=msid:main ${isVideo ? 'v' : 'a'}${mid}`,
      'a=rtcp-mux',
      ...(isVideo ? VIDEO.slice(4) : AUDIO),
      `a=ssrc:${1000 + at} cname:rostra`,
      `a=ssrc-group:FID ${1000 + at} ${2000 + at}`,
    ];
  });
  return `${[...head, ...answered.flat()].join('\r\n')}\r\n`;
}

export interface FakeTransceiver {
  mid: string | null;
  direction: string;
  kind: 'audio' | 'video';
  init: RTCRtpTransceiverInit;
  sender: {
    track: FakeTrack | null;
    replaceTrack(track: FakeTrack): Promise<void>;
    transform?: FakeScriptTransform;
    parameters: { encodings: { scaleResolutionDownBy?: number }[] };
    getParameters(): FakeTransceiver['sender']['parameters'];
    setParameters(parameters: FakeTransceiver['sender']['parameters']): Promise<void>;
  };
  receiver: { track: FakeTrack; transform?: FakeScriptTransform };
  getHeaderExtensionsToNegotiate?(): HeaderExtension[];
  setHeaderExtensionsToNegotiate?(list: HeaderExtension[]): void;
}

interface HeaderExtension {
  uri: string;
  direction: string;
}

/** Stands for the frames of one sender or receiver. */
export class FakeScriptTransform {
  /** What the page told the worker. */
  readonly posted: unknown[] = [];
  constructor(
    _worker: FakeWorker,
    readonly options: { direction: 'send' | 'receive'; port: FakePort },
  ) {
    options.port.onmessage = ({ data }) => this.posted.push(data);
  }
}

export class FakeWorker {
  static running = 0;
  constructor() {
    FakeWorker.running++;
  }
  terminate(): void {
    FakeWorker.running--;
  }
}

/** One end of a channel that delivers at once. */
class FakePort {
  other: FakePort | undefined;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  postMessage(data: unknown): void {
    this.other?.onmessage?.({ data });
  }
  close(): void {
    if (this.other) this.other.other = undefined;
    this.other = undefined;
  }
}

export class FakeChannel {
  readonly port1 = new FakePort();
  readonly port2 = new FakePort();
  constructor() {
    this.port1.other = this.port2;
    this.port2.other = this.port1;
  }
}

export class FakePeer {
  static all: FakePeer[] = [];
  /** Offers name SSRCs, as Chromium's do. */
  static ssrcs = false;
  /** Of a browser that has the standard way to ask for header extensions; the URIs that it knows. */
  static knownExtensions: string[] | undefined;
  static hangs: 'createOffer' | 'setLocalDescription' | 'setRemoteDescription' | undefined;
  static get last(): FakePeer {
    const peer = FakePeer.all.at(-1);
    if (!peer) throw new Error('no peer connection was made');
    return peer;
  }

  connectionState = 'new';
  localDescription: { type: string; sdp: string } | null = null;
  remoteDescription: { type: string; sdp: string } | null = null;
  readonly transceivers: FakeTransceiver[] = [];
  /** Local negotiations that overlap would corrupt each other in a browser. */
  #negotiating = false;
  #nextMid = 0;
  onconnectionstatechange: (() => void) | null = null;
  ontrack:
    | ((event: { streams: FakeStream[]; track: FakeTrack; transceiver: FakeTransceiver }) => void)
    | null = null;

  constructor(readonly configuration: RTCConfiguration) {
    FakePeer.all.push(this);
  }

  addTransceiver(
    trackOrKind: FakeTrack | 'audio' | 'video',
    init: RTCRtpTransceiverInit,
  ): FakeTransceiver {
    const isKind = typeof trackOrKind === 'string';
    const kind = isKind ? trackOrKind : trackOrKind.kind;
    const transceiver: FakeTransceiver = {
      mid: null,
      direction: init.direction ?? 'sendrecv',
      kind,
      init,
      sender: {
        track: isKind ? null : trackOrKind,
        async replaceTrack(track) {
          transceiver.sender.track = track;
        },
        parameters: { encodings: FakePeer.ssrcs ? [{}, {}, {}] : [{}] },
        getParameters: () => structuredClone(transceiver.sender.parameters),
        async setParameters(parameters) {
          transceiver.sender.parameters = parameters;
        },
      },
      receiver: {
        track: new FakeTrack(kind, `remote-${FakePeer.all.length}-${this.transceivers.length}`),
      },
    };
    let extensions = FakePeer.knownExtensions?.map((uri) => ({ uri, direction: 'stopped' }));
    if (extensions) {
      transceiver.getHeaderExtensionsToNegotiate = () => extensions ?? [];
      transceiver.setHeaderExtensionsToNegotiate = (list) => {
        extensions = list;
      };
    }
    this.transceivers.push(transceiver);
    return transceiver;
  }

  getTransceivers(): FakeTransceiver[] {
    return this.transceivers;
  }

  getSenders(): FakeTransceiver['sender'][] {
    return this.transceivers.map(({ sender }) => sender);
  }

  async createOffer(): Promise<{ type: string; sdp: string }> {
    if (this.#negotiating) throw new Error('a negotiation is under way');
    this.#negotiating = true;
    await this.#step('createOffer');
    let next = this.#nextMid;
    const mids = this.transceivers.map(({ mid }) => mid ?? String(next++));
    const sections = this.transceivers.map(({ kind, direction }, at) => [
      kind === 'video'
        ? 'm=video 9 UDP/TLS/RTP/SAVPF 96 97 109'
        : 'm=audio 9 UDP/TLS/RTP/SAVPF 111',
      'c=IN IP4 0.0.0.0',
      `a=mid:${mids[at]}`,
      'a=extmap:9 urn:ietf:params:rtp-hdrext:sdes:mid',
      `a=${direction}`,
      ...(kind === 'video' ? VIDEO : AUDIO),
      ...(FakePeer.ssrcs
        ? [`a=ssrc-group:FID ${at * 10 + 1} ${at * 10 + 2}`, `a=ssrc:${at * 10 + 1} cname:x`]
        : []),
    ]);
    const head = [
      'v=0',
      'o=- 42 2 IN IP4 127.0.0.1',
      's=-',
      't=0 0',
      `a=group:BUNDLE ${mids.join(' ')}`,
    ];
    return { type: 'offer', sdp: `${[...head, ...sections.flat()].join('\r\n')}\r\n` };
  }

  async setLocalDescription(description: { type: string; sdp: string }): Promise<void> {
    await this.#step('setLocalDescription');
    for (const transceiver of this.transceivers) transceiver.mid ??= String(this.#nextMid++);
    this.localDescription = description;
  }

  async setRemoteDescription(description: { type: string; sdp: string }): Promise<void> {
    await this.#step('setRemoteDescription');
    const before = this.remoteDescription?.sdp.split(/^m=/m).length ?? 1;
    const sections = description.sdp.split(/(?=^m=)/m).slice(1);
    this.remoteDescription = description;
    this.#negotiating = false;
    for (const [at, section] of sections.entries()) {
      const transceiver = this.transceivers[at];
      if (at < before - 1 || !transceiver || !/^a=sendonly/m.test(section)) continue;
      const msid = /^a=msid:(\S+)/m.exec(section)?.[1];
      const { track } = transceiver.receiver;
      this.ontrack?.({ streams: msid ? [new FakeStream([track])] : [], track, transceiver });
    }
    if (this.connectionState === 'new') this.become('connecting');
  }

  become(state: string): void {
    this.connectionState = state;
    this.onconnectionstatechange?.();
  }

  close(): void {
    this.connectionState = 'closed';
  }

  /** A closed connection never settles what it was doing (W3C webrtc-pc §4.4.1.2). */
  async #step(name: NonNullable<typeof FakePeer.hangs>): Promise<void> {
    if (FakePeer.hangs === name) await new Promise(() => undefined);
    await Promise.resolve();
    if (this.connectionState === 'closed') await new Promise(() => undefined);
  }
}

export interface Answer {
  status: number;
  body: unknown;
}

export class FakeServer {
  readonly requests: { url: string; headers: Record<string, string>; body: unknown; at: number }[] =
    [];
  answer: Answer | Error | 'never' = granted();

  fetch = async (url: string, init: RequestInit): Promise<Response> => {
    const headers = init.headers as Record<string, string>;
    this.requests.push({ url, headers, body: JSON.parse(String(init.body)), at: Date.now() });
    if (this.answer === 'never') return new Promise(() => undefined);
    if (this.answer instanceof Error) throw this.answer;
    const { status, body } = this.answer;
    return new Response(typeof body === 'string' ? body : JSON.stringify(body), { status });
  };

  /** Milliseconds after the first request, of each. */
  get times(): number[] {
    return this.requests.map(({ at }) => at - (this.requests[0]?.at ?? 0));
  }
}

export function granted(claims: object = { streamName: 'demo', record: false }): Answer {
  const urls = ['wss://live.example/ws/v2/sub/abc'];
  const data = { urls, jwt: jwtOf(claims), iceServers: [], streamAccountId: 'k9Mwad' };
  return { status: 200, body: { status: 'success', data } };
}

export function refused(status: number, message: string, code?: string): Answer {
  return { status, body: { status: 'fail', data: { message, code } } };
}

/** Puts the fakes in place of the browser's globals, with virtual time. */
export function install(): FakeServer {
  vi.useFakeTimers({ now: 1_700_000_000_000 });
  // Every delay is the longest of its range.
  vi.spyOn(Math, 'random').mockReturnValue(1);
  FakeSocket.all = [];
  FakeSocket.behaviour = 'answers';
  FakePeer.all = [];
  FakePeer.hangs = undefined;
  FakePeer.ssrcs = false;
  FakePeer.knownExtensions = undefined;
  const server = new FakeServer();
  vi.stubGlobal('WebSocket', FakeSocket);
  vi.stubGlobal('RTCPeerConnection', FakePeer);
  vi.stubGlobal('fetch', server.fetch);
  FakeWorker.running = 0;
  vi.stubGlobal('RTCRtpScriptTransform', FakeScriptTransform);
  vi.stubGlobal('Worker', FakeWorker);
  vi.stubGlobal('MessageChannel', FakeChannel);
  return server;
}

export function uninstall(): void {
  vi.useRealTimers();
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
}

/** Lets everything that is ready run, without time passing. */
export const settle = (): Promise<unknown> => vi.advanceTimersByTimeAsync(0);

/** The outcome of a promise that is expected to have one by now. */
export async function outcome(promise: Promise<unknown>): Promise<unknown> {
  let result: unknown = 'pending';
  promise.then(
    (value) => {
      result = value ?? 'resolved';
    },
    (error) => {
      result = error;
    },
  );
  await settle();
  return result;
}
