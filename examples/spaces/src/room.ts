import { css, html, LitElement, nothing } from 'lit';
import { customElement, property, query, state } from 'lit/decorators.js';
import { live } from 'lit/directives/live.js';
import { repeat } from 'lit/directives/repeat.js';
import { counted } from './faces.js';
import { icon } from './icons.js';
import { handsIn, listenersOf, participant, speakersOf, speaks } from './rooms.js';
import type { Session } from './session.js';
import { shared } from './styles.js';
import type { Participant, Room } from './types.js';
import './face.js';

/** More faces than these are a number. */
const MOST_LISTENERS = 120;

/** The room that we are in: the host's picture, who speaks, who listens, and what we can do within a thumb's reach. */
@customElement('spaces-room')
export class RoomView extends LitElement {
  static override styles = [
    shared,
    css`
      :host {
        --bar: calc(5.4rem + env(safe-area-inset-bottom));
        min-block-size: 100dvh;
        padding-block-end: var(--bar);
      }
      header {
        position: sticky;
        inset-block-start: 0;
        z-index: 2;
        display: flex;
        gap: 0.8rem;
        align-items: center;
        justify-content: space-between;
        padding: calc(0.8rem + env(safe-area-inset-top)) max(1.1rem, (100% - 75.8rem) / 2) 0.7rem;
        background: color-mix(in srgb, var(--ground) 88%, transparent);
        backdrop-filter: blur(14px);
      }
      header div {
        min-inline-size: 0;
      }
      h1 {
        font-size: 1.25rem;
        line-height: 1.2;
        letter-spacing: -0.015em;
        overflow: hidden;
        text-overflow: ellipsis;
        display: -webkit-box;
        -webkit-box-orient: vertical;
        -webkit-line-clamp: 2;
      }
      header p {
        font-size: 0.92rem;
      }
      header .count {
        display: inline-flex;
        gap: 0.35rem;
        align-items: center;
        font-weight: 600;
        white-space: nowrap;
        padding: 0.3rem 0.8rem;
        border-radius: 999px;
        background: var(--raised);
      }
      main {
        display: grid;
        gap: 1.3rem;
        padding: 0.3rem 1.1rem 1.5rem;
        max-inline-size: 78rem;
        margin-inline: auto;
        align-items: start;
        grid-template-columns: minmax(0, 1fr);
      }
      @media (min-width: 60rem) {
        header {
          padding-inline: max(2rem, (100% - 74rem) / 2);
        }
        main {
          padding-inline: max(2rem, (100% - 74rem) / 2);
          max-inline-size: none;
          gap: 2rem;
          grid-template-columns: minmax(0, 1.9fr) minmax(19rem, 1fr);
        }
        main.voices {
          grid-template-columns: minmax(0, 1.5fr) minmax(19rem, 1fr);
        }
      }
      .side,
      .stage {
        display: grid;
        gap: 1.3rem;
      }
      .picture {
        position: relative;
        border-radius: 1.4rem;
        overflow: hidden;
        background: #0d0b13;
        aspect-ratio: 16 / 9;
        max-block-size: 62vh;
        inline-size: 100%;
        outline: 3px solid transparent;
        outline-offset: -3px;
      }
      .picture.talks {
        outline-color: var(--talk);
      }
      .picture video {
        display: block;
        inline-size: 100%;
        block-size: 100%;
        object-fit: cover;
      }
      .picture.own video {
        transform: scaleX(-1);
      }
      .picture .nobody {
        position: absolute;
        inset: 0;
        display: grid;
        gap: 0.8rem;
        place-content: center;
        justify-items: center;
        color: #d9d3e8;
        text-align: center;
        padding: 1rem;
      }
      .picture .name {
        position: absolute;
        inset: auto auto 0.7rem 0.7rem;
        display: flex;
        gap: 0.35rem;
        align-items: center;
        max-inline-size: calc(100% - 1.4rem);
        padding: 0.25rem 0.75rem;
        border-radius: 999px;
        color: #fff;
        background: rgb(10 8 16 / 0.62);
        font-size: 0.95rem;
        font-weight: 600;
      }
      section h2 {
        display: flex;
        align-items: baseline;
        gap: 0.5rem;
        font-size: 0.95rem;
        color: var(--faint);
        font-weight: 600;
        margin-block-end: 0.9rem;
      }
      .people {
        display: grid;
        gap: 1.1rem 0.5rem;
        grid-template-columns: repeat(auto-fill, minmax(5.4rem, 1fr));
      }
      .listeners .people {
        grid-template-columns: repeat(auto-fill, minmax(4.6rem, 1fr));
      }
      .person {
        display: grid;
        gap: 0.75rem;
        justify-items: center;
        align-content: start;
        inline-size: 100%;
        padding: 0.3rem 0.1rem;
        border-radius: 1.2rem;
        background: none;
        text-align: center;
        font-weight: 500;
        font-size: 0.95rem;
      }
      .listeners .person {
        font-size: 0.85rem;
      }
      .listeners spaces-face {
        --size: 3.4rem;
      }
      .person .called {
        display: flex;
        gap: 0.2rem;
        justify-content: center;
        align-items: center;
        max-inline-size: 100%;
      }
      .person .called span:not(.unseen) {
        overflow: hidden;
        text-overflow: ellipsis;
        white-space: nowrap;
      }
      .called svg,
      .name svg {
        inline-size: 1em;
        block-size: 1em;
        color: var(--hand);
      }
      .name svg {
        color: #ffc24d;
      }
      .hands {
        padding: 1rem 1.1rem;
        border-radius: 1.4rem;
        background: var(--hand-ground);
      }
      .hands h2 {
        color: var(--hand);
      }
      .hands li {
        display: flex;
        gap: 0.7rem;
        align-items: center;
      }
      .hands li + li {
        margin-block-start: 0.6rem;
      }
      .hands spaces-face {
        --size: 2.7rem;
      }
      .hands .called {
        flex: 1;
        min-inline-size: 0;
        font-weight: 600;
        overflow: hidden;
        text-overflow: ellipsis;
      }
      .hands .round {
        background: var(--card);
      }
      .hands .round.yes {
        background: var(--accent);
        color: var(--on-accent);
      }
      .ask {
        display: grid;
        gap: 0.8rem;
        padding: 1.1rem;
        border-radius: 1.4rem;
        background: color-mix(in srgb, var(--accent) 14%, var(--card));
        font-weight: 600;
      }
      .ask div {
        display: flex;
        flex-wrap: wrap;
        gap: 0.6rem;
      }
      nav {
        position: fixed;
        inset: auto 0 0 0;
        z-index: 2;
        display: flex;
        gap: 0.7rem;
        align-items: center;
        justify-content: center;
        padding: 0.8rem 1.1rem calc(0.9rem + env(safe-area-inset-bottom));
        background: color-mix(in srgb, var(--card) 92%, transparent);
        backdrop-filter: blur(14px);
        border-block-start: 1px solid var(--line);
      }
      nav button {
        min-block-size: 3.5rem;
      }
      nav .round {
        inline-size: 3.5rem;
        flex: none;
      }
      nav .wide {
        flex: 0 1 17rem;
        font-size: 1.05rem;
      }
      nav .hand-up {
        background: var(--hand-ground);
        color: var(--hand);
      }
      nav .live {
        background: color-mix(in srgb, var(--talk) 18%, var(--card));
        color: var(--talk);
      }
      .sheet {
        display: grid;
        gap: 0.6rem;
      }
      .sheet .head {
        display: flex;
        gap: 0.9rem;
        align-items: center;
        margin-block-end: 0.6rem;
      }
      .sheet h2 {
        font-size: 1.25rem;
        overflow-wrap: anywhere;
      }
      .sheet .head spaces-face {
        --size: 3.6rem;
      }
      .sheet button {
        min-block-size: 3.4rem;
      }
    `,
  ];

