import type { DirectorReply, TokenGenerator } from './director.js';
import { Emitter } from './emitter.js';
import { asError, FetchError, OptionError, SignalingError, StateError } from './errors.js';
import { transformConfiguration } from './frames.js';
import { type Claims, readClaims } from './jwt.js';
import { type OfferedExtension, Peer, type PeerConfiguration } from './peer.js';
import { RetrySchedule } from './retry.js';
import type { FrameMetadata } from './sei.js';
import { type BroadcastEvent, Signal } from './signal.js';
import { type SpeakersEvent, speakersOf, type VoiceEvent } from './voices.js';

export interface CommonOptions {
  /** Passed to the browser, `encodedInsertableStreams` included. Named ICE servers of the director come first. */
  peerConfig?: PeerConfiguration;
  disableVideo?: boolean;
  disableAudio?: boolean;
  /** Which events the server shall send. */
  events?: string[];
  /** Offers the header extension that tells when a picture was captured. */
  absCaptureTime?: boolean;
  /**
   * Offers the header extension that describes the layers of AV1. Without it a viewer gets all of them or none;
   * so viewers offer it unless this is `false`, where the browser can. Publishers do with `scalabilityMode`.
   */
  dependencyDescriptor?: boolean;
  /** Data inside the frames of H264 video: sends it with `sendMetadata()`, receives it with the event `metadata`. */
  metadata?: boolean;
  /** Options of other clients and of later versions are accepted and have no effect. */
  [option: string]: unknown;
}

/** Data that came with a frame, and the track of the frame. */
export interface MetadataEvent extends FrameMetadata {
  mid: string | null;
  track: MediaStreamTrack;
}

export interface ConnectionEvents {
  /** A remote track; a viewer's come no earlier than the first `active` of the server. */
  track: RTCTrackEvent;
  /** An event of the server. */
  broadcastEvent: BroadcastEvent;
  connectionStateChange: RTCPeerConnectionState;
  /**
   * A multiplexed audio track plays another source, or nobody; also when the connection ends. To viewers with
   * `multiplexedAudioTracks`.
   */
  vad: VoiceEvent;
  /** Who speaks in the stream, at most 5 times a second. To those with `speakers` in their `events`. */
  speakers: SpeakersEvent;
  /** Data that came inside a frame, to viewers with `metadata: true`. */
  metadata: MetadataEvent;
  /** An attempt starts; `timeout` is how many milliseconds pass at most before the next one if it fails. */
  reconnect: { timeout: number; error: Error };
  /** Reconnection ended for good, for example because the token is no longer accepted. See `failure`. */
  error: Error;
}

/** ICE often recovers from a short gap by itself; after this long it rarely does. */
const DISCONNECTED_MS = 1_500;
/** A request into a network that drops packets would otherwise take minutes to fail. */
const ATTEMPT_MS = 8_000;

const ABS_CAPTURE_TIME = 'http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time';
export const DEPENDENCY_DESCRIPTOR =
  'https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension';

