import { css, html, LitElement } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { Asking } from './asking.js';
import { type Incoming, loadIncoming, problemsOf } from './incoming.js';
import { NO_SETTINGS, type Settings } from './settings.js';
import { shared } from './styles.js';
import { sourceInWords } from './words.js';

const EVERY_MS = 2000;

/** What is wrong with what a watched stream gets, for its owner: each problem with its cure. */
@customElement('watch-problems')
export class WatchProblems extends LitElement {
  static override styles = [
    shared,
    css`
      p {
        margin: 0;
        font-size: 0.9rem;
        border-inline-start: 3px solid var(--warn);
        padding-inline-start: 0.6rem;
        overflow-wrap: anywhere;
      }
      p + p {
        margin-block-start: 0.4rem;
      }
    `,
  ];

  @property({ attribute: false }) settings: Settings = NO_SETTINGS;
  @property() stream = '';
  @state() private incoming: Incoming | undefined;
  #poll: ReturnType<typeof setInterval> | undefined;
  readonly #asking = new Asking<Incoming | { readonly trouble: string }>();

  override connectedCallback(): void {
    super.connectedCallback();
    this.#poll = setInterval(() => void this.#ask(), EVERY_MS);
    void this.#ask();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearInterval(this.#poll);
    this.#asking.change();
  }

  override render() {
    const problems = this.incoming ? problemsOf(this.incoming) : [];
    return problems.map(
      ({ source, code, text }) =>
        html`<p role="note" data-code=${code}>${sourceInWords(source)}: ${text}</p>`,
    );
  }

  async #ask(): Promise<void> {
    const { accountId, apiSecret } = this.settings;
    // Nobody looks: the other view is open, or another tab.
    if (!apiSecret || this.stream === '' || !this.checkVisibility() || document.hidden) return;
    await this.#asking.ask(
      () => loadIncoming(accountId, this.stream, apiSecret),
      (answer) => {
        // Why the server does not tell is said where it is asked on purpose: in the panel below.
        this.incoming = 'trouble' in answer ? undefined : answer;
      },
    );
  }
}
