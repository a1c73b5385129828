import { css, html, LitElement, nothing } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import { styleMap } from 'lit/directives/style-map.js';
import { hue, initials } from './faces.js';
import { icon } from './icons.js';
import { shared } from './styles.js';

/** The letters of a person on its colour, a ring that grows with its voice, and a sign of what it does. */
@customElement('spaces-face')
export class Face extends LitElement {
  static override styles = [
    shared,
    css`
      :host {
        --size: 4.5rem;
        inline-size: var(--size);
        block-size: var(--size);
        position: relative;
        flex: none;
      }
      .face {
        inline-size: 100%;
        block-size: 100%;
        border-radius: 38%;
        display: grid;
        place-items: center;
        color: #fff;
        font-size: calc(var(--size) * 0.36);
        font-weight: 700;
        letter-spacing: 0.02em;
        background: linear-gradient(
          145deg,
          hsl(var(--hue) 62% 52%),
          hsl(calc(var(--hue) + 38) 66% 36%)
        );
        user-select: none;
      }
      .ring {
        position: absolute;
        inset: -4px;
        border-radius: 42%;
        border: 3px solid var(--talk);
        box-shadow: 0 0 0 calc(var(--level) * 7px) color-mix(in srgb, var(--talk) 32%, transparent);
      }
      @media (prefers-reduced-motion: no-preference) {
        .ring {
          transition: box-shadow 0.12s linear;
        }
        .sign.hand {
          animation: wave 1.6s ease-in-out infinite;
          transform-origin: 50% 90%;
        }
        @keyframes wave {
          50% {
            transform: rotate(14deg);
          }
        }
      }
      :host([away]) .face {
        filter: grayscale(0.85);
        opacity: 0.55;
      }
      .sign {
        position: absolute;
        inset: auto -5px -5px auto;
        inline-size: calc(var(--size) * 0.38);
        block-size: calc(var(--size) * 0.38);
        min-inline-size: 1.35rem;
        min-block-size: 1.35rem;
        border-radius: 50%;
        display: grid;
        place-items: center;
        font-size: max(0.8rem, calc(var(--size) * 0.18));
        background: var(--card);
        color: var(--text);
        box-shadow: 0 1px 5px rgb(0 0 0 / 0.28);
      }
      .sign.hand {
        background: var(--hand);
        color: var(--card);
      }
      .sign.muted {
        color: var(--bad);
      }
    `,
  ];

  /** Of the person; its colour depends on it. */
  @property() person = '';
  @property() name = '';
  /** Loudness from 0 to 1; `undefined`: does not talk. */
  @property({ attribute: false }) level: number | undefined;
  @property() sign: 'hand' | 'muted' | undefined;
  @property({ type: Boolean, reflect: true }) away = false;

  override render() {
    const { sign, level } = this;
    return html`
      <div class="face" aria-hidden="true" style=${styleMap({ '--hue': `${hue(this.person)}` })}>
        ${initials(this.name)}
      </div>
      ${
        level === undefined
          ? nothing
          : html`<div class="ring" style=${styleMap({ '--level': level.toFixed(2) })}></div>`
      }
      ${
        sign
          ? html`<div class="sign ${sign}">${icon(sign === 'hand' ? 'hand' : 'mic-off')}</div>`
          : nothing
      }
    `;
  }
}