/** What one attempt to connect holds, from its first request to its end. */
class Link {
  peer: Peer | undefined;
  signal: Signal | undefined;
  /** What the server said besides its SDP. */
  reply: Readonly<Record<string, unknown>> = {};
  /** The peer connection was up at least once. */
  reached = false;
  /** What broke before the attempt was complete. */
  trouble: Error | undefined;
  disconnected: ReturnType<typeof setTimeout> | undefined;
  /** Runs while an attempt of a reconnection is under way. */
  overdue: ReturnType<typeof setTimeout> | undefined;
  #rejectAll: (reason: Error) => void = () => undefined;
  readonly #ended = new Promise<never>((_, reject) => {
    this.#rejectAll = reject;
  });

  constructor() {
    this.#ended.catch(() => undefined);
  }

  /** The promise, unless the link is closed first. */
  guard<T>(promise: Promise<T>): Promise<T> {
    return Promise.race([promise, this.#ended]);
  }

  close(reason: Error): void {
    clearTimeout(this.disconnected);
    clearTimeout(this.overdue);
    this.#rejectAll(reason);
    this.peer?.close();
    this.signal?.close();
  }
}

type State =
  | { readonly name: 'idle' }
  | { readonly name: 'connecting'; readonly link: Link }
  | { readonly name: 'connected'; readonly link: Link }
  | { readonly name: 'waiting'; readonly timer: ReturnType<typeof setTimeout> | undefined }
  | { readonly name: 'reconnecting'; readonly link: Link };

export type ConnectionState = State['name'];

const IDLE: State = { name: 'idle' };
const STOPPED = new StateError('stopped', 'stop() was called');

/** What publishing and viewing have in common: getting connected, staying so, and stopping. */
export abstract class Connection<Options extends CommonOptions> extends Emitter<ConnectionEvents> {
  readonly #generateToken: TokenGenerator;
  readonly #autoReconnect: boolean;
  #options: Options | undefined;
  #state: State = IDLE;
  readonly #schedule = new RetrySchedule();
  #delayMs = 0;
  #failure: Error | null = null;
  #somebodySpeaks = false;

  constructor(tokenGenerator: TokenGenerator, autoReconnect: boolean) {
    super();
    if (typeof tokenGenerator !== 'function') throw new OptionError('A token generator is needed');
    this.#generateToken = tokenGenerator;
    this.#autoReconnect = autoReconnect;
  }

  /** Where this object is between `connect()` and `stop()`. */
  get state(): ConnectionState {
    return this.#state.name;
  }

  /**
   * Why the attempts ended for good: an error that another attempt cannot mend, such as a refused token or a wrong
   * account. `state` is `idle` then. `connect()`, `reconnect()` and `stop()` clear it.
   */
  get failure(): Error | null {
    return this.#failure;
  }

  /** The current peer connection. Another one takes its place after a reconnection. */
  get webRTCPeer(): Peer | null {
    return this.#link?.peer ?? null;
  }

  getRTCPeerConnection(): RTCPeerConnection | null {
    return this.webRTCPeer?.peer ?? null;
  }

  /** Whether media can flow now. */
  isActive(): boolean {
    return this.webRTCPeer?.getRTCPeerStatus() === 'connected';
  }

  /**
   * Connects; resolves when the server's answer is applied.
   *
   * A refusal by the director that can pass (`isFinal` of the error is false) rejects this promise and starts the
   * attempts of the reconnection as well, because "not live yet" is the usual one; `stop()` ends them.
   *
   * @throws {StateError} when it is connected, connecting or reconnecting already, or `stop()` comes first.
   * @throws {FetchError} when the director refuses.
   * @throws {SignalingError} when the signalling server cannot be reached or refuses.
   */
  async connect(options?: Options): Promise<void> {
    switch (this.#state.name) {
      case 'connecting':
        throw new StateError('already_connecting', 'connect() is already under way');
      case 'connected':
        throw new StateError('already_connected', 'Already connected; call stop() first');
      case 'waiting':
      case 'reconnecting':
        throw new StateError('reconnecting', 'Already reconnecting; call stop() first');
      case 'idle':
    }
    const chosen = options ?? ({} as Options);
    this.check(chosen);
    this.forget();
    this.#options = chosen;
    this.#schedule.reset();
    this.#failure = null;
    const link = new Link();
    this.#state = { name: 'connecting', link };
    await this.#run(link, chosen, false);
  }

  /**
   * Tries now: drops the connection, or ends the wait for the next attempt, and connects with the options of the last
   * `connect()`. An attempt that is under way goes on.
   *
   * @throws {StateError} when `connect()` was never called.
   */
  reconnect(): void {
    const error = new StateError('reconnecting', 'reconnect() was called');
    const state = this.#state;
    switch (state.name) {
      case 'connected':
        this.#lost(state.link, error, true);
        return;
      case 'waiting':
        clearTimeout(state.timer);
        this.#retry(error);
        return;
      case 'idle':
        if (!this.#options) throw new StateError('not_connected', 'connect() was never called');
        this.#failure = null;
        this.#schedule.reset();
        this.#retry(error);
        return;
      case 'connecting':
      case 'reconnecting':
    }
  }

  /** Ends everything: the connection, a `connect()` under way (which rejects), every timer. */
  stop(): void {
    const state = this.#state;
    this.#state = IDLE;
    this.#failure = null;
    if (state.name === 'waiting') clearTimeout(state.timer);
    else if (state.name !== 'idle') this.#end(state.link, STOPPED);
    this.forget();
  }

  /** Sends a command of the established connection. */
  protected request(name: string, data?: unknown): Promise<unknown> {
    if (this.#state.name !== 'connected') {
      const error = new StateError('not_connected', `${name} needs a connection`);
      return Promise.reject(error);
    }
    return this.#state.link.signal?.request(name, data) ?? Promise.reject(STOPPED);
  }

  /** The promise, unless the connection ends first: what a browser was doing for a closed one never settles. */
  protected whileLinked<T>(promise: Promise<T>): Promise<T> {
    return this.#link?.guard(promise) ?? Promise.reject(STOPPED);
  }

  /** The peer of the established connection. */
  protected get connectedPeer(): Peer | undefined {
    return this.#state.name === 'connected' ? this.#state.link.peer : undefined;
  }

  protected extensions(options: Options): OfferedExtension[] {
    return [
      ...(options.absCaptureTime ? [{ uri: ABS_CAPTURE_TIME, insists: true }] : []),
      ...(options.dependencyDescriptor ? [{ uri: DEPENDENCY_DESCRIPTOR, insists: true }] : []),
    ];
  }

  /** A name that the server gave to the present connection. */
  protected replied(key: string): string | undefined {
    const value = this.#link?.reply[key];
    return typeof value === 'string' ? value : undefined;
  }

  /** Whether the frames of this connection carry metadata. */
  protected abstract carriesMetadata(options: Options): boolean;
  /** @throws {OptionError} when the options cannot work. */
  protected abstract check(options: Options): void;
  /** @throws {OptionError} when the token does not allow what the options ask for. */
  protected abstract checkClaims(claims: Claims, options: Options): void;
  protected abstract addMedia(peer: Peer, options: Options): void;
  protected abstract mungeOffer(sdp: string, options: Options): string;
  protected abstract mungeAnswer(sdp: string, options: Options): string;
  protected abstract command(
    sdp: string,
    streamName: string | undefined,
    options: Options,
  ): { name: string; data: object };
  /** A new connection begins; `again` when it takes the place of a lost one. */
  protected abstract opening(again: boolean): void;
  /** The connection is established. */
  protected abstract opened(peer: Peer): void;
  /** The connection is about to be closed. */
  protected abstract closing(peer: Peer): void;
  protected abstract tracked(event: RTCTrackEvent): void;
  protected abstract signalled(event: BroadcastEvent): void;
  /** `stop()` or a fresh `connect()`: nothing of before is to be kept. */
  protected abstract forget(): void;

  get #link(): Link | undefined {
    return 'link' in this.#state ? this.#state.link : undefined;
  }

  async #run(link: Link, options: Options, again: boolean): Promise<void> {
    try {
      await this.#open(link, options, again);
    } catch (thrown) {
      const error = asError(thrown);
      if (this.#link === link) this.#failed(link, error);
      throw error;
    }
    if (this.#link !== link || !link.peer) throw STOPPED;
    clearTimeout(link.overdue);
    this.#state = { name: 'connected', link };
    this.opened(link.peer);
    if (link.trouble) this.#lost(link, link.trouble);
  }

  async #open(link: Link, options: Options, again: boolean): Promise<void> {
    const reply = await link.guard((async () => this.#generateToken())());
    // stop() may have come between the token and this line; what is made from here on must be closed.
    if (this.#link !== link) throw STOPPED;
    const url = reply?.urls?.[0];
    if (typeof url !== 'string' || typeof reply.jwt !== 'string') {
      throw new TypeError('The token generator gave no urls and jwt');
    }
    const claims = readClaims(reply.jwt);
    this.checkClaims(claims, options);
    this.opening(again);
    const peer = new Peer(
      configurationOf(options, reply, this.carriesMetadata(options)),
      {
        stateChanged: (state) => this.#stateChanged(link, state),
        tracked: (event) => this.tracked(event),
      },
      (sdp) => this.mungeOffer(sdp, options),
      this.extensions(options),
    );
    link.peer = peer;
    this.addMedia(peer, options);
    // The socket opens while the browser makes the offer.
    const signal = new Signal(`${url}${url.includes('?') ? '&' : '?'}token=${reply.jwt}`, {
      event: (event) => this.#heard(event),
      broken: (error) => this.#lost(link, error),
    });
    link.signal = signal;
    const exchange = async (offer: string): Promise<string> => {
      const { name, data } = this.command(offer, claims.streamName, options);
      await signal.opened;
      const answer = (await signal.request(name, data)) as
        | Record<string, unknown>
        | null
        | undefined;
      if (typeof answer?.sdp !== 'string') throw new SignalingError(`${name} brought no answer`);
      link.reply = answer;
      return this.mungeAnswer(answer.sdp, options);
    };
    await link.guard(peer.negotiate(exchange));
  }

  #heard(event: BroadcastEvent): void {
    this.signalled(event);
    const speaking = speakersOf(event);
    if (!speaking) return;
    this.#somebodySpeaks = speaking.speakers.length > 0;
    this.emit('speakers', speaking);
  }

  #stateChanged(link: Link, state: RTCPeerConnectionState): void {
    if (this.#link !== link) return;
    clearTimeout(link.disconnected);
    if (state === 'connected') {
      link.reached = true;
      this.#schedule.reset();
    }
    this.emit('connectionStateChange', state);
    // A listener may have called stop().
    if (this.#link !== link) return;
    if (state === 'failed') this.#lost(link, new Error('The connection failed'));
    if (state === 'disconnected') {
      const lost = () => this.#lost(link, new Error('Connection lost'));
      link.disconnected = setTimeout(lost, DISCONNECTED_MS);
    }
  }

  /** An attempt ended without a connection. */
  #failed(link: Link, error: Error): void {
    const isFirst = this.#state.name === 'connecting';
    const isRefusal = error instanceof FetchError;
    const isFinal = (isRefusal && error.isFinal) || error instanceof OptionError;
    const goesOn = !isFinal && (!isFirst || (this.#autoReconnect && isRefusal));
    const next: State = goesOn ? { name: 'waiting', timer: undefined } : IDLE;
    if (this.#schedule.failed(error, Date.now())) this.#delayMs = this.#schedule.delay(Date.now());
    if (isFinal) this.#failure = error;
    this.#state = next;
    this.#end(link, error);
    // A listener may have called stop().
    if (this.#state !== next) return;
    if (!goesOn) {
      if (!isFirst) this.emit('error', error);
    } else if (isFirst) this.#retry(error);
    else this.#retryLater(error);
  }

  /** An established connection broke. */
  #lost(link: Link, error: Error, asked = false): void {
    if (this.#link !== link || !(this.#autoReconnect || asked)) return;
    if (this.#state.name !== 'connected') {
      link.trouble = error;
      return;
    }
    const waiting: State = { name: 'waiting', timer: undefined };
    this.#state = waiting;
    this.#schedule.failed(error, Date.now());
    this.#end(link, error);
    if (this.#state !== waiting) return;
    // One that never carried media is a failed attempt: it must not be repeated at once, for ever.
    if (link.reached || asked) this.#retry(error);
    else this.#retryLater(error);
  }

  #retry(error: Error): void {
    const waiting: State = { name: 'waiting', timer: undefined };
    this.#state = waiting;
    this.#delayMs = this.#schedule.delay(Date.now());
    this.emit('reconnect', { timeout: this.#delayMs, error });
    const options = this.#options;
    if (this.#state !== waiting || !options) return;
    const link = new Link();
    this.#state = { name: 'reconnecting', link };
    const tooLong = new SignalingError(`The server did not answer within ${ATTEMPT_MS / 1000} s`);
    link.overdue = setTimeout(() => link.close(tooLong), ATTEMPT_MS);
    // Its failure is dealt with in #failed; nobody waits for this promise.
    this.#run(link, options, true).catch(() => undefined);
  }

  #retryLater(error: Error): void {
    const timer = setTimeout(() => this.#retry(error), this.#delayMs);
    this.#state = { name: 'waiting', timer };
  }

  #end(link: Link, reason: Error): void {
    if (link.peer) this.closing(link.peer);
    if (this.#somebodySpeaks) this.emit('speakers', { speakers: [] });
    this.#somebodySpeaks = false;
    link.close(reason);
    if (link.peer) this.emit('connectionStateChange', 'closed');
  }
}

/** The director's ICE servers count, but an empty list of them does not take the application's away. */
function configurationOf(
  options: CommonOptions,
  reply: DirectorReply,
  carriesMetadata: boolean,
): PeerConfiguration {
  const given = reply.iceServers;
  const frames = carriesMetadata ? transformConfiguration() : {};
  const configuration = { ...options.peerConfig, ...frames };
  return Array.isArray(given) && given.length > 0
    ? { ...configuration, iceServers: given }
    : configuration;
}

/** The arguments of both constructors: `(tokenGenerator, …)`, or `(streamName, tokenGenerator, …)` as it was. */
export function constructorArguments(args: readonly unknown[]): {
  tokenGenerator: TokenGenerator;
  streamName: string | undefined;
  rest: readonly unknown[];
} {
  if (typeof args[0] === 'function') {
    const tokenGenerator = args[0] as TokenGenerator;
    // `(tokenGenerator, undefined)` and the like carry nothing more.
    return { tokenGenerator, streamName: undefined, rest: args.slice(1) };
  }
  return {
    tokenGenerator: args[1] as TokenGenerator,
    streamName: typeof args[0] === 'string' ? args[0] : undefined,
    rest: args.slice(2),
  };
}
