import { css, html, LitElement, nothing } from 'lit';
import { customElement, property, queryAll } from 'lit/decorators.js';
import { repeat } from 'lit/directives/repeat.js';
import type { Speaker } from 'rostra';
import { shared } from './styles.js';
import { shareOf } from './voices.js';
import { sourceInWords } from './words.js';

/** Plays the multiplexed tracks of a stream, and shows who talks. */
@customElement('watch-voices')
export class WatchVoices extends LitElement {
  static override styles = [
    shared,
    css`
      :host {
        min-inline-size: 0;
      }
      ul {
        display: flex;
        flex-wrap: wrap;
        gap: 0.3rem 0.5rem;
        margin: 0;
        padding: 0;
        list-style: none;
        font-size: 0.85rem;
        /* Talk comes and goes; what is below stays where it is. */
        min-block-size: 1.6rem;
      }
      li {
        display: inline-flex;
        gap: 0.4rem;
        align-items: center;
        max-inline-size: 100%;
        box-sizing: border-box;
        padding: 0.1rem 0.6rem;
        border: 1px solid var(--line);
        border-radius: 999px;
      }
      .who {
        min-inline-size: 0;
        overflow: hidden;
        text-overflow: ellipsis;
        white-space: nowrap;
      }
      .level {
        flex: none;
        inline-size: 1.5rem;
        block-size: 0.35rem;
        border-radius: 1rem;
        background: linear-gradient(var(--good), var(--good)) 0 / var(--share) no-repeat var(--line);
      }
    `,
  ];

  @property({ attribute: false }) tracks: readonly MediaStreamTrack[] = [];
  @property({ attribute: false }) speakers: readonly Speaker[] = [];
  @property({ attribute: false }) volume = 1;
  @property({ type: Boolean }) muted = false;
  @queryAll('audio') private players!: NodeListOf<HTMLAudioElement>;
  readonly #streams = new WeakMap<MediaStreamTrack, MediaStream>();

  /** Plays on, after the person allowed it. */
  play(): void {
    for (const player of this.players) player.play().catch(() => undefined);
  }

  override render() {
    return html`
      ${repeat(
        this.tracks,
        ({ id }) => id,
        (track) => html`<audio
          autoplay
          hidden
          .srcObject=${this.#streamOf(track)}
          .volume=${this.volume}
          .muted=${this.muted}
        ></audio>`,
      )}
      <ul aria-label="Talking">
        ${this.speakers.map(
          ({ sourceId, level }) => html`<li>
            <span class="who">${sourceInWords(sourceId)}</span>
            <span class="level" style="--share: ${shareOf(level)}% 100%"></span>
          </li>`,
        )}
        ${this.speakers.length === 0 ? html`<li class="quiet">Nobody is talking</li>` : nothing}
      </ul>
    `;
  }

  /** Several tracks in one stream would play as one; and the same object each time, or the player starts anew. */
  #streamOf(track: MediaStreamTrack): MediaStream {
    const stream = this.#streams.get(track) ?? new MediaStream([track]);
    this.#streams.set(track, stream);
    return stream;
  }
}
