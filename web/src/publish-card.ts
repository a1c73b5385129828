import { css, html, LitElement, nothing } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { live } from 'lit/directives/live.js';
import { Director, Publish } from 'rostra';
import { Meter, type Reading, rateInWords } from './meter.js';
import { NO_SETTINGS, type Settings } from './settings.js';
import { shared } from './styles.js';
import { TestPicture } from './test-picture.js';
import { counted, inWords, sourceInWords } from './words.js';

export interface Publication {
  readonly id: number;
  readonly stream: string;
  /** `null` is the main source. */
  readonly source: string | null;
  readonly kind: 'test' | 'camera' | 'screen';
  readonly width: number;
  readonly height: number;
  readonly fps: number;
  readonly codec: 'vp8' | 'h264' | 'vp9' | 'av1';
  readonly sound: boolean;
  readonly simulcast: boolean;
  /** Layers within one encoding, as `L3T3_KEY`; empty for none. */
  readonly scalabilityMode: string;
  /** Limit of the video in kilobits per second; 0 is none. */
  readonly limitKbps: number;
}

interface Capture {
  stream: MediaStream;
  stop(): void;
}

async function capture(publication: Publication): Promise<Capture> {
  const { kind, width, height, fps, sound } = publication;
  if (kind === 'test') {
    const name = publication.source ?? publication.stream;
    return new TestPicture({ name, width, height, fps, sound });
  }
  if (!navigator.mediaDevices) {
    throw new Error('the browser gives cameras and screens to https and localhost pages only');
  }
  const stream =
    kind === 'camera'
      ? await navigator.mediaDevices.getUserMedia({
          audio: sound,
          video: { width: { ideal: width }, height: { ideal: height }, frameRate: { ideal: fps } },
        })
      : await navigator.mediaDevices.getDisplayMedia({ audio: sound, video: true });
  const stop = () => {
    for (const track of stream.getTracks()) track.stop();
  };
  return { stream, stop };
}

/** Whether the publication holds the name of its source: one that was refused does not. */
export type HoldsEvent = CustomEvent<boolean>;

@customElement('publish-card')
export class PublishCard extends LitElement {
  static override styles = [
    shared,
    css`
      .card {
        display: grid;
        gap: 0.6rem;
      }
      .head h2 {
        margin-inline-end: auto;
      }
      .note {
        margin: 0;
        font-size: 0.9rem;
      }
    `,
  ];

  @property({ attribute: false }) publication!: Publication;
  @property({ attribute: false }) settings: Settings = NO_SETTINGS;
  @state() private picture: MediaStream | undefined;
  @state() private status: { text: string; look: 'good' | 'warn' | 'bad' } = {
    text: 'Starting…',
    look: 'warn',
  };
  @state() private trouble = '';
  @state() private reading: Reading | undefined;
  @state() private viewers: number | undefined;
  /** It ended by itself, or never began: it can be tried again. */
  @state() private isOver = false;
  /** Viewers get the tracks of another publisher of the source. */
  @state() private isReplaced = false;
  #publish: Publish | undefined;
  #capture: Capture | undefined;
  #poll: ReturnType<typeof setInterval> | undefined;

  override firstUpdated(): void {
    void this.#start();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#stop();
  }