  @property({ attribute: false }) session!: Session;
  /** Another object whenever something changed. */
  @property({ attribute: false }) revision: object = {};
  /** Whom the host deals with. */
  @state() private chosen: string | undefined;
  @query('dialog') private dialog!: HTMLDialogElement;

  protected override updated(): void {
    // Who leaves takes the sheet along.
    const { room } = this.session;
    if (this.chosen && room && !participant(room, this.chosen)) this.dialog.close();
  }

  override render() {
    const { session } = this;
    const { room } = session;
    if (!room) return nothing;
    const host = participant(room, room.ownerId);
    const count = room.participants.length;
    return html`
      <header>
        <div>
          <h1>${room.name}</h1>
          <p class="faint" role="status">${this.#state(host)}</p>
        </div>
        <span class="count" title=${counted(count, 'person', 'people')}>
          ${icon('people')}<span aria-hidden="true">${count}</span>
          <span class="unseen">${counted(count, 'person', 'people')} here</span>
        </span>
      </header>
      <main class=${room.audioOnly ? 'voices' : ''}>
        <div class="stage">
          ${room.audioOnly ? nothing : this.#picture(host)}
          ${this.#questions()}
          ${this.#speakers(room)}
        </div>
        <div class="side">
          ${session.isHost ? this.#hands(room) : nothing}
          ${this.#listeners(room)}
        </div>
      </main>
      ${this.#bar()}
      ${session.isHost ? this.#sheet(room) : nothing}
    `;
  }

