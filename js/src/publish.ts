import { type CommonOptions, Connection, constructorArguments } from './connection.js';
import type { TokenGenerator } from './director.js';
import { OptionError } from './errors.js';
import type { Claims } from './jwt.js';
import type { Peer } from './peer.js';
import { withOpusParameter, withVideoBandwidth } from './sdp.js';
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
  /** Three encodings of the video, each half as wide as the next. */
  simulcast?: boolean;
  /** For example `L1T3` or `L3T3_KEY`, with `vp9` and `av1`. */
  scalabilityMode?: string | null;
  /** Limit of the video in kilobits per second; 0 is none. */
  bandwidth?: number;
  dtx?: boolean;
  stereo?: boolean;
}

/** Lowest first, as the layers are reported. */
const SIMULCAST: RTCRtpEncodingParameters[] = [
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
    const { mediaStream, simulcast, scalabilityMode } = options;
    const streams = mediaStream && !Array.isArray(mediaStream) ? [mediaStream] : [];
    if (this.#tracks.size === 0) {
      const tracks = Array.isArray(mediaStream) ? mediaStream : (mediaStream?.getTracks() ?? []);
      this.#tracks = new Map(tracks.map((track) => [track.kind, track]));
    }
    for (const track of this.#tracks.values()) {
      const isVideo = track.kind === 'video';
      const disabled = isVideo ? options.disableVideo : options.disableAudio;
      const init: RTCRtpTransceiverInit = {
        direction: disabled ? 'inactive' : 'sendonly',
        streams,
      };
      if (isVideo && simulcast) init.sendEncodings = SIMULCAST.map((encoding) => ({ ...encoding }));
      else if (isVideo && scalabilityMode) {
        // Not in every TypeScript library of the browsers yet (W3C webrtc-svc).
        const encoding: RTCRtpEncodingParameters & { scalabilityMode?: string } = {
          scalabilityMode,
        };
        init.sendEncodings = [encoding];
      }
      peer.addTransceiver(track, init);
    }
  }

  protected override mungeOffer(sdp: string, { stereo, dtx }: PublishOptions): string {
    const first = stereo ? withOpusParameter(sdp, 'stereo') : sdp;
    return dtx ? withOpusParameter(first, 'usedtx') : first;
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

  protected override opened(): void {}

  protected override closing(peer: Peer): void {
    // A track that was replaced on `webRTCPeer` is sent by the next connection too.
    for (const track of peer.getTracks()) this.#tracks.set(track.kind, track);
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
