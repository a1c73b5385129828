import {
  type CommonOptions,
  Connection,
  constructorArguments,
  DEPENDENCY_DESCRIPTOR,
} from './connection.js';
import type { TokenGenerator } from './director.js';
import { OptionError, StateError } from './errors.js';
import { canTransform } from './frames.js';
import type { Claims } from './jwt.js';
import type { OfferedExtension, Peer } from './peer.js';
import { type Kind, withOpusParameter } from './sdp.js';
import type { BroadcastEvent } from './signal.js';
import { vadOf } from './voices.js';
import { type LayerInfo, type ProjectionMapping, Wishes } from './wishes.js';

export interface ViewOptions extends CommonOptions {
  /** The source of the main picture and sound; without it, the unnamed one. */
  pinnedSourceId?: string | null;
  /** Sources that are never put into the multiplexed audio tracks: one's own, above all. */
  excludedSourceIds?: string[] | null;
  /** How many audio tracks the server fills with whoever speaks loudest. */
  multiplexedAudioTracks?: number;
  /** The first choice of layer for the main picture. */
  layer?: LayerInfo | null;
  /** Milliseconds. */
  forcePlayoutDelay?: { min: number; max: number };
  /** How the server chooses layers; `bitrate`, in bits per second, is what it assumes of the line at first. */
  abrConfiguration?: {
    strategy?: 'quality' | 'bandwidth' | 'performance' | (string & {});
    metadata?: { bitrate?: number };
  };
  /** Changes layers less eagerly. */
  forceSmooth?: boolean;
  /** Passed to the server as it is, for options that this client does not know. */
  customKeys?: Record<string, unknown>;
}

/** The events that a view hears without `events`. `speakers` is not among them. */
export const VIEW_EVENTS: readonly string[] = [
  'active',
  'inactive',
  'layers',
  'viewercount',
  'vad',
  'updated',
  'migrate',
  'stopped',
];

interface AddedTrack {
  readonly kind: Kind;
  readonly streams: readonly MediaStream[];
  mid: string | null;
  track: MediaStreamTrack;
}

/** A viewer: receives a stream, and chooses which of its sources each of its tracks shows. */
export class View extends Connection<ViewOptions> {
  readonly #streamName: string | undefined;
  readonly #mediaElement: HTMLMediaElement | undefined;
  /** Track events wait here until the server said that something is live; then it is `undefined`. */
  #withheld: RTCTrackEvent[] | undefined = [];
  #wishes = new Wishes();
  #added: AddedTrack[] = [];
  #pinned: string | null = null;
  /** Who is heard in the multiplexed tracks of this connection, by mid. */
  readonly #voices = new Map<string, string | null>();
  #elementIsFed = false;
  /** `active` events are subscribed to, so that a projection can wait for the one of its source. */
  #hearsActive = true;
  /** Set when the frames are read for metadata; an application that reads them too looks after the audio. */
  #listens: { readonly passesAudio: boolean } | undefined;

  constructor(
    tokenGenerator: TokenGenerator,
    mediaElement?: HTMLMediaElement | null,
    autoReconnect?: boolean,
  );
  constructor(
    streamName: string | null | undefined,
    tokenGenerator: TokenGenerator,
    mediaElement?: HTMLMediaElement | null,
    autoReconnect?: boolean,
  );
  constructor(...args: unknown[]) {
    const { tokenGenerator, streamName, rest } = constructorArguments(args);
    super(tokenGenerator, rest[1] !== false);
    this.#streamName = streamName;
    this.#mediaElement = (rest[0] as HTMLMediaElement | null | undefined) ?? undefined;
  }

  /**
   * Shows tracks of a source (`null` is the main one) in tracks of ours. Resolves when the server accepted it;
   * the picture changes with the next key frame. It is asked for again after a reconnection.
   */
  async project(
    sourceId: string | null | undefined,
    mapping: readonly ProjectionMapping[],
  ): Promise<void> {
    const peer = this.#needPeer('project');
    const mids = new Set(peer.getTransceivers().map(({ mid }) => mid));
    for (const { trackId, media, mediaId } of mapping) {
      if (!trackId && !media) throw new OptionError('A projection needs a trackId or a media kind');
      if (mediaId != null && mediaId !== '' && !mids.has(String(mediaId))) {
        throw new OptionError(`This view has no mediaId ${mediaId}`);
      }
    }
    const source = sourceId ?? null;
    await this.request('project', { sourceId: source, mapping });
    this.#wishes.projected(source, mapping, (kind) => mainMid(peer, kind));
  }

  /** Stops what these tracks of ours show. Ones that show nothing are fine. */
  async unproject(mediaIds: readonly (string | number | null | undefined)[]): Promise<void> {
    const mids = mediaIds.flatMap((mid) => (mid === null || mid === undefined ? [] : String(mid)));
    await this.request('unproject', { mediaIds: mids });
    this.#wishes.unprojected(mids);
  }

