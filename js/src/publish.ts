import { type CommonOptions, Connection, constructorArguments } from './connection.js';
import type { TokenGenerator } from './director.js';
import { asError, OptionError, StateError } from './errors.js';
import { canTransform } from './frames.js';
import type { Claims } from './jwt.js';
import type { Peer } from './peer.js';
import { withOpusParameter, withSsrcSimulcast, withVideoBandwidth } from './sdp.js';
import { metadataUnit, TIMED_JSON, uuidBytes } from './sei.js';
import type { BroadcastEvent } from './signal.js';

export type VideoCodec = 'h264' | 'vp8' | 'vp9' | 'av1' | 'h265';

export interface PublishOptions extends CommonOptions {
  /** At most one audio and one video track. */
  mediaStream?: MediaStream | MediaStreamTrack[];
  /** Which source of the stream this is; without it, the main source. */
  sourceId?: string | null;
  /** The server answers only this one; `h264` unless named. */
  codec?: VideoCodec;
  /** Of several feeds of one source the highest wins, the newest among equals. */
  priority?: number;
  /** Record from the start (`true`), or not although the token says so (`false`). */
  record?: boolean;
  /**
   * Three encodings of the video, each half as wide as the next. They are told apart by RID (`true`, `rid`), or
   * by the SSRCs of a `SIM` group (`ssrc`; Chromium with H264 and VP8, by RID elsewhere) as servers older than RIDs need.
   */
  simulcast?: boolean | 'rid' | 'ssrc';
  /** For example `L1T3` or `L3T3_KEY`, with `vp9` and `av1`; with `simulcast` that of each encoding. */
  scalabilityMode?: string | null;
  /** Limit of the video in kilobits per second; 0 is none. */
  bandwidth?: number;
  dtx?: boolean;
  stereo?: boolean;
}

/** Not in every TypeScript library of the browsers yet (W3C webrtc-svc). */
type Encoding = RTCRtpEncodingParameters & { scalabilityMode?: string };

/** Lowest first, as the layers are reported. */
const SIMULCAST: readonly Encoding[] = [
  { rid: 'q', scaleResolutionDownBy: 4 },
  { rid: 'h', scaleResolutionDownBy: 2 },
  { rid: 'f', scaleResolutionDownBy: 1 },
];

/** A feed: sends one audio and one video track to a stream. */
export class Publish extends Connection<PublishOptions> {
  readonly #streamName: string | undefined;
  /** What is sent, by kind; outlives a connection, so that a replaced track is sent by the next one too. */
  #tracks = new Map<string, MediaStreamTrack>();
  #canRecord = false;
  #isBySsrc = false;
  /** Puts a unit into the frames of the present connection. */
  #write: ((unit: Uint8Array) => void) | undefined;

  constructor(tokenGenerator: TokenGenerator, autoReconnect?: boolean);
  constructor(
    streamName: string | null | undefined,
    tokenGenerator: TokenGenerator,
    autoReconnect?: boolean | object | null,
  );
  constructor(...args: unknown[]) {
    const { tokenGenerator, streamName, rest } = constructorArguments(args);
    super(tokenGenerator, rest[0] !== false);
    this.#streamName = streamName;
  }