  #state(host: Participant | undefined): string {
    const { call } = this.session;
    if (call?.listening === 'interrupted' || call?.speaking === 'interrupted') {
      return 'Reconnecting…';
    }
    if (!host) return 'The host has left';
    if (host.away) return `${host.username} is reconnecting…`;
    return this.session.isHost ? 'You are the host' : `with ${host.username}`;
  }

  // `live`, because Lit sets an object anew at every rendering, and a <video> starts anew with each `srcObject`.
  // Always muted: sound is played apart from it, with all other voices.
  #picture(host: Participant | undefined) {
    const { call, isHost, talking } = this.session;
    const picture = call?.isHidden ? undefined : call?.picture;
    const talks = host !== undefined && talking.has(host.id);
    return html`
      <div class="picture ${isHost ? 'own' : ''} ${talks ? 'talks' : ''}">
        <video
          autoplay
          muted
          playsinline
          ?hidden=${!picture}
          aria-label="Picture of the host"
          .srcObject=${live(picture ?? null)}
        ></video>
        ${picture ? nothing : html`<div class="nobody">${this.#nobody(host)}</div>`}
        ${
          host && picture
            ? html`<span class="name">${icon('star')}${host.username}<span class="unseen">, host</span></span>`
            : nothing
        }
      </div>
    `;
  }

  #nobody(host: Participant | undefined) {
    if (!host) return 'The host is not here';
    const { call, isHost } = this.session;
    const text = call?.isHidden
      ? 'Your camera is off'
      : call?.isWithoutPicture
        ? `${isHost ? 'You are' : `${host.username} is`} without a camera`
        : isHost
          ? 'Your picture appears here'
          : `Waiting for ${host.username}’s picture`;
    return html`<spaces-face .person=${host.id} .name=${host.username}></spaces-face>${text}`;
  }

  /** What the person has to answer before anything else. */
  #questions() {
    const { session } = this;
    return html`
      ${
        session.call?.isSilenced
          ? html`
            <div class="ask" role="alert">
              Your browser holds the sound back.
              <div><button class="main" @click=${() => session.call?.unsilence()}>${icon('sound')} Listen</button></div>
            </div>`
          : nothing
      }
      ${
        session.isInvited
          ? html`
            <div class="ask" role="alert">
              The host invites you to speak.
              <div>
                <button class="main" @click=${() => session.speak()}>${icon('mic')} Start talking</button>
                <button @click=${() => this.#stepDown()}>Not now</button>
              </div>
            </div>`
          : nothing
      }
    `;
  }

  #speakers(room: Room) {
    const speakers = speakersOf(room);
    return html`
      <section aria-labelledby="speakers">
        <h2 id="speakers">Speakers <span aria-hidden="true">${speakers.length}</span></h2>
        <ul class="people">
          ${repeat(
            speakers,
            ({ id }) => id,
            (one) => html`<li>${this.#person(room, one)}</li>`,
          )}
        </ul>
      </section>
    `;
  }

  #listeners(room: Room) {
    const listeners = listenersOf(room);
    const more = listeners.length - MOST_LISTENERS;
    return html`
      <section class="listeners" aria-labelledby="listeners">
        <h2 id="listeners">Listeners <span aria-hidden="true">${listeners.length}</span></h2>
        ${listeners.length === 0 ? html`<p class="faint">Nobody yet</p>` : nothing}
        <ul class="people">
          ${repeat(
            listeners.slice(0, MOST_LISTENERS),
            ({ id }) => id,
            (one) => html`<li>${this.#person(room, one)}</li>`,
          )}
        </ul>
        ${more > 0 ? html`<p class="faint">and ${more} more</p>` : nothing}
      </section>
    `;
  }

  #person(room: Room, one: Participant) {
    const { session } = this;
    const isSpeaker = speaks(room, one.id);
    const level = session.talking.get(one.id);
    const isOwner = one.id === room.ownerId;
    const said = [
      isOwner ? 'host' : '',
      one.away ? 'reconnecting' : '',
      isSpeaker && one.muted ? 'muted' : '',
      one.raisedHand ? 'hand up' : '',
      level === undefined ? '' : 'talking',
    ].filter(Boolean);
    const body = html`
      <spaces-face
        .person=${one.id}
        .name=${one.username}
        .level=${level}
        .sign=${one.raisedHand ? 'hand' : isSpeaker && one.muted ? 'muted' : undefined}
        ?away=${one.away}
      ></spaces-face>
      <span class="called">
        ${isOwner ? icon('star') : nothing}
        <span>${one.id === session.me?.id ? 'You' : one.username}</span>
        ${said.length > 0 ? html`<span class="unseen">, ${said.join(', ')}</span>` : nothing}
      </span>
    `;
    const talks = level === undefined ? 'no' : 'yes';
    if (!session.isHost || one.id === session.me?.id) {
      return html`<div class="person" data-name=${one.username} data-talks=${talks}>${body}</div>`;
    }
    return html`
      <button
        class="person"
        aria-haspopup="dialog"
        data-name=${one.username}
        data-talks=${talks}
        @click=${() => this.#choose(one.id)}
      >
        ${body}
      </button>
    `;
  }

  #hands(room: Room) {
    const hands = handsIn(room);
    if (hands.length === 0) return nothing;
    return html`
      <section class="hands" aria-labelledby="hands">
        <h2 id="hands">${counted(hands.length, 'hand')} up</h2>
        <ul>
          ${repeat(
            hands,
            ({ id }) => id,
            (one) => html`
              <li>
                <spaces-face .person=${one.id} .name=${one.username}></spaces-face>
                <span class="called">${one.username}</span>
                <button
                  class="round"
                  aria-label="Not now, ${one.username}"
                  @click=${() => this.session.promote(one.id, false)}
                >
                  ${icon('close')}
                </button>
                <button
                  class="round yes"
                  aria-label="Let ${one.username} speak"
                  @click=${() => this.session.promote(one.id, true)}
                >
                  ${icon('check')}
                </button>
              </li>
            `,
          )}
        </ul>
      </section>
    `;
  }

  #bar() {
    const { session } = this;
    return html`
      <nav aria-label="What you can do">
        <button class="round bad" aria-label="Leave the room" title="Leave the room" @click=${() => session.leave()}>
          ${icon('leave')}
        </button>
        ${session.isSpeaker ? this.#speakerActs() : this.#listenerActs()}
      </nav>
    `;
  }

  #listenerActs() {
    const { session } = this;
    const raised = session.self?.raisedHand ?? false;
    return html`
      <button
        class="wide ${raised ? 'hand-up' : 'main'}"
        aria-pressed=${raised}
        @click=${() => session.raiseHand(!raised)}
      >
        ${icon('hand')} ${raised ? 'Take hand down' : 'Raise hand'}
      </button>
    `;
  }

  #speakerActs() {
    const { session } = this;
    const { call, self, isHost } = session;
    // Who is invited has the same question before its eyes.
    if (session.isInvited) return nothing;
    if (call?.speaking === 'off') {
      return html`
        <button class="wide main" @click=${() => session.speak()}>${icon('mic')} Start talking</button>
        ${isHost ? nothing : this.#stepDownButton()}
      `;
    }
    const muted = self?.muted ?? false;
    const text = call?.speaking === 'starting' ? 'Starting…' : muted ? 'Unmute' : 'Mute';
    const hasCamera = (call?.captured?.getVideoTracks().length ?? 0) > 0;
    return html`
      <button class="wide ${muted ? 'main' : 'live'}" @click=${() => session.mute(!muted)}>
        ${icon(muted ? 'mic-off' : 'mic')} ${text}
      </button>
      ${isHost ? nothing : this.#stepDownButton()}
      ${hasCamera ? this.#cameraButton() : nothing}
    `;
  }

  #cameraButton() {
    const { call } = this.session;
    const isHidden = call?.isHidden ?? false;
    const text = isHidden ? 'Turn camera on' : 'Turn camera off';
    return html`
      <button class="round" aria-label=${text} title=${text} @click=${() => call?.hide(!isHidden)}>
        ${icon(isHidden ? 'camera-off' : 'camera')}
      </button>
    `;
  }

  #stepDownButton() {
    const text = 'Be a listener again';
    return html`
      <button class="round" aria-label=${text} title=${text} @click=${() => this.#stepDown()}>${icon('down')}</button>
    `;
  }

  #sheet(room: Room) {
    const { session } = this;
    const one = this.chosen ? participant(room, this.chosen) : undefined;
    const isSpeaker = one !== undefined && speaks(room, one.id);
    const act = (action: (id: string) => unknown) => () => {
      if (one) action(one.id);
      this.dialog.close();
    };
    return html`
      <dialog
        aria-labelledby="chosen"
        @close=${() => {
          this.chosen = undefined;
        }}
        @click=${this.#clickedBeside}
      >
        ${
          one
            ? html`
              <div class="sheet">
                <div class="head">
                  <spaces-face .person=${one.id} .name=${one.username}></spaces-face>
                  <div>
                    <h2 id="chosen">${one.username}</h2>
                    <p class="faint">${isSpeaker ? 'speaks' : one.raisedHand ? 'wants to speak' : 'listens'}</p>
                  </div>
                </div>
                ${
                  isSpeaker
                    ? html`
                      <button ?disabled=${one.muted} @click=${act((id) => session.muteSpeaker(id))}>
                        ${icon('mic-off')} ${one.muted ? 'Is muted' : 'Mute'}
                      </button>
                      <button @click=${act((id) => session.promote(id, false))}>
                        ${icon('down')} Make a listener
                      </button>`
                    : html`
                      <button class="main" @click=${act((id) => session.promote(id, true))}>
                        ${icon('mic')} ${one.raisedHand ? 'Let speak' : 'Invite to speak'}
                      </button>
                      ${
                        one.raisedHand
                          ? html`
                            <button @click=${act((id) => session.promote(id, false))}>
                              ${icon('hand')} Not now
                            </button>`
                          : nothing
                      }`
                }
                <button class="bad" @click=${act((id) => session.kick(id))}>${icon('leave')} Send out</button>
                <button @click=${() => this.dialog.close()}>Cancel</button>
              </div>`
            : nothing
        }
      </dialog>
    `;
  }

  #choose(id: string): void {
    this.chosen = id;
    void this.updateComplete.then(() => {
      if (!this.dialog.open) this.dialog.showModal();
    });
  }

  #stepDown(): void {
    const { me } = this.session;
    if (me) void this.session.promote(me.id, false);
  }

  /** A click on the dialog that is outside its box is one on its backdrop. */
  readonly #clickedBeside = (event: MouseEvent): void => {
    if (event.target !== this.dialog) return;
    const { top, left, right, bottom } = this.dialog.getBoundingClientRect();
    const { clientX, clientY } = event;
    if (clientX < left || clientX > right || clientY < top || clientY > bottom) this.dialog.close();
  };
}
