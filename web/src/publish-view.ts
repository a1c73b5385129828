import { css, html, LitElement, nothing } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { repeat } from 'lit/directives/repeat.js';
import type { Publication } from './publish-card.js';
import './publish-card.js';
import { NO_SETTINGS, type Settings } from './settings.js';
import { shared } from './styles.js';

const SIZES = ['320x180', '640x360', '960x540', '1280x720'];
const RATES = ['10', '15', '25', '30'];
const CODECS: readonly [Publication['codec'], string][] = [
  ['vp8', 'VP8'],
  ['h264', 'H264'],
  ['vp9', 'VP9'],
  ['av1', 'AV1'],
];

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
      select,
      input {
        inline-size: 100%;
      }
      label.short {
        flex-basis: 6rem;
      }
    `,
  ];

  @property({ attribute: false }) settings: Settings = NO_SETTINGS;
  @state() private publications: Publication[] = [];
  @state() private kind: Publication['kind'] = 'test';
  @state() private source = '';
  #nextId = 1;

  override render() {
    const options = (values: readonly string[], chosen: string) =>
      values.map((value) => html`<option ?selected=${value === chosen}>${value}</option>`);
    return html`
      <form class="card" @submit=${this.#start} aria-label="Publish">
        <label>Stream<input name="stream" required maxlength="128" value="demo" /></label>
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
          >Size<select name="size">${options(SIZES, '640x360')}</select></label
        >
        <label class="short" ?hidden=${this.kind === 'screen'}
          >Frames/s<select name="fps">${options(RATES, '30')}</select></label
        >
        <label class="short"
          >Codec<select name="codec">
            ${CODECS.map(([value, name]) => html`<option value=${value}>${name}</option>`)}
          </select></label
        >
        <label class="check"><input type="checkbox" name="sound" checked />Sound</label>
        <label class="check"
          ><input type="checkbox" name="simulcast" />Several sizes</label
        >
        <button class="main">Start</button>
      </form>
      ${
        this.publications.length === 0
          ? html`<p class="quiet">
            Start a test picture, then open <a href="#watch">Watch</a>. Several sources of one stream
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
          ></publish-card>`,
        )}
      </div>
    `;
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
    };
    this.publications = [...this.publications, publication];
    this.source = this.#freeSource(publication.stream);
  }

  #ended(id: number): void {
    this.publications = this.publications.filter((publication) => publication.id !== id);
  }

  /** A name for the next source, so that starting twice gives two sources and not a fail-over. */
  #freeSource(stream: string): string {
    const taken = new Set(
      this.publications.flatMap((one) => (one.stream === stream ? (one.source ?? '') : [])),
    );
    if (!taken.has('')) return '';
    let number = 2;
    while (taken.has(`source-${number}`)) number++;
    return `source-${number}`;
  }
}
