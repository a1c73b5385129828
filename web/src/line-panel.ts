import { css, html, LitElement, nothing } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { Asking } from './asking.js';
import { type LineReport, loadReport, type Step, stepInWords } from './line-report.js';
import { type Sample, withSample } from './samples.js';
import { shared } from './styles.js';
import './line-graph.js';

const EVERY_MS = 1_000;
const NO_PICTURE = 'Why is there no picture?';

/** Looks into the server, while it is open: how a viewer's line is, and why it has no picture. */
@customElement('line-panel')
export class LinePanel extends LitElement {
  static override styles = [
    shared,
    css`
      summary {
        cursor: pointer;
        font-size: 0.9rem;
        font-weight: 600;
        padding-block: 0.3rem;
        inline-size: fit-content;
        border-radius: 6px;
      }
      .sections {
        display: grid;
        gap: 1rem 1.6rem;
        grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr));
        padding-block-start: 0.5rem;
      }
      h3 {
        font-size: 0.9rem;
        margin: 0 0 0.4rem;
      }
      ol {
        list-style: none;
        margin: 0;
        padding: 0;
        display: grid;
        gap: 0.15rem;
        font-size: 0.85rem;
        font-variant-numeric: tabular-nums;
      }
      li {
        display: flex;
        gap: 0.5rem;
        justify-content: space-between;
      }
      li .time {
        color: var(--faint);
      }
      p {
        margin: 0.4rem 0 0;
        font-size: 0.85rem;
      }
      .stalled {
        color: var(--warn);
      }
    `,
  ];

  @property() secret = '';
  /** The server's name for the viewer. */
  @property() subscriber: string | undefined;
  /** The layer of the main picture, in a word. */
  @property() shown = '';
  /** What the picture of a mid is called. */
  @property({ attribute: false }) nameOf = (mid: string): string => `Picture ${mid}`;
  /** Why there is no connection to tell about, while there is none. */
  @property() absent = '';
  /** No picture comes. */
  @property({ type: Boolean }) dark = false;
  @state() private report: LineReport | undefined;
  @state() private samples: Sample[] = [];
  @state() private trouble = '';
  #poll: ReturnType<typeof setInterval> | undefined;
  readonly #asking = new Asking<LineReport | { readonly trouble: string }>();

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#stop();
  }

  override render() {
    const { report } = this;
    return html`
      <details @toggle=${this.#toggled}>
        <summary>${this.dark ? NO_PICTURE : 'Line and timeline'}</summary>
        ${this.trouble ? html`<p class="quiet" role="note">${this.trouble}</p>` : nothing}
        ${
          report
            ? html`<div class="sections">
              <section aria-label="Line">
                <h3>Line</h3>
                <line-graph .samples=${this.samples}></line-graph>
                <p class="quiet">
                  ${report.rttMs === undefined ? '' : `Round trip ${Math.round(report.rttMs)} ms. `}${(report.loss * 100).toFixed(1)} %
                  of the packets lost.
                </p>
              </section>
              ${this.#timeline(report)}
            </div>`
            : nothing
        }
      </details>
    `;
  }

  #timeline({ steps, stalled, slots }: LineReport) {
    const hasVideo = steps.some(({ step }) => step === 'first_key_frame');
    const waiting = slots.flatMap((slot) =>
      slot.waiting === undefined ? [] : `${this.nameOf(slot.mid)}: ${slot.waiting}`,
    );
    // A picture knows more exactly what it waits for than the connection does.
    const reasons = waiting.length > 0 || !stalled ? waiting : [stalled.reason];
    return html`
      <section aria-label="Timeline">
        <h3>${reasons.length > 0 ? NO_PICTURE : `How the ${hasVideo ? 'picture' : 'audio'} came`}</h3>
        <ol>
          ${steps.map((step) => this.#step(step, step.step === stalled?.step))}
        </ol>
        ${reasons.map((reason) => html`<p class="stalled">${reason}</p>`)}
      </section>
    `;
  }

  #step({ step, doneMs }: Step, isStalled: boolean) {
    const look = doneMs !== undefined ? 'good' : isStalled ? 'warn' : '';
    const time = doneMs !== undefined ? `${Math.round(doneMs)} ms` : isStalled ? 'waiting' : '';
    return html`<li>
      <span class="state ${look}">${stepInWords(step)}</span><span class="time">${time}</span>
    </li>`;
  }

  readonly #toggled = (event: Event): void => {
    this.#stop();
    if (!(event.target as HTMLDetailsElement).open) return;
    void this.#ask();
    this.#poll = setInterval(() => void this.#ask(), EVERY_MS);
  };

  #stop(): void {
    clearInterval(this.#poll);
    this.#asking.change();
  }

  async #ask(): Promise<void> {
    const { subscriber, secret } = this;
    await this.#asking.ask(
      async () =>
        subscriber
          ? await loadReport(subscriber, secret)
          : { trouble: `There is no connection yet. ${this.absent || 'It is being made.'}` },
      (answer) => this.#hear(answer),
    );
  }

  #hear(answer: LineReport | { readonly trouble: string }): void {
    this.trouble = 'trouble' in answer ? answer.trouble : '';
    this.report = 'trouble' in answer ? undefined : answer;
    const { report } = this;
    if (!report) return;
    this.samples = withSample(this.samples, {
      at: Date.now(),
      estimate: report.estimateBps,
      sent: report.sentBps,
      wanted: report.wantedBps,
      shown: this.shown,
    });
  }
}
