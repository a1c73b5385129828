import { css, html, LitElement, nothing } from 'lit';
import { customElement, state } from 'lit/decorators.js';
import { type Tab, tabIn } from './location.js';
import { loadSettings, NO_SETTINGS, type Settings } from './settings.js';
import { shared } from './styles.js';
import './publish-view.js';
import './watch-view.js';

const TABS: readonly [Tab, string][] = [
  ['publish', 'Publish'],
  ['watch', 'Watch'],
];

@customElement('rostra-app')
export class RostraApp extends LitElement {
  static override styles = [
    shared,
    css`
      header {
        display: flex;
        flex-wrap: wrap;
        gap: 0.5rem 1.2rem;
        align-items: center;
        padding: 0.7rem clamp(0.8rem, 3vw, 2rem);
        border-block-end: 1px solid var(--line);
        background: var(--card);
      }
      h1 {
        display: flex;
        gap: 0.5rem;
        align-items: center;
        font-size: 1.15rem;
        margin: 0;
      }
      h1 img {
        inline-size: 1.7rem;
        block-size: 1.7rem;
      }
      nav {
        display: flex;
        gap: 0.3rem;
      }
      nav a {
        color: var(--faint);
        text-decoration: none;
        font-weight: 600;
        padding: 0.4rem 0.9rem;
        border-radius: 8px;
      }
      nav a[aria-current] {
        color: var(--accent);
        background: color-mix(in srgb, var(--accent) 14%, transparent);
      }
      .version {
        margin-inline-start: auto;
        font-size: 0.8rem;
      }
      main {
        max-inline-size: 110rem;
        margin-inline: auto;
        padding: 1rem clamp(0.8rem, 3vw, 2rem) 3rem;
        display: grid;
        gap: 1rem;
      }
    `,
  ];

  @state() private tab: Tab = tabIn(location.search, location.hash);
  @state() private settings: Settings | undefined;
  @state() private typed = false;

  override connectedCallback(): void {
    super.connectedCallback();
    window.addEventListener('hashchange', this.#moved);
    void loadSettings().then((settings) => {
      this.typed = !settings;
      this.settings = settings ?? NO_SETTINGS;
    });
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    window.removeEventListener('hashchange', this.#moved);
  }

  readonly #moved = (): void => {
    this.tab = tabIn(location.search, location.hash);
  };

  override render() {
    const { settings } = this;
    // Both views stay: what is published goes on while its publisher watches.
    return html`
      <header>
        <h1><img src="icon.svg" alt="" />Rostra</h1>
        <nav aria-label="Views">
          ${TABS.map(
            ([tab, name]) =>
              html`<a href="#${tab}" aria-current=${this.tab === tab ? 'page' : nothing}>${name}</a>`,
          )}
        </nav>
        ${settings?.version ? html`<span class="version quiet">${settings.version}</span>` : nothing}
      </header>
      <main>
        ${this.typed ? this.#tokens() : nothing}
        ${
          settings
            ? html`
              <publish-view .settings=${settings} ?hidden=${this.tab !== 'publish'}></publish-view>
              <watch-view .settings=${settings} ?hidden=${this.tab !== 'watch'}></watch-view>`
            : html`<p class="quiet" role="status">Asking the server…</p>`
        }
      </main>
    `;
  }

  #tokens() {
    const field = (key: keyof Settings, name: string, type: string) => html`
      <label
        >${name}<input
          type=${type}
          autocomplete="off"
          @change=${(event: Event) => {
            const { value } = event.target as HTMLInputElement;
            this.settings = { ...NO_SETTINGS, ...this.settings, [key]: value.trim() };
          }}
      /></label>`;
    return html`
      <section class="card" aria-label="Tokens">
        <p class="quiet">This server does not hand out tokens to its page. Enter those of your account.</p>
        <div class="fields">
          ${field('accountId', 'Account', 'text')}
          ${field('publishToken', 'Publish token', 'password')}
          ${field('subscribeToken', 'Subscribe token, if needed', 'password')}
          ${field('apiSecret', 'API secret, to see what comes in', 'password')}
        </div>
      </section>
    `;
  }
}
