import { css, html, LitElement, nothing } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import { live } from 'lit/directives/live.js';
import { isOff } from './layer-words.js';
import type { Choice, StripPicture } from './stage.js';
import { shared } from './styles.js';
import { sourceInWords } from './words.js';
import './layer-menu.js';

/** A picture of the strip is wanted in the main place. */
export class ShowEvent extends Event {
  constructor(readonly source: string | null) {
    super('show');
  }
}

/** Another layer of a picture of the strip is wanted. */
export class ChooseEvent extends Event {
  constructor(
    readonly source: string | null,
    readonly choice: Choice,
  ) {
    super('choose');
  }
}

/** The sources besides the main picture. */
@customElement('watch-strip')
export class WatchStrip extends LitElement {
  static override styles = [
    shared,
    css`
      .strip {
        display: grid;
        grid-template-columns: repeat(auto-fill, minmax(min(45%, 12rem), 1fr));
        gap: 0.6rem;
        align-items: start;
      }
      .tile {
        display: grid;
        gap: 0.3rem;
      }
      button {
        position: relative;
        display: grid;
        align-content: end;
        padding: 0;
        overflow: hidden;
        min-height: 5rem;
      }
      video {
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
      .off video {
        opacity: 0.25;
      }
    `,
  ];

  @property({ attribute: false }) pictures: readonly StripPicture[] = [];

  override render() {
    return html`
      <div class="strip" aria-label="Other sources">
        ${this.pictures.map((picture) => this.#tile(picture))}
      </div>
    `;
  }

  // `live`, because Lit sets an object anew at every rendering, and a <video> starts anew with each `srcObject`.
  #tile({ source, stream, media, choice, talks }: StripPicture) {
    const name = sourceInWords(source);
    return html`
      <div class="tile">
        <button
          class=${isOff(media) ? 'off' : ''}
          @click=${() => this.dispatchEvent(new ShowEvent(source))}
          title="Show ${name} in the main picture"
        >
          ${
            stream
              ? html`<video autoplay muted playsinline .srcObject=${live(stream)}></video>`
              : nothing
          }
          <span class="caption ${talks ? 'talks' : ''}">${name}</span>
        </button>
        ${
          stream
            ? html`<layer-menu
              compact
              promotable
              .title=${name}
              .media=${media}
              .choice=${choice}
              @chosen=${({ detail }: CustomEvent<Choice>) =>
                this.dispatchEvent(new ChooseEvent(source, detail))}
            ></layer-menu>`
            : nothing
        }
      </div>
    `;
  }
}
