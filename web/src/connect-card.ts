import { css, html, LitElement, nothing } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { MASK, tokenOf, type Way, type What, waysOf } from './encoders.js';
import { serverAddress, withoutSlash } from './location.js';
import { type Doors, NO_DOORS, NO_SETTINGS, type Settings } from './settings.js';
import { shared } from './styles.js';

const SAID_MS = 2000;

/** How to connect other encoders to a source: an address, a key and a command for each kind. */
@customElement('connect-card')
export class ConnectCard extends LitElement {
  static override styles = [
    shared,
    css`
      .card {
        display: grid;
        gap: 0.9rem;
      }
      p {
        margin: 0;
        font-size: 0.9rem;
        overflow-wrap: anywhere;
      }
      [role='tablist'] {
        display: flex;
        flex-wrap: wrap;
        gap: 0.3rem;
      }
      [role='tab'] {
        background: none;
        border-color: transparent;
        color: var(--faint);
        padding: 0 0.65rem;
        min-height: 2rem;
        font-size: 0.9rem;
      }
      [role='tab'][aria-selected='true'] {
        color: var(--accent);
        background: color-mix(in srgb, var(--accent) 14%, transparent);
      }
      [role='tabpanel'] {
        display: grid;
        gap: 0.8rem;
      }
      dl {
        margin: 0;
        display: grid;
        gap: 0.6rem;
      }
      dt {
        font-size: 0.85rem;
        color: var(--faint);
      }
      .entry {
        display: grid;
        gap: 0.3rem 0.5rem;
        grid-template-columns: minmax(0, 1fr) auto;
        align-items: end;
      }
      dd {
        margin: 0;
      }
      dd:nth-of-type(1) {
        grid-area: 2 / 1 / 3 / 3;
      }
      dd:nth-of-type(2) {
        grid-area: 1 / 2;
      }
      dd button {
        min-height: 1.8rem;
        font-size: 0.85rem;
        min-inline-size: 4.5rem;
      }
      .head button {
        flex: none;
        font-size: 0.85rem;
        min-height: 2rem;
      }
      code,
      pre {
        font: 0.8rem/1.5 ui-monospace, 'DejaVu Sans Mono', monospace;
        background: var(--ground);
        border: 1px solid var(--line);
        border-radius: 8px;
        padding: 0.45rem 0.7rem;
        margin: 0;
        display: block;
        overflow-wrap: anywhere;
        white-space: pre-wrap;
      }
    `,
  ];

  @property({ attribute: false }) settings: Settings = NO_SETTINGS;
  @property() stream = '';
  /** Empty is the main source. */
  @property() source = '';
  @property({ attribute: false }) doors: Doors = NO_DOORS;
  @state() private chosen = '';
  @state() private shown = false;
  @state() private copied: { name: string; worked: boolean } | undefined;
  #forget: ReturnType<typeof setTimeout> | undefined;

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearTimeout(this.#forget);
  }

  override render() {
    const what = this.#what();
    const ways = waysOf({ origin: withoutSlash(serverAddress()), ...this.doors }, what);
    const way = ways.find(({ id }) => id === this.chosen) ?? ways[0];
    if (!way) return nothing;
    const token = tokenOf(way, what);
    const visible = this.shown || token === '' || !this.#isSecret(way) ? token : MASK;
    return html`
      <section class="card" aria-label="Connect an encoder">
        <div class="head">
          <h2>Connect an encoder</h2>
          <button
            @click=${() => {
              this.shown = !this.shown;
            }}
          >
            ${this.shown ? 'Hide tokens' : 'Show tokens'}
          </button>
        </div>
        <p class="quiet">For ${this.source === '' ? 'the main source' : `the source ${this.source}`} of ${this.stream}.</p>
        <div role="tablist" aria-label="Kind of encoder" @keydown=${(event: KeyboardEvent) => this.#moved(event, ways, way)}>
          ${ways.map(
            ({ id, name }) => html`<button
              role="tab"
              id="tab-${id}"
              aria-controls="way"
              aria-selected=${id === way.id}
              tabindex=${id === way.id ? 0 : -1}
              @click=${() => this.#choose(id)}
            >
              ${name}
            </button>`,
          )}
        </div>
        <div role="tabpanel" id="way" aria-labelledby="tab-${way.id}">
          <dl>
            ${way
              .fields(visible)
              .map(({ name, value }, place) =>
                this.#entry(
                  name,
                  html`<code>${value}</code>`,
                  () => way.fields(token)[place]?.value ?? '',
                ),
              )}
            ${way.command ? this.#command(way.command, visible, token) : nothing}
          </dl>
          <p class="quiet">${way.advice}</p>
          ${this.#placeholders(way).map((text) => html`<p class="quiet">${text}</p>`)}
        </div>
        <span class="quiet" role="status">${this.#outcome()}</span>
      </section>
    `;
  }

  #command({ label, text }: NonNullable<Way['command']>, visible: string, token: string) {
    const shown = html`<pre class="command">${text(visible)}</pre>`;
    return this.#entry(label, shown, () => text(token));
  }

