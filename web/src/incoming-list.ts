import { css, html, LitElement, nothing } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { repeat } from 'lit/directives/repeat.js';
import { Asking } from './asking.js';
import {
  doorInWords,
  type Feed,
  factsOf,
  type Incoming,
  loadIncoming,
  stateInWords,
} from './incoming.js';
import { NO_SETTINGS, type Settings } from './settings.js';
import { shared } from './styles.js';
import { sourceInWords } from './words.js';

const EVERY_MS = 2000;

/** What comes in to a stream, source by source, with what is wrong and how to cure it. */
@customElement('incoming-list')
export class IncomingList extends LitElement {
  static override styles = [
    shared,
    css`
      ul {
        list-style: none;
        margin: 0.6rem 0 0;
        padding: 0;
        display: grid;
        gap: 0.9rem;
      }
      li {
        display: grid;
        gap: 0.3rem;
      }
      h3 {
        font-size: 0.95rem;
        margin: 0;
        overflow-wrap: anywhere;
      }
      p {
        margin: 0;
        font-size: 0.9rem;
        overflow-wrap: anywhere;
      }
      .problem {
        border-inline-start: 3px solid var(--warn);
        padding-inline-start: 0.6rem;
      }
      .problem.hint {
        border-color: var(--line);
      }
    `,
  ];

  @property({ attribute: false }) settings: Settings = NO_SETTINGS;
  @property() stream = '';
  /** `undefined`: it was not answered yet. */
  @state() private incoming: Incoming | { readonly trouble: string } | undefined;
  #poll: ReturnType<typeof setInterval> | undefined;
  readonly #asking = new Asking<Incoming | { readonly trouble: string }>();

  override connectedCallback(): void {
    super.connectedCallback();
    this.#poll = setInterval(() => void this.#ask(), EVERY_MS);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearInterval(this.#poll);
    this.#asking.change();
  }

  override willUpdate(changed: Map<string, unknown>): void {
    if (!changed.has('stream') && !changed.has('settings')) return;
    this.incoming = undefined;
    this.#asking.change();
    void this.#ask();
  }

  override render() {
    if (!this.settings.apiSecret || this.stream === '') return nothing;
    return html`
      <section class="card" aria-label="What comes in">
        <h2>What comes in to ${this.stream}</h2>
        ${this.#list()}
      </section>
    `;
  }

  #list() {
    const { incoming } = this;
    if (incoming === undefined) return html`<p class="quiet">Asking the server…</p>`;
    if ('trouble' in incoming) return html`<p class="quiet">${incoming.trouble}</p>`;
    const { feeds, turned_away: away } = incoming;
    return html`${
      feeds.length === 0 && away.length === 0
        ? html`<p class="quiet">Nothing yet: start a publisher here, or connect an encoder.</p>`
        : html`<ul>
              ${repeat(
                feeds,
                ({ transport }) => transport,
                (feed) => this.#feed(feed),
              )}
              ${away.map(
                (one) => html`<li>
                  <h3>${sourceInWords(one.source_id)}</h3>
                  <div class="facts"><span class="state bad">Turned away</span><span>${doorInWords(one.door)}</span></div>
                  <p class="problem" data-code=${one.code}>${one.text}</p>
                </li>`,
              )}
            </ul>`
    }`;
  }

  #feed(feed: Feed) {
    const { text, look } = stateInWords(feed);
    return html`<li aria-label=${sourceInWords(feed.source_id)}>
      <h3>${sourceInWords(feed.source_id)}</h3>
      <div class="facts">
        <span class="state ${look}">${text}</span>
        ${factsOf(feed).map((fact) => html`<span>${fact}</span>`)}
      </div>
      ${feed.problems.map(
        (problem) =>
          html`<p class="problem ${problem.hint ? 'hint' : ''}" data-code=${problem.code}>${problem.text}</p>`,
      )}
    </li>`;
  }

  async #ask(): Promise<void> {
    const { stream } = this;
    const { accountId, apiSecret } = this.settings;
    // Nobody looks: the other view is open, or another tab.
    if (!apiSecret || stream === '' || !this.checkVisibility() || document.hidden) return;
    await this.#asking.ask(
      () => loadIncoming(accountId, stream, apiSecret),
      (incoming) => {
        this.incoming = incoming;
      },
    );
  }
}
