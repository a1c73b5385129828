import { css, html, LitElement, nothing } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { repeat } from 'lit/directives/repeat.js';
import type { HoldsEvent, Publication } from './publish-card.js';
import './publish-card.js';
import './connect-card.js';
import './incoming-list.js';
import { type Doors, loadDoors, NO_DOORS, NO_SETTINGS, type Settings } from './settings.js';
import { shared } from './styles.js';

const SIZES = ['320x180', '640x360', '960x540', '1280x720'];
const RATES = ['10', '15', '25', '30'];
const CODECS: readonly [Publication['codec'], string][] = [
  ['vp8', 'VP8'],
  ['h264', 'H264'],
  ['vp9', 'VP9'],
  ['av1', 'AV1'],
];

const TEMPORAL = ['L1T2', 'L1T3'];
const SPATIAL = ['L2T2_KEY', 'L2T3', 'L3T3_KEY', 'L3T3'];

/** Layers within one encoding that browsers make of a codec; spatial ones need VP9 or AV1. */
const modesOf = (codec: Publication['codec']): readonly string[] =>
  codec === 'vp9' || codec === 'av1' ? [...TEMPORAL, ...SPATIAL] : TEMPORAL;

/** What encoders need for three sizes; from smaller pictures they make fewer. */
const LEAST_WIDTH_OF_THREE = 960;

@customElement('publish-view')
export class PublishView extends LitElement {
  static override styles = [
    shared,
    css`
      :host {
        display: grid;
        gap: 1rem;
      }
      .cards {
        display: grid;
        gap: 1rem;
        grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr));
      }
      .doors {
        display: grid;
        gap: 1rem;
        align-items: start;
        grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr));
      }
      select,
      input {
        inline-size: 100%;
      }
      .note {
        flex-basis: 100%;
        margin: 0;
        font-size: 0.85rem;
      }
      label.short {
        flex-basis: 6rem;
      }
      label.number {
        flex: 0 1 8rem;
      }
    `,
  ];

  @property({ attribute: false }) settings: Settings = NO_SETTINGS;
  @state() private publications: Publication[] = [];
  @state() private stream = 'demo';
  @state() private doors: Doors = NO_DOORS;
  @state() private kind: Publication['kind'] = 'test';
  @state() private source = '';
  @state() private codec: Publication['codec'] = 'vp8';
  @state() private mode = '';
  @state() private size = '640x360';
  @state() private isSimulcast = false;
  #nextId = 1;
  /** Those that were refused: their names are free. */
  readonly #refused = new Set<number>();
  /** The name that the form proposed last. */
  #proposed = '';

  override connectedCallback(): void {
    super.connectedCallback();
    void loadDoors().then((doors) => {
      this.doors = doors;
    });
  }

