import { css, html, LitElement, nothing, type PropertyValues } from 'lit';
import { customElement, property, query, state } from 'lit/decorators.js';
import { live } from 'lit/directives/live.js';
import { Director, View } from 'rostra';
import { ClockReader, DelayMeter } from './clock.js';
import { isOff, shownInWords } from './layer-words.js';
import { MainMedia } from './main-media.js';
import { Meter, type Reading, rateInWords } from './meter.js';
import { NO_SETTINGS, type Settings } from './settings.js';
import { AUTOMATIC, type Choice, Stage } from './stage.js';
import { shared } from './styles.js';
import { isVoice, VOICES } from './voices.js';
import type { ChooseEvent, ShowEvent } from './watch-strip.js';
import type { WatchVoices } from './watch-voices.js';
import { counted, inWords, sourceInWords, waitingInWords } from './words.js';
import './audio-level.js';
import './layer-menu.js';
import './line-panel.js';
import './watch-problems.js';
import './watch-strip.js';
import './watch-voices.js';

const CONNECTING = 'Connecting…';

type Look = 'good' | 'warn' | 'bad';

@customElement('watch-player')
export class WatchPlayer extends LitElement {
  static override styles = [
    shared,
    css`
      .card {
        display: grid;
        gap: 0.6rem;
      }
      .stage {
        position: relative;
      }
      .stage video {
        max-block-size: 56vh;
      }
      .message {
        position: absolute;
        inset: 0;
        display: grid;
        place-content: center;
        justify-items: center;
        gap: 0.6rem;
        text-align: center;
        padding: 1rem;
        color: #fff;
        background: #000a;
        border-radius: 8px;
      }
      .message p {
        margin: 0;
      }
      .name {
        position: absolute;
        inset-block-start: 0.5rem;
        inset-inline-start: 0.5rem;
        max-inline-size: calc(100% - 1rem);
        box-sizing: border-box;
        padding: 0.1rem 0.5rem;
        border-radius: 6px;
        background: #000a;
        color: #fff;
        font-size: 0.8rem;
        overflow: hidden;
        text-overflow: ellipsis;
        white-space: nowrap;
      }
      .sound {
        position: absolute;
        inset-block-end: 0.6rem;
        inset-inline-end: 0.6rem;
      }
    `,
  ];

  @property() stream = '';
  @property({ attribute: false }) settings: Settings = NO_SETTINGS;
  @query('video.main') private video!: HTMLVideoElement;
  @query('watch-voices') private speech!: WatchVoices | null;
  @state() private picture: MediaStream | null = null;
  @state() private voices: readonly MediaStreamTrack[] = [];
  @state() private volume = 1;
  @state() private status: { text: string; look: Look } = { text: CONNECTING, look: 'warn' };
  @state() private trouble = '';
  @state() private isMuted = false;
  @state() private canRetry = false;
  /** The next attempt is made by itself, some seconds later. */
  @state() private isWaiting = false;
  @state() private reading: Reading | undefined;
  @state() private delayMs: number | undefined;
  readonly #clock = new ClockReader();
  readonly #delay = new DelayMeter();
  #media = new MainMedia();
  #view: View | undefined;
  #stage: Stage | undefined;
  #poll: ReturnType<typeof setInterval> | undefined;

  override firstUpdated(): void {
    this.#poll = setInterval(() => this.#measure(), 500);
    this.#connect();
  }

  override updated(changed: PropertyValues): void {
    if (changed.has('picture' as keyof this)) void this.#play();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearInterval(this.#poll);
    this.#view?.stop();
  }

