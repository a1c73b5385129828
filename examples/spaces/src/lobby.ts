import { css, html, LitElement, nothing } from 'lit';
import { customElement, property, query, state } from 'lit/decorators.js';
import { repeat } from 'lit/directives/repeat.js';
import { icon } from './icons.js';
import { listenersOf, participant, speakersOf } from './rooms.js';
import type { Session } from './session.js';
import { shared } from './styles.js';
import type { Room } from './types.js';
import './face.js';

/** How many faces a card of the list shows. */
const FACES = 4;

/** Where people say who they are, see the rooms, and open one. */
@customElement('spaces-lobby')
export class Lobby extends LitElement {
  static override styles = [
    shared,
    css`
      :host {
        min-block-size: 100dvh;
        display: flex;
        flex-direction: column;
      }
      header {
        display: flex;
        align-items: center;
        justify-content: space-between;
        gap: 1rem;
        padding: calc(1rem + env(safe-area-inset-top)) 1.1rem 0.5rem;
      }
      .brand {
        display: flex;
        gap: 0.6rem;
        align-items: center;
        font-size: 1.35rem;
        letter-spacing: -0.01em;
      }
      .brand img {
        inline-size: 2.1rem;
        block-size: 2.1rem;
      }
      header,
      main {
        inline-size: 100%;
        max-inline-size: 60rem;
        margin-inline: auto;
      }
      .who {
        max-inline-size: 11rem;
        padding-inline: 0.35rem 1rem;
        background: none;
        font-weight: 500;
      }
      .who span {
        overflow: hidden;
        text-overflow: ellipsis;
        white-space: nowrap;
      }
      .who spaces-face {
        --size: 2.2rem;
      }
      main {
        flex: 1;
        padding: 0.8rem 1.1rem 8rem;
      }
      .hello {
        display: grid;
        gap: 1.6rem;
        align-content: end;
        max-inline-size: 28rem;
        padding-block-end: calc(2.5rem + env(safe-area-inset-bottom));
      }
      .hello button {
        min-block-size: 3.5rem;
        font-size: 1.1rem;
      }
      @media (min-width: 40rem) {
        .hello {
          align-content: center;
          padding-block-end: 14vh;
        }
      }
      .hello h2 {
        font-size: clamp(2.1rem, 9vw, 2.7rem);
        line-height: 1.06;
        letter-spacing: -0.03em;
      }
      .hello p {
        font-size: 1.1rem;
      }
      .hello .trouble {
        font-size: 1rem;
        color: var(--bad);
      }
      form {
        display: grid;
        gap: 0.8rem;
      }
      label {
        display: grid;
        gap: 0.4rem;
        font-weight: 600;
      }
      .rooms {
        display: grid;
        gap: 0.8rem;
        grid-template-columns: repeat(auto-fill, minmax(min(100%, 24rem), 1fr));
        margin-block-start: 0.8rem;
      }
      .card {
        inline-size: 100%;
        block-size: 100%;
        display: grid;
        gap: 0.9rem;
        grid-template-columns: minmax(0, 1fr);
        align-content: space-between;
        text-align: start;
        font-weight: 400;
        padding: 1.1rem 1.2rem;
        border-radius: 1.5rem;
        border: 1px solid var(--line);
        background: var(--card);
      }
      .card h3 {
        font-size: 1.15rem;
        overflow-wrap: anywhere;
      }
      .card .foot {
        display: flex;
        align-items: center;
        justify-content: space-between;
        gap: 1rem;
      }
      .faces {
        display: flex;
      }
      .faces spaces-face {
        --size: 2.6rem;
        border-radius: 38%;
        box-shadow: 0 0 0 3px var(--card);
      }
      .faces spaces-face + spaces-face {
        margin-inline-start: -0.55rem;
      }
      .tag {
        display: inline-flex;
        gap: 0.35rem;
        align-items: center;
        font-size: 0.9rem;
        color: var(--faint);
      }
      .empty {
        margin-block: 14vh 2rem;
        display: grid;
        gap: 0.5rem;
        justify-items: center;
        text-align: center;
      }
      .empty svg {
        inline-size: 3.4rem;
        block-size: 3.4rem;
        color: var(--accent);
      }
      .open {
        position: fixed;
        inset: auto 0 0 0;
        display: grid;
        justify-items: center;
        padding: 1.4rem 1.1rem calc(1.2rem + env(safe-area-inset-bottom));
        background: linear-gradient(transparent, var(--ground) 45%);
      }
      .open button {
        min-block-size: 3.5rem;
        inline-size: min(100%, 24rem);
        font-size: 1.1rem;
        box-shadow: 0 6px 24px color-mix(in srgb, var(--accent) 40%, transparent);
      }
      dialog h2 {
        font-size: 1.4rem;
        margin-block-end: 1rem;
      }
      fieldset {
        border: 0;
        margin: 0;
        padding: 0;
        display: grid;
        grid-template-columns: 1fr 1fr;
        gap: 0.6rem;
      }
      .choice {
        position: relative;
        display: grid;
        justify-items: center;
        gap: 0.2rem;
        padding: 0.9rem 0.5rem;
        border-radius: 1.1rem;
        border: 2px solid var(--line);
        cursor: pointer;
      }
      .choice svg {
        font-size: 1.25rem;
      }
      .choice input {
        position: absolute;
        inset: 0;
        opacity: 0;
        margin: 0;
        cursor: pointer;
      }
      .choice:has(:checked) {
        border-color: var(--accent);
        background: color-mix(in srgb, var(--accent) 10%, transparent);
      }
      .choice:has(:focus-visible) {
        outline: 3px solid var(--accent);
        outline-offset: 2px;
      }
      .acts {
        display: grid;
        grid-template-columns: auto 1fr;
        gap: 0.6rem;
        margin-block-start: 0.4rem;
      }
    `,
  ];

