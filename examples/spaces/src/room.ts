import { html, LitElement, nothing } from 'lit';
import { customElement, property, query, state } from 'lit/decorators.js';
import { live } from 'lit/directives/live.js';
import { repeat } from 'lit/directives/repeat.js';
import { counted } from './faces.js';
import { icon } from './icons.js';
import { room } from './room-styles.js';
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
  static override styles = [shared, room];

  @property({ attribute: false }) session!: Session;
  /** Another object whenever something changed. */
  @property({ attribute: false }) revision: object = {};
  /** Whom the host deals with. */
  @state() private chosen: string | undefined;
  /** The link of the room was just copied, or could not be. */
  @state() private copied: boolean | undefined;
  @query('dialog.person-sheet') private dialog!: HTMLDialogElement;
  @query('dialog.leaving') private leaving!: HTMLDialogElement;

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
        <button
          class="round link"
          aria-label=${this.#linkInWords()}
          title=${this.#linkInWords()}
          @click=${() => void this.#copyLink()}
        >
          ${icon(this.copied ? 'check' : 'link')}
        </button>
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
      ${session.isHost ? html`${this.#sheet(room)}${this.#farewell(room)}` : nothing}
    `;
  }

  #linkInWords(): string {
    if (this.copied === undefined) return 'Copy the link of this room';
    return this.copied
      ? 'The link is copied'
      : 'The browser does not let the page copy: copy its address';
  }

  async #copyLink(): Promise<void> {
    this.copied = await Promise.resolve(navigator.clipboard?.writeText(location.href)).then(
      () => navigator.clipboard !== undefined,
      () => false,
    );
    if (!this.copied) this.session.say('The browser does not let the page copy: copy its address');
  }

  /** Whoever hosts is asked: nobody else can let people speak. */
  #leave(): void {
    if (this.session.isHost) this.leaving.showModal();
    else void this.session.leave();
  }

  #farewell(room: Room) {
    const others = room.participants.length - 1;
    return html`
      <dialog class="leaving" aria-labelledby="leaving" @click=${this.#clickedBeside}>
        <div class="sheet">
          <h2 id="leaving">Leave “${room.name}”?</h2>
          <p>
            ${
              others > 0
                ? `${counted(others, 'person stays', 'people stay')}, and nobody there can let others speak. You can come back as long as somebody is in the room.`
                : 'You are the last one: the room closes.'
            }
          </p>
          <button class="bad" @click=${() => this.session.leave()}>${icon('leave')} Leave</button>
          <button @click=${() => this.leaving.close()}>Stay</button>
        </div>
      </dialog>
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
                <button class="main" @click=${() => session.accept()}>${icon('mic')} Start talking</button>
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
      one.invited ? 'invited' : '',
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
        <button class="round bad" aria-label="Leave the room" title="Leave the room" @click=${() => this.#leave()}>
          ${icon('leave')}
        </button>
        ${session.isSpeaker ? this.#speakerActs() : this.#listenerActs()}
      </nav>
    `;
  }

  #listenerActs() {
    const { session } = this;
    const raised = session.self?.raisedHand ?? false;
    // Whoever is invited has the same question before its eyes.
    if (session.isInvited) return nothing;
    const { room } = session;
    if (room && !participant(room, room.ownerId)) {
      return html`<p class="faint hostless">Without its host nobody can be let speak here.</p>`;
    }
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
        class="person-sheet"
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
                    <p class="faint">${isSpeaker ? 'speaks' : one.raisedHand ? 'wants to speak' : one.invited ? 'is invited to speak' : 'listens'}</p>
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
                      ${
                        one.invited
                          ? html`
                            <button @click=${act((id) => session.promote(id, false))}>
                              ${icon('close')} Take the invitation back
                            </button>`
                          : html`
                            <button class="main" @click=${act((id) => session.promote(id, true))}>
                              ${icon('mic')} ${one.raisedHand ? 'Let speak' : 'Invite to speak'}
                            </button>`
                      }
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
    const dialog = event.currentTarget as HTMLDialogElement;
    if (event.target !== dialog) return;
    const { top, left, right, bottom } = dialog.getBoundingClientRect();
    const { clientX, clientY } = event;
    if (clientX < left || clientX > right || clientY < top || clientY > bottom) dialog.close();
  };
}
