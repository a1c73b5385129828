import { css, html, LitElement, nothing, type PropertyValues } from 'lit';
import { customElement, property, query, state } from 'lit/decorators.js';
import { live } from 'lit/directives/live.js';
import { type BroadcastEvent, Director, View } from 'rostra';
import { ClockReader, delayOf } from './clock.js';
import { Meter, type Reading, rateInWords } from './meter.js';
import { NO_SETTINGS, type Settings } from './settings.js';
import { Sources } from './sources.js';
import { shared } from './styles.js';
import { counted, inWords, sourceInWords } from './words.js';

type Look = 'good' | 'warn' | 'bad';

/** The pictures of the strip are small; a source that has several encodings sends a small one. */
const STRIP_LAYER = { maxHeight: 240 };

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
      .strip {
        display: grid;
        grid-template-columns: repeat(auto-fill, minmax(min(45%, 12rem), 1fr));
        gap: 0.6rem;
      }
      .strip button {
        display: grid;
        align-content: end;
        padding: 0;
        overflow: hidden;
        min-height: 5rem;
      }
      .strip video {
        border-radius: 0;
      }
      /* Below the picture: on one this small it would hide too much. */
      .caption {
        padding: 0.25rem 0.5rem;
        font-size: 0.85rem;
        text-align: start;
        overflow: hidden;
        text-overflow: ellipsis;
        white-space: nowrap;
      }
    `,
  ];

  @property() stream = '';
  @property({ attribute: false }) settings: Settings = NO_SETTINGS;
  @query('video.main') private video!: HTMLVideoElement;
  @state() private picture: MediaStream | null = null;
  @state() private status: { text: string; look: Look } = { text: 'Connecting…', look: 'warn' };
  @state() private trouble = '';
  @state() private isMuted = false;
  @state() private canRetry = false;
  @state() private reading: Reading | undefined;
  @state() private delayMs: number | undefined;
  readonly #sources = new Sources();
  readonly #clock = new ClockReader();
  #delays: number[] = [];
  #view: View | undefined;
  #poll: ReturnType<typeof setInterval> | undefined;
  /** Changes of what is shown follow one another: each starts from the result of the one before. */
  #changes: Promise<void> = Promise.resolve();

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
    const { reading, delayMs } = this;
    const shown = this.#sources.main;
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
            }}
          ></video>
          ${shown === undefined ? nothing : html`<span class="name">${sourceInWords(shown)}</span>`}
          ${
            this.isMuted && !this.#trouble()
              ? html`<button class="sound main" @click=${this.#unmute}>Turn the sound on</button>`
              : nothing
          }
          ${this.#message()}
        </div>
        <div class="facts">
          <span class="state ${this.status.look}" role="status">${this.status.text}</span>
          ${delayMs === undefined ? nothing : html`<span class="delay">Delay ${Math.round(delayMs)} ms</span>`}
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
                <span class="dropped">${counted(reading.dropped, 'frame')} dropped</span>
                <span>${counted(reading.lost, 'packet')} lost</span>`
              : nothing
          }
        </div>
        ${this.#strip()}
      </article>
    `;
  }

  #trouble(): string {
    return this.trouble || this.#sources.inWords();
  }

  #message() {
    const text = this.#trouble();
    if (!text) return nothing;
    return html`
      <div class="message" role="status">
        <p>${text}</p>
        ${this.canRetry ? html`<button @click=${this.#connect}>Try again</button>` : nothing}
      </div>
    `;
  }

  #strip() {
    const others = this.#sources.others();
    if (others.length === 0) return nothing;
    return html`
      <div class="strip" aria-label="Other sources">
        ${others.map(
          ({ source, stream }) => html`
            <button
              @click=${() => this.#swap(source)}
              title="Show ${sourceInWords(source)} in the main picture"
            >
              ${
                stream
                  ? html`<video autoplay muted playsinline .srcObject=${live(stream)}></video>`
                  : nothing
              }
              <span class="caption">${sourceInWords(source)}</span>
            </button>
          `,
        )}
      </div>
    `;
  }

  readonly #connect = (): void => {
    this.canRetry = false;
    this.trouble = '';
    this.status = { text: 'Connecting…', look: 'warn' };
    this.#sources.reset();
    this.#changes = Promise.resolve();
    this.#view?.stop();
    const view = new View(() =>
      Director.getSubscriber({
        streamName: this.stream,
        streamAccountId: this.settings.accountId,
        subscriberToken: this.settings.subscribeToken || undefined,
      }),
    );
    this.#view = view;
    view.on('track', (event) => {
      // Added tracks come without streams; the strip has its own.
      const [stream] = event.streams;
      if (stream) this.picture = stream;
    });
    view.on('connectionStateChange', (state) => {
      if (state === 'connected') {
        this.status = { text: 'Connected', look: 'good' };
        this.trouble = '';
      } else if (state === 'disconnected') this.status = { text: 'Interrupted', look: 'warn' };
    });
    view.on('reconnect', ({ error }) => {
      this.status = { text: 'Trying again…', look: 'warn' };
      this.trouble = `${inWords(error)} Waiting for it…`;
      this.#sources.lost();
    });
    view.on('error', (error) => this.#gaveUp(error));
    view.on('broadcastEvent', (event) => this.#heard(view, event));
    view.connect().catch((error) => {
      if (this.#view === view && view.state === 'idle') this.#gaveUp(error);
    });
  };

  #gaveUp(error: unknown): void {
    this.status = { text: 'Not connected', look: 'bad' };
    this.trouble = inWords(error);
    this.canRetry = true;
  }

  #heard(view: View, { name, data }: BroadcastEvent): void {
    const source = typeof data.sourceId === 'string' ? data.sourceId : null;
    if (name === 'active' || name === 'updated') this.#sources.appeared(source, data.tracks);
    else if (name === 'inactive') this.#sources.vanished(source);
    else if (name === 'stopped') this.#sources.lost();
    else return;
    this.requestUpdate();
    this.#change(() => this.#arrange(view));
  }

  #change(action: () => Promise<void>): void {
    this.#changes = this.#changes.then(action).then(
      () => this.requestUpdate(),
      // A connection that ends meanwhile is told by its own events; the next `active` arranges anew.
      () => this.requestUpdate(),
    );
  }

  /** Gives the main picture a source, and every other live source a place in the strip. */
  async #arrange(view: View): Promise<void> {
    const sources = this.#sources;
    // An event may come before the answer that it follows is applied.
    if (view.state !== 'connected') await once(view);
    if (sources.main === undefined) {
      const first = sources.firstLive();
      if (first === undefined) return;
      // The unnamed source is there without asking.
      if (first !== null) await view.project(first, sources.mainMapping(first));
      sources.main = first;
    }
    for (const source of sources.withoutPlace()) {
      const place = sources.freePlace() ?? (await this.#newPlace(view));
      const mapping = { media: 'video', mediaId: place.mid, layer: STRIP_LAYER } as const;
      await view.project(source, [mapping]);
      place.source = source;
    }
  }

  async #newPlace(view: View) {
    const stream = new MediaStream();
    const { mid } = await view.addRemoteTrack('video', [stream]);
    return this.#sources.addPlace(mid ?? '', stream);
  }

  /** Exchanges the main picture with one of the strip. */
  #swap(source: string | null): void {
    const view = this.#view;
    if (!view) return;
    this.#change(async () => {
      const sources = this.#sources;
      const before = sources.main;
      const place = sources.placeOf(source);
      if (before === source || !sources.isLive(source)) return;
      await view.project(source, sources.mainMapping(source));
      sources.main = source;
      this.#delays = [];
      this.delayMs = undefined;
      if (!place) return;
      place.source = undefined;
      if (before !== undefined && sources.hasVideo(before)) {
        const mapping = { media: 'video', mediaId: place.mid, layer: STRIP_LAYER } as const;
        await view.project(before, [mapping]);
        place.source = before;
      } else await view.unproject([place.mid]);
    });
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
  }

  readonly #meter = new Meter('inbound-rtp');
  #isOddTurn = false;

  #measure(): void {
    const clock = this.#view?.isActive() ? this.#clock.read(this.video) : undefined;
    if (clock === undefined) this.#delays = [];
    else this.#delays = [...this.#delays.slice(-4), delayOf(clock, Date.now())];
    this.delayMs = this.#delays.toSorted((a, b) => a - b)[Math.floor(this.#delays.length / 2)];
    this.#isOddTurn = !this.#isOddTurn;
    if (this.#isOddTurn) return;
    void this.#view?.webRTCPeer?.getStats().then((report) => {
      this.reading = this.#meter.read(report as ReadonlyMap<string, Record<string, unknown>>);
    });
  }
}

/** Resolves when the view is connected; `connect()` resolves right after its answer is applied. */
function once(view: View): Promise<void> {
  return new Promise((resolve, reject) => {
    view.once('connectionStateChange', (state) => {
      if (view.state === 'connected') resolve();
      else if (state === 'connecting') resolve(once(view));
      else reject(new Error('The connection ended'));
    });
  });
}