  /** Chooses the layer of the main picture; `{}` leaves it to the server. */
  async select(choice: LayerInfo | { layer?: LayerInfo } = {}): Promise<void> {
    const layer = 'layer' in choice ? (choice.layer ?? {}) : choice;
    const peer = this.connectedPeer;
    await this.request('select', { layer });
    this.#wishes.selected(layer as LayerInfo, peer ? mainMid(peer, 'video') : null);
  }

  /**
   * One more track to project into. Its `mid` is set when this resolves; the received track is put into
   * `streams`, and its successor too after a reconnection.
   */
  async addRemoteTrack(
    kind: Kind,
    streams: readonly MediaStream[] = [],
  ): Promise<RTCRtpTransceiver> {
    const peer = this.#needPeer('addRemoteTrack');
    const transceiver = await this.whileLinked(
      peer.addReceiver(kind, (added) => this.#listen(peer, added, kind)),
    );
    if (this.connectedPeer !== peer) throw new StateError('stopped', 'The connection was closed');
    const { track } = transceiver.receiver;
    for (const stream of streams) stream.addTrack(track);
    this.#added.push({ kind, streams, mid: transceiver.mid, track });
    return transceiver;
  }

  /**
   * The source that a received track is for now, named by the track, its transceiver or its `mid`: for a multiplexed
   * audio track whoever is heard in it, else what was projected, else the pinned source. `null` is the main source;
   * `undefined`: nobody, or not a track of the present connection. It needs the event `vad`, which is there by default.
   */
  sourceOf(
    received: MediaStreamTrack | RTCRtpTransceiver | string | null,
  ): string | null | undefined {
    const transceivers = this.webRTCPeer?.getTransceivers() ?? [];
    const found = transceivers.find(
      (one) => one === received || one.mid === received || one.receiver.track === received,
    );
    const mid = found?.mid;
    if (!found || mid === null || mid === undefined) return undefined;
    const shown = this.#wishes.shown(mid);
    if (shown) return shown === 'nothing' ? this.#voices.get(mid) : shown.sourceId;
    const { kind } = found.receiver.track;
    const isMain = found === transceivers.find(({ receiver }) => receiver.track.kind === kind);
    return isMain ? this.#pinned : this.#voices.get(mid);
  }

  /** The server's name for the present connection. */
  get subscriberId(): string | undefined {
    return this.replied('subscriberId');
  }

  /** Also on `webRTCPeer`; a viewer that sends nothing has nothing to replace. */
  async replaceTrack(track: MediaStreamTrack): Promise<void> {
    await this.#needPeer('replaceTrack').replaceTrack(track);
  }

  protected override check(options: ViewOptions): void {
    if (options.disableAudio && options.disableVideo) {
      throw new OptionError('With audio and video both disabled there is nothing to watch');
    }
  }

  protected override checkClaims(_claims: Claims, _options: ViewOptions): void {}

  protected override addMedia(peer: Peer, options: ViewOptions): void {
    this.#listens = this.carriesMetadata(options)
      ? { passesAudio: !options.peerConfig?.encodedInsertableStreams }
      : undefined;
    const add = (kind: Kind) =>
      this.#listen(peer, peer.addTransceiver(kind, { direction: 'recvonly' }), kind);
    if (!options.disableVideo) add('video');
    const main = options.disableAudio ? 0 : 1;
    for (let left = main + (options.multiplexedAudioTracks ?? 0); left > 0; left--) add('audio');
  }

  protected override carriesMetadata(options: ViewOptions): boolean {
    return options.metadata === true && !options.disableVideo && canTransform();
  }

  protected override extensions(options: ViewOptions): OfferedExtension[] {
    const asked = super.extensions(options);
    if (options.dependencyDescriptor !== undefined) return asked;
    return [...asked, { uri: DEPENDENCY_DESCRIPTOR, insists: false }];
  }

  protected override mungeOffer(sdp: string): string {
    return withOpusParameter(sdp, 'stereo');
  }

  protected override mungeAnswer(sdp: string): string {
    return sdp;
  }

  protected override command(sdp: string, streamName: string | undefined, options: ViewOptions) {
    const { pinnedSourceId, excludedSourceIds, multiplexedAudioTracks, layer } = options;
    const { forcePlayoutDelay, customKeys, events } = options;
    const abr = abrOf(options);
    this.#pinned = pinnedSourceId || null;
    this.#hearsActive = !events || events.includes('active');
    const data = {
      sdp,
      streamId: streamName ?? this.#streamName,
      events: Array.isArray(events) ? events : VIEW_EVENTS,
      ...(pinnedSourceId ? { pinnedSourceId } : {}),
      ...(excludedSourceIds ? { excludedSourceIds } : {}),
      ...(multiplexedAudioTracks ? { vad: true } : {}),
      ...(layer ? { layer } : {}),
      ...(forcePlayoutDelay ? { forcePlayoutDelay } : {}),
      ...(abr ? { abr } : {}),
      ...(customKeys ? { customKeys } : {}),
    };
    return { name: 'view', data };
  }

  protected override opening(again: boolean): void {
    if (this.#withheld) this.#withheld = [];
    this.#elementIsFed = false;
    if (again) this.#wishes.outlive();
  }

  protected override opened(peer: Peer): void {
    // All are queued at once, before anything that the application adds: so they get the mids they had.
    const restored = this.#added.map(async (added) => {
      const transceiver = await peer.addReceiver(added.kind, (one) =>
        this.#listen(peer, one, added.kind),
      );
      const { track } = transceiver.receiver;
      for (const stream of added.streams) {
        stream.removeTrack(added.track);
        stream.addTrack(track);
      }
      if (added.mid !== transceiver.mid) this.#wishes.moved(added.mid, transceiver.mid);
      added.mid = transceiver.mid;
      added.track = track;
    });
    void Promise.allSettled(restored).then(() => {
      if (this.connectedPeer !== peer) return;
      this.#wishes.isReady = true;
      this.#replay();
    });
  }