  @property({ attribute: false }) session!: Session;
  /** Another object whenever something changed. */
  @property({ attribute: false }) revision: object = {};
  @state() private busy = false;
  @query('dialog') private dialog!: HTMLDialogElement;

  override render() {
    const { me } = this.session;
    return html`
      <header>
        <h1 class="brand"><img src="icon.svg" alt="" />Spaces</h1>
        ${
          me
            ? html`
              <button class="who" title="Leave, and be somebody else" @click=${this.#signOut}>
                <spaces-face .person=${me.id} .name=${me.username}></spaces-face>
                <span>${me.username}</span><span class="unseen">, sign out</span>
              </button>`
            : nothing
        }
      </header>
      ${me ? this.#rooms() : this.#hello()}
    `;
  }

  #hello() {
    return html`
      <main class="hello">
        <h2>Come in and talk.</h2>
        <p class="faint">
          ${
            this.session.isExpected
              ? 'Somebody sent you the link of a room. Say who you are, and you are in.'
              : 'Open a room or listen in on one. Raise your hand when you have something to say.'
          }
        </p>
        <form @submit=${this.#enter}>
          <label>
            Your name
            <input
              type="text"
              name="username"
              required
              maxlength="32"
              autocomplete="nickname"
              autocapitalize="words"
              enterkeyhint="go"
              .value=${this.session.usualName}
            />
          </label>
          ${this.session.trouble ? html`<p class="trouble" role="alert">${this.session.trouble}</p>` : nothing}
          <button class="main" ?disabled=${this.busy || this.session.connection !== 'open'}>Come in</button>
        </form>
      </main>
    `;
  }

  #rooms() {
    const { rooms } = this.session;
    return html`
      <main>
        ${
          rooms.length === 0
            ? html`
              <div class="empty">
                ${icon('people')}
                <h2>It is quiet here</h2>
                <p class="faint">Open the first room. Others see it at once.</p>
              </div>`
            : html`
              <h2>Rooms</h2>
              <ul class="rooms">
                ${repeat(
                  rooms,
                  ({ id }) => id,
                  (room) => html`<li>${this.#card(room)}</li>`,
                )}
              </ul>`
        }
      </main>
      <div class="open">
        <button class="main" @click=${() => this.dialog.showModal()}>${icon('plus')} Open a room</button>
      </div>
      ${this.#opening()}
    `;
  }

  #card(room: Room) {
    const speakers = speakersOf(room);
    const listeners = listenersOf(room).length;
    const host = participant(room, room.ownerId)?.username;
    return html`
      <button class="card" ?disabled=${this.busy} @click=${() => this.#join(room.id)}>
        <div>
          <h3>${room.name}</h3>
          <p class="faint">${host ? `with ${host}` : 'without its host'}</p>
        </div>
        <div class="foot">
          <span class="faces">
            ${speakers
              .slice(0, FACES)
              .map(
                (one) => html`<spaces-face .person=${one.id} .name=${one.username}></spaces-face>`,
              )}
          </span>
          <span class="tag">
            ${icon(room.audioOnly ? 'mic' : 'camera')}
            <span class="unseen">${room.audioOnly ? 'Voices only, ' : 'With video, '}</span>
            ${speakers.length} <span class="unseen">speaking</span>
            ${icon('people')}
            ${listeners} <span class="unseen">listening</span>
          </span>
        </div>
      </button>
    `;
  }

  #opening() {
    const { me } = this.session;
    return html`
      <dialog aria-labelledby="opening" @click=${this.#clickedBeside}>
        <form @submit=${this.#create}>
          <h2 id="opening">Open a room</h2>
          <label>
            What is it about?
            <input type="text" name="name" required maxlength="80" .value=${`${me?.username}’s room`} />
          </label>
          <fieldset aria-label="What the host sends">
            <label class="choice">
              <input type="radio" name="kind" value="video" checked />
              ${icon('camera')} With my camera
            </label>
            <label class="choice">
              <input type="radio" name="kind" value="audio" />
              ${icon('mic')} Voices only
            </label>
          </fieldset>
          <div class="acts">
            <button type="button" @click=${() => this.dialog.close()}>Cancel</button>
            <button class="main" ?disabled=${this.busy}>${this.busy ? 'Opening…' : 'Open it'}</button>
          </div>
        </form>
      </dialog>
    `;
  }

  readonly #enter = (event: SubmitEvent): void => {
    event.preventDefault();
    const name = String(new FormData(event.target as HTMLFormElement).get('username') ?? '');
    void this.#while(() => this.session.enter(name));
  };

  readonly #create = (event: SubmitEvent): void => {
    event.preventDefault();
    const data = new FormData(event.target as HTMLFormElement);
    const isAudioOnly = data.get('kind') === 'audio';
    void this.#while(() => this.session.create(String(data.get('name') ?? ''), isAudioOnly)).then(
      () => this.dialog?.close(),
    );
  };

  readonly #signOut = (): void => {
    void this.session.signOut();
  };

  /** A dialog's own area is its padding box; a click on it that is not inside means the backdrop. */
  readonly #clickedBeside = (event: MouseEvent): void => {
    if (event.target !== this.dialog) return;
    const { top, left, right, bottom } = this.dialog.getBoundingClientRect();
    const { clientX, clientY } = event;
    if (clientX < left || clientX > right || clientY < top || clientY > bottom) this.dialog.close();
  };

  #join(id: string): void {
    void this.#while(() => this.session.join(id));
  }

  async #while(action: () => Promise<void>): Promise<void> {
    this.busy = true;
    try {
      await action();
    } finally {
      this.busy = false;
    }
  }
}