  /** Sends another track in place of the one of its kind, now and after every reconnection. */
  async replaceTrack(track: MediaStreamTrack): Promise<void> {
    if (!this.#tracks.has(track.kind)) throw new OptionError(`No ${track.kind} is being sent`);
    this.#tracks.set(track.kind, track);
    await this.webRTCPeer?.replaceTrack(track);
  }

  /** The server's name for the present connection. */
  get publisherId(): string | undefined {
    return this.replied('publisherId');
  }

  /**
   * Sends any JSON value with the next frame of every encoding, to viewers that asked for `metadata`. With another
   * `uuid` than the usual one they get bytes, and no time.
   *
   * @throws {StateError} without a connection.
   * @throws {OptionError} when the connection was made without `metadata` or for another codec, or the value is no JSON.
   */
  sendMetadata(value: unknown, uuid: string = TIMED_JSON): void {
    if (!this.connectedPeer) {
      throw new StateError('not_connected', 'sendMetadata needs a connection');
    }
    if (!this.#write) {
      throw new OptionError(
        'sendMetadata needs metadata: true, H264 and a browser with transforms',
      );
    }
    const bytes = uuidBytes(uuid);
    if (!bytes) throw new OptionError(`Not a UUID: ${uuid}`);
    const json = jsonOf(value);
    this.#write(metadataUnit(bytes, json, Date.now()));
  }

  /** Starts a recording. @throws {OptionError} when the token does not allow it. */
  async record(): Promise<void> {
    this.#checkRecord();
    await this.request('record');
  }

  /** Ends a recording. @throws {OptionError} when the token does not allow it. */
  async unrecord(): Promise<void> {
    this.#checkRecord();
    await this.request('unrecord');
  }

  protected override check(options: PublishOptions): void {
    const { mediaStream, codec, disableVideo } = options;
    const tracks = Array.isArray(mediaStream) ? mediaStream : (mediaStream?.getTracks() ?? []);
    if (tracks.length === 0)
      throw new OptionError('A mediaStream with tracks is needed to publish');
    const byKind = new Map(tracks.map((track) => [track.kind, track]));
    if (byKind.size < tracks.length) {
      throw new OptionError('One audio and one video track at most; give the others a sourceId');
    }
    if (options.disableAudio && disableVideo) {
      throw new OptionError('With audio and video both disabled there is nothing to publish');
    }
    if (codec && byKind.has('video') && !disableVideo) checkCodec(codec);
  }

  protected override checkClaims(claims: Claims, options: PublishOptions): void {
    this.#canRecord = claims.record;
    if (options.record) this.#checkRecord();
  }

  protected override addMedia(peer: Peer, options: PublishOptions): void {
    const { mediaStream } = options;
    const streams = mediaStream && !Array.isArray(mediaStream) ? [mediaStream] : [];
    if (this.#tracks.size === 0) {
      const tracks = Array.isArray(mediaStream) ? mediaStream : (mediaStream?.getTracks() ?? []);
      this.#tracks = new Map(tracks.map((track) => [track.kind, track]));
    }
    this.#isBySsrc = isBySsrc(options);
    const carriesMetadata = this.carriesMetadata(options);
    for (const track of this.#tracks.values()) {
      const isVideo = track.kind === 'video';
      const disabled = isVideo ? options.disableVideo : options.disableAudio;
      const encodings = isVideo ? encodingsOf(options) : [];
      const transceiver = peer.addTransceiver(track, {
        direction: disabled ? 'inactive' : 'sendonly',
        streams,
        ...(encodings.length > 0 ? { sendEncodings: encodings } : {}),
      });
      if (!carriesMetadata) continue;
      if (isVideo) this.#write = peer.writeMetadata(transceiver);
      else if (!options.peerConfig?.encodedInsertableStreams) peer.passFrames(transceiver);
    }
  }

  protected override carriesMetadata(options: PublishOptions): boolean {
    const isH264 = (options.codec ?? 'h264') === 'h264';
    return options.metadata === true && isH264 && !options.disableVideo && canTransform();
  }

  protected override mungeOffer(sdp: string, options: PublishOptions): string {
    const first = options.stereo ? withOpusParameter(sdp, 'stereo') : sdp;
    const second = options.dtx ? withOpusParameter(first, 'usedtx') : first;
    return isBySsrc(options) ? withSsrcSimulcast(second) : second;
  }

  protected override mungeAnswer(sdp: string, { bandwidth }: PublishOptions): string {
    return bandwidth ? withVideoBandwidth(sdp, bandwidth) : sdp;
  }

  protected override command(sdp: string, streamName: string | undefined, options: PublishOptions) {
    const { codec, sourceId, priority, record, events } = options;
    const data = {
      name: streamName ?? this.#streamName,
      sdp,
      codec: codec ?? 'h264',
      ...(sourceId ? { sourceId } : {}),
      ...(priority ? { priority } : {}),
      ...(record === undefined ? {} : { record }),
      ...(Array.isArray(events) ? { events } : {}),
    };
    return { name: 'publish', data };
  }

  protected override opening(): void {}

  protected override opened(peer: Peer): void {
    const sender = peer.getSenders().find(({ track }) => track?.kind === 'video');
    if (!this.#isBySsrc || !sender) return;
    // The encodings of a SIM group were scaled by older Chromium by itself; now all are as large as the track.
    const parameters = sender.getParameters();
    const { encodings } = parameters;
    if (encodings?.length !== SIMULCAST.length) return;
    for (const [at, encoding] of encodings.entries()) {
      encoding.scaleResolutionDownBy = SIMULCAST[at]?.scaleResolutionDownBy ?? 1;
    }
    // Refused only when the connection is being closed.
    sender.setParameters(parameters).catch(() => undefined);
  }

  protected override closing(peer: Peer): void {
    // A track that was replaced on `webRTCPeer` is sent by the next connection too.
    for (const track of peer.getTracks()) this.#tracks.set(track.kind, track);
    this.#write = undefined;
  }

  protected override tracked(): void {}

  protected override signalled(event: BroadcastEvent): void {
    this.emit('broadcastEvent', event);
  }

  protected override forget(): void {
    this.#tracks = new Map();
  }

  #checkRecord(): void {
    if (!this.#canRecord) throw new OptionError('This token does not allow recording');
  }
}

/** `SIM` groups are a habit of Chromium, and of its encoders for these two. */
function isBySsrc({ simulcast, codec }: PublishOptions): boolean {
  const isChromium = /Chrom(e|ium)\//.test(globalThis.navigator?.userAgent ?? '');
  return simulcast === 'ssrc' && isChromium && (codec ?? 'h264').match(/^(h264|vp8)$/) !== null;
}

/** What the video is sent as; empty when that is left to the browser. */
function encodingsOf(options: PublishOptions): Encoding[] {
  const { simulcast, codec } = options;
  const isScalable = codec === 'vp9' || codec === 'av1';
  // Without a mode Chromium makes spatial layers of one encoding out of several ones of VP9 and AV1.
  const mode = options.scalabilityMode || (simulcast && isScalable ? 'L1T1' : undefined);
  const layers = mode ? { scalabilityMode: mode } : {};
  if (simulcast && !isBySsrc(options)) return SIMULCAST.map((one) => ({ ...one, ...layers }));
  return mode && !simulcast ? [layers] : [];
}

function jsonOf(value: unknown): string {
  let json: string | undefined;
  try {
    json = JSON.stringify(value);
  } catch (error) {
    throw new OptionError(`Not a JSON value: ${asError(error).message}`);
  }
  // Functions and the like have no JSON, and no error either.
  if (json === undefined) throw new OptionError('Not a JSON value');
  return json;
}

function checkCodec(codec: string): void {
  const capabilities = globalThis.RTCRtpSender?.getCapabilities?.('video');
  if (!capabilities) return;
  const known = new Set(
    capabilities.codecs.map(({ mimeType }) => mimeType.toLowerCase().replace('video/', '')),
  );
  if (!known.has(codec.toLowerCase())) {
    const offered = ['h264', 'vp8', 'vp9', 'av1', 'h265'].filter((name) => known.has(name));
    throw new OptionError(`This browser cannot send ${codec}, only ${offered.join(', ')}`);
  }
}
