import { css, html, LitElement, nothing } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import { live } from 'lit/directives/live.js';
import { repeat } from 'lit/directives/repeat.js';
import type { MediaLayers } from 'rostra';
import { choiceInWords, choicesOf, isOff, keyOf, shownInWords } from './layer-words.js';
import { AUTOMATIC, type Choice } from './stage.js';
import { shared } from './styles.js';

/** What a picture may be sent as, what of it is chosen, and what is sent. */
@customElement('layer-menu')
export class LayerMenu extends LitElement {
  static override styles = [
    shared,
    css`
      :host {
        display: flex;
        flex-wrap: wrap;
        gap: 0.3rem 0.8rem;
        align-items: center;
        font-size: 0.85rem;
      }
      label.menu {
        display: flex;
        align-items: center;
        gap: 0.5rem;
        flex: 0 1 auto;
        min-inline-size: 0;
      }
      select {
        min-height: 2rem;
        max-inline-size: 100%;
        padding-inline: 0.4rem;
      }
      label.check {
        min-height: 2rem;
      }
      .shown {
        color: var(--faint);
        font-variant-numeric: tabular-nums;
      }
      .shown.off {
        color: var(--warn);
      }
      :host([compact]) {
        gap: 0.1rem 0.6rem;
      }
      :host([compact]) label.menu {
        flex: 1 1 100%;
      }
      :host([compact]) label.menu span {
        display: none;
      }
      :host([compact]) select {
        inline-size: 100%;
      }
    `,
  ];

  /** The name of the source. */
  @property() override title = '';
  @property({ attribute: false }) media: MediaLayers | undefined;
  @property({ attribute: false }) choice: Choice = AUTOMATIC;
  /** There are other pictures that it can come before. */
  @property({ type: Boolean }) promotable = false;

  override render() {
    const { media, choice } = this;
    if (!media) return nothing;
    const choices = choicesOf(media);
    const chosen = choice.layer && keyOf(choice.layer);
    const isGone = chosen !== undefined && choices.every((entry) => keyOf(entry) !== chosen);
    const shown = shownInWords(media);
    const off = isOff(media);
    return html`
      ${
        choices.length > 1 || chosen !== undefined
          ? html`<label class="menu"
            ><span>Quality</span
            ><select aria-label="Quality of ${this.title}" @change=${this.#chosen}>
              <option value="" .selected=${live(chosen === undefined)}>Automatic</option>
              ${
                choice.layer && isGone
                  ? html`<option value=${keyOf(choice.layer)} .selected=${live(true)}>
                    ${choiceInWords(choice.layer, media)} (not sent now)
                  </option>`
                  : nothing
              }
              ${repeat(
                choices,
                keyOf,
                (entry) => html`<option
                  value=${keyOf(entry)}
                  .selected=${live(keyOf(entry) === chosen)}
                >
                  ${choiceInWords(entry, media)}
                </option>`,
              )}
            </select></label
          >`
          : nothing
      }
      ${
        this.promotable
          ? html`<label class="check" title="It gets its share of the line before other pictures"
            ><input
              type="checkbox"
              aria-label="Promote ${this.title}"
              .checked=${live(choice.promote)}
              @change=${this.#promoted}
            />Promote</label
          >`
          : nothing
      }
      ${
        shown
          ? html`<span class="shown ${off ? 'off' : ''}">${off ? 'Off: line too slow' : `Shows ${shown}`}</span>`
          : nothing
      }
    `;
  }

  readonly #chosen = (event: Event): void => {
    const { value } = event.target as HTMLSelectElement;
    const layer =
      this.media?.layers.find((entry) => keyOf(entry) === value) ??
      (value === '' ? undefined : this.choice.layer);
    this.#tell({ ...this.choice, layer });
  };

  readonly #promoted = (event: Event): void => {
    this.#tell({ ...this.choice, promote: (event.target as HTMLInputElement).checked });
  };

  #tell(choice: Choice): void {
    this.choice = choice;
    this.dispatchEvent(new CustomEvent<Choice>('chosen', { detail: choice }));
  }
}