  override render() {
    const options = (values: readonly string[], chosen: string) =>
      values.map((value) => html`<option ?selected=${value === chosen}>${value}</option>`);
    return html`
      <form class="card" @submit=${this.#start} aria-label="Publish">
        <label
          >Stream<input
            name="stream"
            required
            maxlength="128"
            .value=${this.stream}
            @input=${(event: Event) => {
              this.stream = (event.target as HTMLInputElement).value;
            }}
        /></label>
        <label
          >Source<input
            name="source"
            placeholder="main source"
            maxlength="128"
            .value=${this.source}
            @input=${(event: Event) => {
              this.source = (event.target as HTMLInputElement).value;
            }}
        /></label>
        <label
          >Picture<select
            name="kind"
            @change=${(event: Event) => {
              this.kind = (event.target as HTMLSelectElement).value as Publication['kind'];
            }}
          >
            <option value="test">Test picture</option>
            <option value="camera">Camera</option>
            <option value="screen">Screen</option>
          </select></label
        >
        <label class="short" ?hidden=${this.kind === 'screen'}
          >Size<select
            name="size"
            @change=${(event: Event) => {
              this.size = (event.target as HTMLSelectElement).value;
            }}
          >${options(SIZES, '640x360')}</select></label
        >
        <label class="short" ?hidden=${this.kind === 'screen'}
          >Frames/s<select name="fps">${options(RATES, '30')}</select></label
        >
        <label class="short"
          >Codec<select
            name="codec"
            @change=${(event: Event) => {
              this.codec = (event.target as HTMLSelectElement).value as Publication['codec'];
              if (!modesOf(this.codec).includes(this.mode)) this.mode = '';
            }}
          >
            ${CODECS.map(([value, name]) => html`<option value=${value}>${name}</option>`)}
          </select></label
        >
        <label class="short" title="Scalable video: layers within one encoding"
          >Layers<select
            name="mode"
            @change=${(event: Event) => {
              this.mode = (event.target as HTMLSelectElement).value;
            }}
          >
            <option value="" .selected=${this.mode === ''}>None</option>
            ${modesOf(this.codec).map(
              (mode) => html`<option .selected=${this.mode === mode}>${mode}</option>`,
            )}
          </select></label
        >
        <label class="number" title="Limit of the video"
          >Limit, kb/s<input
            name="limit"
            type="number"
            min="30"
            max="50000"
            step="10"
            placeholder="none"
        /></label>
        <label class="check"><input type="checkbox" name="sound" checked />Sound</label>
        <label class="check" title="Simulcast: three encodings, of which each viewer gets the one that fits"
          ><input
            type="checkbox"
            name="simulcast"
            @change=${(event: Event) => {
              this.isSimulcast = (event.target as HTMLInputElement).checked;
            }}
          />Several sizes</label
        >
        <button class="main">Start</button>
        ${
          this.#wantsThree() && this.#width() < LEAST_WIDTH_OF_THREE
            ? html`<p class="quiet note">Browsers make three sizes of pictures from 960×540 on.</p>`
            : nothing
        }
      </form>
      ${
        this.publications.length === 0
          ? html`<p class="quiet">
            Start a test picture or connect an encoder, then open <a href="#watch">Watch</a>. Several sources of one stream
            need different source names.
          </p>`
          : nothing
      }
      <div class="cards">
        ${repeat(
          this.publications,
          ({ id }) => id,
          (publication) => html`<publish-card
            .publication=${publication}
            .settings=${this.settings}
            @ended=${() => this.#ended(publication.id)}
            @holds=${({ detail }: HoldsEvent) => this.#holds(publication, detail)}
          ></publish-card>`,
        )}
      </div>
      <div class="doors">
        <connect-card
          .settings=${this.settings}
          .stream=${this.stream.trim() || 'demo'}
          .source=${this.source.trim()}
          .doors=${this.doors}
        ></connect-card>
        <incoming-list .settings=${this.settings} .stream=${this.stream.trim()}></incoming-list>
      </div>
    `;
  }

  #wantsThree(): boolean {
    return this.kind !== 'screen' && (this.isSimulcast || this.mode.startsWith('L3'));
  }

  #width(): number {
    return Number.parseInt(this.size, 10);
  }

  #start(event: SubmitEvent): void {
    event.preventDefault();
    const form = new FormData(event.target as HTMLFormElement);
    const text = (name: string) => String(form.get(name) ?? '').trim();
    const [width = 640, height = 360] = text('size').split('x').map(Number);
    const publication: Publication = {
      id: this.#nextId++,
      stream: text('stream'),
      source: text('source') || null,
      kind: text('kind') as Publication['kind'],
      width,
      height,
      fps: Number(text('fps')),
      codec: text('codec') as Publication['codec'],
      sound: form.has('sound'),
      simulcast: form.has('simulcast'),
      scalabilityMode: text('mode'),
      limitKbps: Number(text('limit')),
    };
    this.publications = [...this.publications, publication];
    this.#propose(publication.stream);
  }

  #propose(stream: string): void {
    this.#proposed = this.#freeSource(stream);
    this.source = this.#proposed;
  }

  #holds({ id, stream, source }: Publication, holds: boolean): void {
    if (holds) this.#refused.delete(id);
    else this.#refused.add(id);
    // What the person typed stays. After a refusal the next attempt is for the same source.
    if (this.stream.trim() !== stream || this.source !== this.#proposed) return;
    if (holds) this.#propose(stream);
    else {
      this.#proposed = source ?? '';
      this.source = this.#proposed;
    }
  }

  #ended(id: number): void {
    this.#refused.delete(id);
    this.publications = this.publications.filter((publication) => publication.id !== id);
  }

  /** A name for the next source, so that starting twice gives two sources and not a fail-over. */
  #freeSource(stream: string): string {
    const taken = new Set(
      this.publications.flatMap((one) =>
        one.stream === stream && !this.#refused.has(one.id) ? (one.source ?? '') : [],
      ),
    );
    if (!taken.has('')) return '';
    let number = 2;
    while (taken.has(`source-${number}`)) number++;
    return `source-${number}`;
  }
}
