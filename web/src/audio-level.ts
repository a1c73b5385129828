import { css, html, LitElement } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import { shareOf } from './voices.js';

/** Stands in the place of the picture of a stream that has only audio: how loud it is. */
@customElement('audio-level')
export class AudioLevel extends LitElement {
  static override styles = css`
    :host {
      position: absolute;
      inset: 0;
      display: grid;
      place-content: center;
      justify-items: center;
      gap: 0.7rem;
      color: #fff;
      /* The controls of the player are below. */
      pointer-events: none;
    }
    .level {
      inline-size: min(14rem, 60vw);
      block-size: 0.6rem;
      border-radius: 1rem;
      background: linear-gradient(var(--good), var(--good)) 0 / var(--share) no-repeat #fff3;
    }
    @media (prefers-reduced-motion: no-preference) {
      .level {
        transition: background-size 0.3s;
      }
    }
  `;

  /** From 0, silence, to 1. */
  @property({ attribute: false }) level: number | undefined;

  override render() {
    const share = this.level ? shareOf(20 * Math.log10(this.level)) : 0;
    return html`
      <span>Audio only</span>
      <span
        class="level"
        role="meter"
        aria-label="Audio level"
        aria-valuemin="0"
        aria-valuemax="100"
        aria-valuenow=${share}
        style="--share: ${share}% 100%"
      ></span>
    `;
  }
}