  protected override closing(peer: Peer): void {
    const heard = [...this.#voices.keys()];
    this.#voices.clear();
    for (const mediaId of heard) this.#emitVoice(peer, mediaId, undefined);
  }

  protected override tracked(event: RTCTrackEvent): void {
    if (this.#withheld) this.#withheld.push(event);
    else this.#deliver(event);
  }

  protected override signalled(event: BroadcastEvent): void {
    this.#wishes.heard(event);
    if (event.name === 'active') this.#openGate();
    const voice = vadOf(event);
    if (voice?.sourceId === undefined) this.#voices.delete(voice?.mediaId ?? '');
    else this.#voices.set(voice.mediaId, voice.sourceId);
    this.emit('broadcastEvent', event);
    if (voice) this.#emitVoice(this.webRTCPeer, voice.mediaId, voice.sourceId);
    if (event.name === 'active' || event.name === 'updated') this.#replay();
  }

  protected override forget(): void {
    this.#withheld = [];
    this.#wishes = new Wishes();
    this.#added = [];
  }

  #needPeer(call: string): Peer {
    const peer = this.connectedPeer;
    if (!peer) throw new StateError('not_connected', `${call} needs a connection`);
    return peer;
  }

  /** Reads the metadata of a new receiver, if this view asked for it. */
  #listen(peer: Peer, transceiver: RTCRtpTransceiver, kind: Kind): void {
    if (!this.#listens) return;
    if (kind === 'video') {
      peer.readMetadata(transceiver, (metadata) => {
        const { mid, receiver } = transceiver;
        this.emit('metadata', { mid, track: receiver.track, ...metadata });
      });
    } else if (this.#listens.passesAudio) peer.passFrames(transceiver);
  }

  #openGate(): void {
    const events = this.#withheld ?? [];
    this.#withheld = undefined;
    for (const event of events) this.#deliver(event);
  }

  #deliver(event: RTCTrackEvent): void {
    const stream = event.streams[0];
    if (this.#mediaElement && stream && !this.#elementIsFed) {
      this.#mediaElement.srcObject = stream;
      this.#elementIsFed = true;
    }
    this.emit('track', event);
  }

  #emitVoice(peer: Peer | null, mediaId: string, sourceId: string | null | undefined): void {
    const transceivers = peer?.getTransceivers() ?? [];
    const track = transceivers.find(({ mid }) => mid === mediaId)?.receiver.track;
    this.emit('vad', { mediaId, sourceId, track });
  }

  /** Asks again for what was asked for before the connection was lost, as far as it is live. */
  #replay(): void {
    for (const { name, data, settle } of this.#wishes.due(this.#hearsActive)) {
      this.request(name, data).then(
        () => settle(true),
        () => settle(false),
      );
    }
  }
}

function mainMid(peer: Peer, kind: Kind): string | null {
  const main = peer.getTransceivers().find(({ receiver }) => receiver.track.kind === kind);
  return main?.mid ?? null;
}

function abrOf({ abrConfiguration, forceSmooth }: ViewOptions): object | undefined {
  const { strategy, metadata } = abrConfiguration ?? {};
  const abr = {
    ...(metadata?.bitrate ? { initialBitrate: metadata.bitrate } : {}),
    ...(strategy ? { strategy } : {}),
    ...(forceSmooth === undefined ? {} : { forceSmooth }),
  };
  return Object.keys(abr).length > 0 ? abr : undefined;
}