  #entry(name: string, shown: unknown, full: () => string) {
    const isCopied = this.copied?.name === name && this.copied.worked;
    return html`<div class="entry">
      <dt>${name}</dt>
      <dd>${shown}</dd>
      <dd>
        <button aria-label="Copy: ${name}" @click=${() => void this.#copy(name, full())}>
          ${isCopied ? 'Copied' : 'Copy'}
        </button>
      </dd>
    </div>`;
  }

  /** Whether the page knows the token: what is typed or handed out is masked, a placeholder is not. */
  #isSecret(way: Way): boolean {
    return way.id === 'whep' || this.settings.publishToken !== '';
  }

  /** What stands for something that the page does not know. */
  #placeholders(way: Way): string[] {
    const { accountId, publishToken } = this.settings;
    const whose = 'enter it above, or ask whoever runs this server.';
    if (way.id !== 'whep') {
      return publishToken
        ? []
        : [`YOUR_TOKEN stands for a publish token of your account: ${whose}`];
    }
    return accountId ? [] : [`YOUR_ACCOUNT stands for the name of your account: ${whose}`];
  }

  #outcome(): string {
    if (!this.copied) return '';
    return this.copied.worked
      ? `Copied: ${this.copied.name}`
      : 'The browser does not let the page copy: show the tokens, and select the text.';
  }

  #what(): What {
    const { accountId, publishToken, subscribeToken } = this.settings;
    const { stream, source } = this;
    return { accountId, stream, source, publishToken, subscribeToken };
  }

  #choose(id: string): void {
    this.chosen = id;
    this.copied = undefined;
  }

  #moved(event: KeyboardEvent, ways: readonly Way[], way: Way): void {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const next = ways[(ways.indexOf(way) + step + ways.length) % ways.length];
    if (!next) return;
    this.#choose(next.id);
    void this.updateComplete.then(() => {
      (this.renderRoot.querySelector(`#tab-${next.id}`) as HTMLElement | null)?.focus();
    });
  }

  async #copy(name: string, text: string): Promise<void> {
    this.copied = { name, worked: await copied(text) };
    clearTimeout(this.#forget);
    this.#forget = setTimeout(() => {
      this.copied = undefined;
    }, SAID_MS);
  }
}

function focused(): HTMLElement | null {
  let element = document.activeElement;
  while (element?.shadowRoot?.activeElement) element = element.shadowRoot.activeElement;
  return element as HTMLElement | null;
}

/** Whether the text is in the clipboard. Pages by http have no clipboard API, and use a selection. */
async function copied(text: string): Promise<boolean> {
  if (navigator.clipboard) {
    const worked = await navigator.clipboard.writeText(text).then(
      () => true,
      () => false,
    );
    if (worked) return true;
  }
  const field = document.createElement('textarea');
  field.value = text;
  field.style.position = 'fixed';
  field.style.opacity = '0';
  const before = focused();
  document.body.append(field);
  field.select();
  const worked = document.execCommand('copy');
  field.remove();
  before?.focus();
  return worked;
}