  // `live`, because Lit sets an object anew at every rendering, and a <video> starts anew with each `srcObject`.
  override render() {
    const { delayMs } = this;
    const { text, look } = this.#state();
    const kinds = this.#stage?.sources.mainKinds();
    // Of a source that is away there is nothing to measure.
    const reading = kinds ? this.reading : undefined;
    const isAudioOnly = kinds?.has('audio') && !kinds.has('video');
    const shown = this.#stage?.sources.main;
    return html`
      <article class="card" aria-label="Stream ${this.stream}">
        <div class="head">
          <h2>${this.stream}</h2>
          <button @click=${() => this.dispatchEvent(new Event('ended'))}>Close</button>
        </div>
        <div class="stage">
          <video
            class="main"
            autoplay
            playsinline
            ?controls=${!this.#trouble()}
            .srcObject=${live(this.picture)}
            .muted=${this.isMuted}
            @volumechange=${() => {
              this.isMuted = this.video.muted;
              this.volume = this.video.volume;
            }}
          ></video>
          ${shown === undefined ? nothing : html`<span class="name ${this.#stage?.talks(shown) ? 'talks' : ''}">${sourceInWords(shown)}</span>`}
          ${isAudioOnly && !this.#trouble() ? html`<audio-level .level=${reading?.level}></audio-level>` : nothing}
          ${
            this.isMuted && !this.#trouble()
              ? html`<button class="sound main" @click=${this.#unmute}>Turn the sound on</button>`
              : nothing
          }
          ${this.#message()}
        </div>
        <div class="facts">
          <span class="state ${look}" role="status">${text}</span>
          ${delayMs === undefined || !kinds ? nothing : html`<span class="delay">Delay ${Math.round(delayMs)} ms</span>`}
          ${
            reading
              ? html`
                <span class="rate">${rateInWords(reading.kbps)}</span>
                ${
                  reading.width
                    ? html`<span>${reading.width}×${reading.height}, ${Math.round(reading.fps)} fps</span>
                      <span>${reading.codec.toUpperCase()}</span>`
                    : nothing
                }
                ${isAudioOnly ? nothing : html`<span class="dropped">${counted(reading.dropped, 'frame')} dropped</span>`}
                <span>${counted(reading.lost, 'packet')} lost</span>`
              : nothing
          }
        </div>
        ${this.#layers()} ${this.#strip()} ${this.#voices()}
        ${
          this.settings.apiSecret
            ? html`<watch-problems .settings=${this.settings} .stream=${this.stream}></watch-problems>
            <line-panel
              .secret=${this.settings.apiSecret}
              .subscriber=${this.#view?.subscriberId}
              .shown=${shownInWords(this.#stage?.media)}
              .nameOf=${this.#nameOf}
              .absent=${this.#trouble()}
              ?dark=${!reading?.fps && !isAudioOnly}
            ></line-panel>`
            : nothing
        }
      </article>
    `;
  }

  /** The state of the connection; without a source it is nothing to be glad of. */
  #state(): { text: string; look: Look } {
    const isWaiting = this.status.look === 'good' && !this.#stage?.sources.mainKinds();
    return isWaiting ? { text: 'Waiting for a source', look: 'warn' } : this.status;
  }

  #trouble(): string {
    const isConnecting = this.status.text === CONNECTING;
    // Before the connection is made nobody knows what is live.
    const text =
      this.trouble || (isConnecting ? CONNECTING : (this.#stage?.sources.inWords() ?? ''));
    if (text) return text;
    return isOff(this.#stage?.media)
      ? 'This picture is off: the line is too slow for it. It comes back by itself.'
      : '';
  }

  #message() {
    const text = this.#trouble();
    if (!text) return nothing;
    return html`
      <div class="message" role="status">
        <p>${text}</p>
        ${this.canRetry ? html`<button @click=${this.#connect}>Try again</button>` : nothing}
        ${this.isWaiting ? html`<button @click=${() => this.#view?.reconnect()}>Try now</button>` : nothing}
      </div>
    `;
  }

  readonly #nameOf = (mid: string): string => {
    const source = this.#stage?.sourceAt(mid);
    return source === undefined ? `Picture ${mid}` : sourceInWords(source);
  };

  #layers() {
    const { media, choice, sources } = this.#stage ?? {};
    if (!media || sources?.main === undefined) return nothing;
    const source = sources.main;
    return html`<layer-menu
      .title=${sourceInWords(source)}
      .media=${media}
      .choice=${choice ?? AUTOMATIC}
      ?promotable=${sources.others().length > 0}
      @chosen=${({ detail }: CustomEvent<Choice>) => this.#stage?.choose(source, detail)}
    ></layer-menu>`;
  }

  #strip() {
    const pictures = this.#stage?.strip ?? [];
    if (pictures.length === 0) return nothing;
    return html`<watch-strip
      .pictures=${pictures}
      @show=${({ source }: ShowEvent) => this.#show(source)}
      @choose=${({ source, choice }: ChooseEvent) => this.#stage?.choose(source, choice)}
    ></watch-strip>`;
  }

  /** With one source there is nobody to tell apart. Its players stay, for whoever comes next. */
  #voices() {
    const isAlone = (this.#stage?.sources.others().length ?? 0) === 0;
    return html`<watch-voices
      ?hidden=${isAlone}
      .tracks=${this.voices}
      .speakers=${this.#stage?.speakers ?? []}
      .volume=${this.volume}
      .muted=${this.isMuted}
    ></watch-voices>`;
  }

  readonly #connect = (): void => {
    this.canRetry = false;
    this.isWaiting = false;
    this.trouble = '';
    this.status = { text: CONNECTING, look: 'warn' };
    this.#view?.stop();
    this.voices = [];
    const view = new View(() =>
      Director.getSubscriber({
        streamName: this.stream,
        streamAccountId: this.settings.accountId,
        subscriberToken: this.settings.subscribeToken || undefined,
      }),
    );
    this.#view = view;
    const media = new MainMedia();
    const stage = new Stage(view, () => {
      if (this.#stage !== stage) return;
      media.update(stage.sources.mainKinds());
      this.picture = media.stream;
      this.requestUpdate();
    });
    this.#stage = stage;
    this.#media = media;
    view.on('track', (event) => {
      // Added tracks come without streams; the strip has its own.
      const [stream] = event.streams;
      if (isVoice(view, event)) this.voices = stream ? [...this.voices, event.track] : this.voices;
      else if (stream) {
        media.received(event.track);
        media.update(stage.sources.mainKinds());
        this.picture = media.stream;
      }
    });
    view.on('connectionStateChange', (state) => {
      if (state === 'connected') {
        this.status = { text: 'Connected', look: 'good' };
        this.trouble = '';
        this.isWaiting = false;
      } else if (state === 'disconnected') this.status = { text: 'Interrupted', look: 'warn' };
    });
    view.on('reconnect', ({ error }) => {
      this.status = { text: 'Trying again…', look: 'warn' };
      // Tried now by the person: why it did not work before is still what there is to say.
      if (error.name !== 'StateError') this.trouble = waitingInWords(error);
      this.isWaiting = true;
      stage.lost();
      this.voices = [];
    });
    view.on('error', (error) => this.#gaveUp(error));
    view.on('broadcastEvent', (event) => stage.heard(event));
    view.connect(VOICES).catch((error) => {
      if (this.#view === view && view.state === 'idle') this.#gaveUp(error);
    });
  };

  #gaveUp(error: unknown): void {
    this.status = { text: 'Not connected', look: 'bad' };
    this.trouble = inWords(error, { kind: 'subscribe', token: this.settings.subscribeToken });
    this.canRetry = true;
    this.isWaiting = false;
  }

  #show(source: string | null): void {
    this.#stage?.swap(source);
    // The delay of another picture.
    this.#delay.forget();
    this.delayMs = undefined;
  }

  async #play(): Promise<void> {
    if (!this.picture) return;
    try {
      await this.video.play();
    } catch (error) {
      // Browsers play sound only after the person has done something on the page.
      if ((error as Error).name !== 'NotAllowedError' || this.isMuted) return;
      this.isMuted = true;
      await this.updateComplete;
      await this.video.play().catch(() => undefined);
    }
  }

  #unmute(): void {
    this.isMuted = false;
    void this.updateComplete.then(() => this.video.play()).catch(() => undefined);
    void this.updateComplete.then(() => this.speech?.play());
  }

  readonly #meter = new Meter('inbound-rtp');
  #isOddTurn = false;

  #measure(): void {
    const clock = this.#view?.isActive() ? this.#clock.read(this.video) : undefined;
    const { totalVideoFrames } = this.video.getVideoPlaybackQuality();
    this.delayMs = this.#delay.read(totalVideoFrames, clock, Date.now());
    this.#isOddTurn = !this.#isOddTurn;
    if (this.#isOddTurn) return;
    void this.#view?.webRTCPeer?.getStats().then((report) => {
      const figures = report as ReadonlyMap<string, Record<string, unknown>>;
      this.reading = this.#meter.read(figures, this.#media.ids);
    });
  }
}
