import { css, html, LitElement, nothing, svg } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import { rateInWords } from './meter.js';
import { pathOf, type Sample, spansOf, topOf } from './samples.js';
import { shared } from './styles.js';

const SIZE = { width: 600, height: 120 };

const CURVES = [
  ['estimate', 'Line carries', ({ estimate }: Sample) => estimate],
  ['sent', 'Sent', ({ sent }: Sample) => sent],
  ['wanted', 'Wanted', ({ wanted }: Sample) => wanted],
] as const;

/** The last minute of a viewer's line: what it carries, what is sent, and the layer that is shown. */
@customElement('line-graph')
export class LineGraph extends LitElement {
  static override styles = [
    shared,
    css`
      :host {
        display: grid;
        gap: 0.4rem;
        font-size: 0.8rem;
        font-variant-numeric: tabular-nums;
      }
      .legend {
        display: flex;
        flex-wrap: wrap;
        gap: 0.15rem 1.1rem;
      }
      .legend span {
        display: inline-flex;
        align-items: center;
        gap: 0.4rem;
      }
      .legend span::before {
        content: '';
        inline-size: 1.1rem;
        block-size: 0;
        border-block-start: 3px solid var(--accent);
      }
      .legend .sent::before {
        border-color: var(--second);
      }
      .legend .wanted::before {
        border-block-start: 2px dashed var(--faint);
      }
      .plot {
        position: relative;
        border: 1px solid var(--line);
        border-radius: 8px;
        background: var(--ground);
        overflow: hidden;
      }
      svg {
        display: block;
        inline-size: 100%;
        block-size: 8rem;
      }
      path {
        fill: none;
        stroke-width: 2.5;
        stroke-linejoin: round;
        vector-effect: non-scaling-stroke;
        stroke: var(--accent);
      }
      path.sent {
        stroke: var(--second);
      }
      path.wanted {
        stroke: var(--faint);
        stroke-width: 1.5;
        stroke-dasharray: 5 4;
      }
      line {
        stroke: var(--line);
        vector-effect: non-scaling-stroke;
      }
      .scale {
        position: absolute;
        inset-inline-start: 0.4rem;
        color: var(--faint);
        font-size: 0.7rem;
      }
      .scale.top {
        inset-block-start: 0.15rem;
      }
      .scale.half {
        inset-block-start: calc(50% + 0.15rem);
      }
      .spans {
        position: relative;
        block-size: 1.5rem;
        border-radius: 6px;
        background: var(--ground);
        overflow: hidden;
      }
      .spans span {
        position: absolute;
        inset-block: 0;
        padding-inline: 0.35rem;
        box-sizing: border-box;
        line-height: 1.5rem;
        font-size: 0.72rem;
        white-space: nowrap;
        overflow: hidden;
        text-overflow: clip;
        background: color-mix(in srgb, var(--accent) 26%, transparent);
        border-inline-start: 2px solid var(--accent);
      }
      .spans .off {
        background: color-mix(in srgb, var(--bad) 22%, transparent);
        border-color: var(--bad);
      }
      .axis {
        display: flex;
        justify-content: space-between;
        color: var(--faint);
        font-size: 0.7rem;
      }
    `,
  ];

  @property({ attribute: false }) samples: readonly Sample[] = [];

  override render() {
    const { samples } = this;
    const now = samples.at(-1);
    if (!now) return nothing;
    const top = topOf(samples);
    const { width, height } = SIZE;
    return html`
      <div class="legend">
        ${CURVES.map(
          ([name, words, value]) =>
            html`<span class=${name}>${words} ${rateInWords(value(now) / 1000)}</span>`,
        )}
      </div>
      <div class="plot">
        <svg viewBox="0 0 ${width} ${height}" preserveAspectRatio="none" role="img" aria-label="The last minute">
          <line x1="0" y1=${height / 2} x2=${width} y2=${height / 2}></line>
          ${CURVES.toReversed().map(
            ([name, , value]) =>
              svg`<path class=${name} d=${pathOf(samples, value, top, SIZE)}></path>`,
          )}
        </svg>
        <span class="scale top">${rateInWords(top / 1000)}</span>
        <span class="scale half">${rateInWords(top / 2000)}</span>
      </div>
      <div class="spans" aria-label="Layer of the main picture">
        ${spansOf(samples).map(
          ({ from, to, shown }) => html`<span
            class=${shown === 'off' ? 'off' : ''}
            title=${shown}
            style="left: ${(from * 100).toFixed(2)}%; width: ${((to - from) * 100).toFixed(2)}%"
            >${shown}</span
          >`,
        )}
      </div>
      <div class="axis"><span>60 s ago</span><span>now</span></div>
    `;
  }
}