  // `live`, because Lit sets an object anew at every rendering, and a <video> starts anew with each `srcObject`.
  override render() {
    const { stream, source, codec } = this.publication;
    const { reading, isReplaced } = this;
    const { text, look } = this.#state();
    return html`
      <article class="card" aria-label="${stream}, ${sourceInWords(source)}">
        <div class="head">
          <h2>${stream} <span class="quiet">${source ? `/ ${source}` : ''}</span></h2>
          ${this.isOver ? html`<button @click=${this.#again}>Try again</button>` : nothing}
          <button @click=${() => this.dispatchEvent(new Event('ended'))}>${this.isOver ? 'Close' : 'Stop'}</button>
        </div>
        <video autoplay muted playsinline .srcObject=${live(this.picture ?? null)}></video>
        <div class="facts">
          <span class="state ${look}" role="status">${text}</span>
          ${reading ? html`<span>${rateInWords(reading.kbps)}</span>` : nothing}
          ${
            reading?.width
              ? html`<span>${reading.sizes.join(' + ')}, ${Math.round(reading.fps)} fps</span>`
              : nothing
          }
          <span>${(reading?.codec || codec).toUpperCase()} ${reading?.mode ?? ''}</span>
          ${
            this.viewers === undefined || isReplaced || this.isOver
              ? nothing
              : html`<span>${counted(this.viewers, 'viewer')}</span>`
          }
        </div>
        ${this.trouble ? html`<p class="trouble" role="alert">${this.trouble}</p>` : nothing}
        ${
          isReplaced && !this.isOver
            ? html`<p class="quiet note" role="status">
              Another publisher sends this source too, and viewers get that one. Stop this one, or start it again with a
              source name of its own.
            </p>`
            : nothing
        }
      </article>
    `;
  }

  #state(): { text: string; look: 'good' | 'warn' | 'bad' } {
    const isLive = this.status.look === 'good';
    return isLive && this.isReplaced ? { text: 'In reserve', look: 'warn' } : this.status;
  }

  /** Ended by a refusal: the person may try again, and the name of the source is free. */
  #over(error: unknown): void {
    this.trouble = inWords(error, { kind: 'publish', token: this.settings.publishToken });
    this.status = { text: 'Stopped', look: 'bad' };
    this.reading = undefined;
    this.#holds(false);
  }

  #holds(holds: boolean): void {
    this.isOver = !holds;
    this.dispatchEvent(new CustomEvent('holds', { detail: holds }) satisfies HoldsEvent);
  }

  readonly #again = (): void => {
    this.trouble = '';
    this.status = { text: 'Starting…', look: 'warn' };
    this.#stop();
    this.#capture = undefined;
    this.isReplaced = false;
    this.viewers = undefined;
    this.#holds(true);
    void this.#start();
  };

  async #start(): Promise<void> {
    // Known beforehand: no camera is asked for.
    if (this.settings.publishToken === '') return this.#over({ status: 401 });
    try {
      const captured = await capture(this.publication);
      if (!this.isConnected) return captured.stop();
      this.#capture = captured;
      this.picture = captured.stream;
      for (const track of captured.stream.getTracks()) {
        // The person ended it in the browser's own controls.
        track.addEventListener('ended', () => this.dispatchEvent(new Event('ended')));
      }
      await this.#connect(captured.stream);
    } catch (error) {
      if (!this.isConnected) return;
      // After other refusals than that of the token the client goes on by itself.
      if (this.#publish && this.#publish.state !== 'idle') this.trouble = inWords(error);
      else this.#over(error);
    }
  }

  async #connect(mediaStream: MediaStream): Promise<void> {
    const { stream, source, codec, simulcast, scalabilityMode, limitKbps } = this.publication;
    const publish = new Publish(() =>
      Director.getPublisher({ token: this.settings.publishToken, streamName: stream }),
    );
    this.#publish = publish;
    publish.on('connectionStateChange', (state) => {
      if (state === 'connected') {
        this.status = { text: 'Live', look: 'good' };
        this.trouble = '';
      } else if (state === 'disconnected') this.status = { text: 'Interrupted', look: 'warn' };
      else if (state === 'connecting') this.status = { text: 'Connecting…', look: 'warn' };
    });
    publish.on('reconnect', ({ error }) => {
      this.status = { text: 'Trying again…', look: 'warn' };
      this.trouble = inWords(error);
      this.reading = undefined;
      this.isReplaced = false;
    });
    publish.on('error', (error) => this.#over(error));
    publish.on('broadcastEvent', ({ name, data }) => {
      if (name === 'viewercount') this.viewers = Number(data.viewercount);
      if (name === 'leading') this.isReplaced = data.leading === false;
    });
    const meter = new Meter('outbound-rtp');
    this.#poll = setInterval(() => {
      void publish.webRTCPeer?.getStats().then((report) => {
        this.reading = meter.read(report as ReadonlyMap<string, Record<string, unknown>>);
      });
    }, 1000);
    await publish.connect({
      mediaStream,
      sourceId: source,
      codec,
      simulcast,
      scalabilityMode: scalabilityMode || null,
      bandwidth: limitKbps,
      events: ['viewercount', 'leading'],
    });
  }

  #stop(): void {
    clearInterval(this.#poll);
    this.#publish?.stop();
    this.#capture?.stop();
  }
}
