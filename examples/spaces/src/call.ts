import { FetchError, Publish, View } from 'rostra';
import { release } from './capture.js';
import { refreshable } from './tokens.js';
import type { Joined, Room, Token } from './types.js';
import { levelsIn, ownLevelIn, Voices } from './voices.js';
import type { Wire } from './wire.js';

/** How many voices besides the host's are heard at once. */
const VOICES = 3;
const SAMPLE_MS = 120;
const RETRY_MS = 2_000;

export interface CallHandlers {
  /** Something that is shown is another. */
  changed(): void;
  /** Levels were read; much more often than anything else changes. */
  sampled(): void;
  trouble(text: string): void;
}

export type Speaking = 'off' | 'starting' | 'live' | 'interrupted';
export type Listening = 'starting' | 'live' | 'interrupted';

/** The media of one person in one room: receives the room, and sends to it while the person is a speaker. */
export class Call {
  readonly voices = new Voices();
  listening: Listening = 'starting';
  speaking: Speaking = 'off';
  /** What is sent; the own picture is taken from it. */
  captured: MediaStream | undefined;
  /** The browser wants a tap before it plays sound. */
  isSilenced = false;
  readonly #wire: Wire;
  readonly #room: Room;
  readonly #me: string;
  readonly #handlers: CallHandlers;
  readonly #view: View;
  readonly #sounds = new Map<string, HTMLAudioElement>();
  /** Sources that are live, and whether they send a picture. */
  readonly #live = new Map<string, boolean>();
  readonly #sampling: ReturnType<typeof setInterval>;
  #picture: MediaStream | undefined;
  #publish: Publish | undefined;
  #firstPublisherToken: Token | undefined;
  #ended = false;

  constructor(wire: Wire, joined: Joined, me: string, handlers: CallHandlers) {
    this.#wire = wire;
    this.#room = joined.room;
    this.#me = me;
    this.#handlers = handlers;
    this.#firstPublisherToken = joined.publisherToken;
    this.#view = this.#makeView(joined.viewerToken);
    void this.#listen();
    this.#sampling = setInterval(() => void this.#sample(), SAMPLE_MS);
  }

  /** The picture of the host, while there is one. */
  get picture(): MediaStream | undefined {
    const { ownerId } = this.#room;
    if (ownerId === this.#me) {
      return this.captured?.getVideoTracks().length ? this.captured : undefined;
    }
    return this.#live.get(ownerId) ? this.#picture : undefined;
  }

  /** The host sends its voice and no picture: it has no camera. */
  get isWithoutPicture(): boolean {
    const { ownerId } = this.#room;
    return ownerId === this.#me
      ? this.captured !== undefined && this.captured.getVideoTracks().length === 0
      : this.#live.get(ownerId) === false;
  }

