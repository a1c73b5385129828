import { css, html, LitElement, nothing } from 'lit';
import { customElement } from 'lit/decorators.js';
import { repeat } from 'lit/directives/repeat.js';
import { icon } from './icons.js';
import { Session } from './session.js';
import { shared } from './styles.js';
import './lobby.js';
import './room.js';

@customElement('spaces-app')
export class App extends LitElement {
  static override styles = [
    shared,
    css`
      :host {
        min-block-size: 100dvh;
      }
      .banner {
        position: fixed;
        inset: 0 0 auto 0;
        z-index: 3;
        padding: calc(0.4rem + env(safe-area-inset-top)) 1rem 0.4rem;
        background: var(--hand-ground);
        color: var(--hand);
        text-align: center;
        font-weight: 600;
        font-size: 0.95rem;
      }
      .notices {
        position: fixed;
        /* In the lobby what is typed and tapped is below, in a room its name is above. */
        inset: calc(4.6rem + env(safe-area-inset-top)) 0 auto 0;
        z-index: 4;
        display: grid;
        gap: 0.5rem;
        justify-items: center;
        padding: 0 0.8rem;
        pointer-events: none;
      }
      .notices.in-room {
        inset: auto 0 calc(6.6rem + env(safe-area-inset-bottom)) 0;
      }
      .notice {
        pointer-events: auto;
        display: flex;
        gap: 0.4rem;
        align-items: center;
        padding: 0.1rem 0.2rem 0.1rem 1.1rem;
        border-radius: 1.5rem;
        background: var(--text);
        color: var(--ground);
        box-shadow: 0 4px 22px rgb(0 0 0 / 0.3);
        max-inline-size: 34rem;
      }
      .notice button {
        background: none;
        color: inherit;
      }
      .rest {
        min-block-size: 100dvh;
        display: grid;
        gap: 1rem;
        place-content: center;
        justify-items: center;
        text-align: center;
        padding: 2rem;
      }
    `,
  ];

  readonly #session = new Session();
  readonly #changed = (): void => this.requestUpdate();

  override connectedCallback(): void {
    super.connectedCallback();
    this.#session.addEventListener('change', this.#changed);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#session.removeEventListener('change', this.#changed);
  }

  protected override updated(): void {
    const { room } = this.#session;
    document.title = room ? `${room.name} · Spaces` : 'Spaces';
  }

  override render() {
    const session = this.#session;
    return html`
      ${
        session.connection === 'lost'
          ? html`<p class="banner" role="status">Connection lost. Trying again…</p>`
          : nothing
      }
      ${this.#place()}
      <div class="notices ${session.room ? 'in-room' : ''}" role="status" aria-live="polite">
        ${repeat(
          session.notices,
          ({ id }) => id,
          ({ id, text }) => html`
            <p class="notice">
              ${text}
              <button class="round" aria-label="Dismiss" @click=${() => session.dismiss(id)}>
                ${icon('close')}
              </button>
            </p>
          `,
        )}
      </div>
    `;
  }

  #place() {
    const session = this.#session;
    if (session.connection === 'elsewhere') {
      return html`
        <main class="rest">
          <h1>You are in another tab</h1>
          <p class="faint">Your place went there with you.</p>
          <button class="main" @click=${() => session.goOnHere()}>Go on here</button>
        </main>
      `;
    }
    if (!session.isReady) {
      return html`<main class="rest"><p class="faint" role="status">Just a moment…</p></main>`;
    }
    const revision = {};
    return session.room
      ? html`<spaces-room .session=${session} .revision=${revision}></spaces-room>`
      : html`<spaces-lobby .session=${session} .revision=${revision}></spaces-lobby>`;
  }
}