  /** Sends a microphone, and the host's camera. Ends with `quiet()`. */
  async speak(captured: MediaStream, muted: boolean): Promise<void> {
    this.quiet();
    const publish = new Publish(
      refreshable(this.#firstPublisherToken, this.#asks('publisher-token'), document.baseURI),
    );
    this.#firstPublisherToken = undefined;
    this.#publish = publish;
    this.captured = captured;
    this.mute(muted);
    publish.on('connectionStateChange', (state) => {
      if (state === 'connected') this.#speaks('live');
    });
    publish.on('reconnect', () => this.#speaks('interrupted'));
    publish.on('error', (error) => {
      if (this.#publish !== publish) return;
      this.quiet();
      this.#handlers.trouble(`You are not heard any more: ${error.message}`);
    });
    this.#speaks('starting');
    try {
      await publish.connect({
        mediaStream: captured,
        sourceId: this.#me,
        codec: 'vp8',
        simulcast: captured.getVideoTracks().length > 0,
        disableVideo: captured.getVideoTracks().length === 0,
        dtx: true,
        events: [],
      });
    } catch (error) {
      // After a refusal by the director the client goes on by itself.
      if (this.#publish !== publish || publish.state !== 'idle') return;
      this.quiet();
      this.#handlers.trouble(`You cannot be heard: ${(error as Error).message}`);
    }
  }

  /** Sends nothing more, and lets the microphone go. */
  quiet(): void {
    this.#publish?.stop();
    this.#publish = undefined;
    release(this.captured);
    this.captured = undefined;
    this.#speaks('off');
  }

  /** Sends silence, or the microphone. */
  mute(muted: boolean): void {
    for (const track of this.captured?.getAudioTracks() ?? []) track.enabled = !muted;
  }

  /** Sends black, or the camera. */
  hide(hidden: boolean): void {
    for (const track of this.captured?.getVideoTracks() ?? []) track.enabled = !hidden;
    this.#handlers.changed();
  }

  get isHidden(): boolean {
    return this.captured?.getVideoTracks()[0]?.enabled === false;
  }

  /** Plays what the browser held back; needs to be called by a tap. */
  unsilence(): void {
    this.isSilenced = false;
    for (const sound of this.#sounds.values()) this.#play(sound);
    this.#handlers.changed();
  }

  end(): void {
    this.#ended = true;
    clearInterval(this.#sampling);
    this.quiet();
    this.#view.stop();
    for (const sound of this.#sounds.values()) sound.srcObject = null;
    this.#sounds.clear();
  }

  #makeView(first: Token | undefined): View {
    const view = new View(refreshable(first, this.#asks('viewer-token'), document.baseURI));
    view.on('track', (event) => this.#tracked(event));
    view.on('broadcastEvent', ({ name, data }) => {
      if (typeof data.sourceId !== 'string') return;
      if (name === 'active') this.#live.set(data.sourceId, hasVideo(data.tracks));
      else if (name === 'inactive') this.#live.delete(data.sourceId);
      this.#handlers.changed();
    });
    view.on('connectionStateChange', (state) => {
      if (state === 'connected') this.#listens('live');
    });
    view.on('reconnect', () => {
      this.#live.clear();
      this.#listens('interrupted');
    });
    view.on('error', (error) => this.#handlers.trouble(`You hear nothing: ${error.message}`));
    return view;
  }

  async #listen(): Promise<void> {
    const isOwner = this.#room.ownerId === this.#me;
    try {
      await this.#view.connect({
        // The host is the main picture and sound of everybody else; the host has none, and hears the others.
        pinnedSourceId: isOwner ? null : this.#room.ownerId,
        multiplexedAudioTracks: VOICES,
        excludedSourceIds: [this.#me],
        disableVideo: this.#room.audioOnly || isOwner,
        events: ['active', 'inactive', 'vad'],
      });
    } catch (error) {
      // The client goes on by itself after a refusal, which may end with the next token; it does not when the
      // signalling could not be opened at first.
      const isFinal = error instanceof FetchError && error.status === 401;
      if (this.#ended || isFinal || this.#view.state !== 'idle') return;
      this.#listens('interrupted');
      setTimeout(() => {
        if (!this.#ended) void this.#listen();
      }, RETRY_MS);
    }
  }

  #tracked({ track, transceiver }: RTCTrackEvent): void {
    const mid = transceiver.mid ?? '';
    if (track.kind === 'video') {
      this.#picture = new MediaStream([track]);
    } else {
      const sound = this.#sounds.get(mid) ?? new Audio();
      this.#sounds.set(mid, sound);
      sound.srcObject = new MediaStream([track]);
      this.#play(sound);
    }
    this.#handlers.changed();
  }

  #play(sound: HTMLAudioElement): void {
    sound.play().catch((error: unknown) => {
      // Anything else is a newer track that took this one's place.
      if (!(error instanceof DOMException) || error.name !== 'NotAllowedError') return;
      this.isSilenced = true;
      this.#handlers.changed();
    });
  }

  async #sample(): Promise<void> {
    const [heard, sent] = await Promise.all([
      this.#view.webRTCPeer?.getStats(),
      this.#publish?.webRTCPeer?.getStats(),
    ]);
    const now = performance.now();
    type Report = ReadonlyMap<string, Record<string, unknown>>;
    for (const [mid, level] of heard ? levelsIn(heard as unknown as Report) : []) {
      // The server moves voices between the tracks; the client keeps what the `vad` events said of each.
      const source = this.#view.sourceOf(mid);
      if (source) this.voices.sampled(source, level, now);
    }
    if (sent) this.voices.sampled(this.#me, ownLevelIn(sent as unknown as Report), now);
    if (!this.#ended) this.#handlers.sampled();
  }

  #asks(command: 'viewer-token' | 'publisher-token'): () => Promise<Token> {
    return async () => (await this.#wire.ask(command, { roomId: this.#room.id })) as Token;
  }

  #speaks(speaking: Speaking): void {
    if (this.speaking === speaking) return;
    this.speaking = speaking;
    this.#handlers.changed();
  }

  #listens(listening: Listening): void {
    this.listening = listening;
    this.#handlers.changed();
  }
}

function hasVideo(tracks: unknown): boolean {
  return (
    Array.isArray(tracks) && tracks.some((track: { media?: unknown }) => track?.media === 'video')
  );
}
