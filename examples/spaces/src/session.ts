import { Call } from './call.js';
import { capture, release } from './capture.js';
import { linkOf, roomIn } from './link.js';
import { applied, participant, speaks, withRoom } from './rooms.js';
import type { Joined, Participant, Room, ServerEvent, User, Welcome } from './types.js';
import { Disconnected, type Identity, Wire, type WireState } from './wire.js';

/** What outlives a reload of the page; each tab is a person of its own. */
interface Kept {
  readonly identity?: Identity | undefined;
  readonly roomId?: string | undefined;
}

const KEPT = 'spaces';
const NAME = 'spaces-name';
const NOTICE_MS = 6_000;

export interface Notice {
  readonly id: number;
  readonly text: string;
}

/** One person at this page: who it is, where it is, and what it does there. Tells of changes by `change` events. */
export class Session extends EventTarget {
  me: User | undefined;
  rooms: readonly Room[] = [];
  call: Call | undefined;
  notices: readonly Notice[] = [];
  /** Why the last attempt to come in failed, for beside the name. */
  trouble = '';
  /** Somebody is known, or it is clear that nobody is. */
  isReady = false;
  #roomId: string | undefined;
  #isJoining = false;
  #noticeId = 0;
  #talking: ReadonlyMap<string, number> = new Map();
  readonly #wire: Wire;

  constructor() {
    super();
    const { identity, roomId } = kept();
    // The link of a room goes before where this tab was.
    this.#roomId = roomIn(location.search) ?? roomId;
    const url = new URL('socket', document.baseURI).href.replace(/^http/, 'ws');
    this.#wire = new Wire(url, identity, {
      welcomed: (welcome) => this.#welcomed(welcome),
      forgotten: (lost) => void this.#forgotten(lost),
      event: (event) => this.#heard(event),
      changed: (state) => this.#connectionIs(state),
    });
    window.addEventListener('online', () => this.#wire.retry());
  }

  get connection(): WireState {
    return this.#wire.state;
  }

  /** The room that we are in. */
  get room(): Room | undefined {
    return this.call ? this.rooms.find(({ id }) => id === this.#roomId) : undefined;
  }

  /** Ourselves in the room that we are in. */
  get self(): Participant | undefined {
    return this.room && this.me ? participant(this.room, this.me.id) : undefined;
  }

  /** The host asks us to speak; the microphone stays off until we agree. */
  get isInvited(): boolean {
    return this.self?.invited ?? false;
  }

  get isHost(): boolean {
    return this.room !== undefined && this.room.ownerId === this.me?.id;
  }

  get isSpeaker(): boolean {
    return this.room !== undefined && this.me !== undefined && speaks(this.room, this.me.id);
  }

  /** Who talks in the room, with levels from 0 to 1. Who is muted is not among them. */
  get talking(): ReadonlyMap<string, number> {
    return this.#talking;
  }

  /** The name that was used last. */
  get usualName(): string {
    return localStorage.getItem(NAME) ?? '';
  }

  /** Somebody followed the link of a room, and has to say its name first. */
  get isExpected(): boolean {
    return !this.me && this.#roomId !== undefined;
  }

  async enter(username: string): Promise<void> {
    this.trouble = '';
    try {
      await this.#wire.authenticate(username);
      localStorage.setItem(NAME, this.me?.username ?? username);
    } catch (error) {
      this.trouble = inWords(error);
    }
    this.#changed();
  }

  async signOut(): Promise<void> {
    const signedOut = this.#wire.signOut();
    this.#close();
    this.me = undefined;
    await this.#tried(() => signedOut);
  }

  /** Opens a room of our own, with our microphone on. */
  async create(name: string, audioOnly: boolean): Promise<void> {
    await this.#tried(async () => {
      // Asked for first: nobody shall come into a room whose host still looks for a microphone.
      const captured = await capture(!audioOnly);
      try {
        const id = (await this.#wire.ask('create-room', { name, audioOnly })) as string;
        await this.#join(id);
      } catch (error) {
        release(captured);
        throw error;
      }
      if (this.call) await this.call.speak(captured, false);
      else release(captured);
    });
  }

  async join(id: string): Promise<void> {
    await this.#tried(async () => {
      await this.#join(id);
      if (this.isSpeaker) await this.speak();
    });
  }

  async leave(): Promise<void> {
    const id = this.#roomId;
    this.#close();
    this.#changed();
    if (id) await this.#tried(() => this.#wire.ask('leave-room', { roomId: id }));
  }

  /** Turns the microphone on, and the host's camera. */
  async speak(): Promise<void> {
    const { call, room } = this;
    if (!call || !room || !this.isSpeaker || call.speaking !== 'off') return;
    await this.#tried(async () => {
      const captured = await capture(this.isHost && !room.audioOnly);
      const isStill = this.call === call && this.isSpeaker && call.speaking === 'off';
      if (isStill) await call.speak(captured, this.self?.muted ?? false);
      else release(captured);
    });
  }

  raiseHand(raised: boolean): Promise<void> {
    return this.#inRoom('raise-hand', { raised });
  }

  async mute(muted: boolean): Promise<void> {
    this.call?.mute(muted);
    await this.#inRoom('mute', { muted });
  }

  /** Of others: the host's right. Of ourselves: stepping down. */
  async promote(userId: string, promoted: boolean): Promise<void> {
    await this.#inRoom('promote-user', { userId, promoted });
  }

  /** Says yes to the host; the microphone goes on when the server has made us a speaker. */
  async accept(): Promise<void> {
    if (this.me) await this.promote(this.me.id, true);
  }

  muteSpeaker(userId: string): Promise<void> {
    return this.#inRoom('mute-speaker', { userId });
  }

  kick(userId: string): Promise<void> {
    return this.#inRoom('kick-user', { userId });
  }

  /** Takes the place back from another tab. */
  goOnHere(): void {
    this.#wire.retry();
  }

  say(text: string): void {
    const id = this.#noticeId++;
    this.notices = [...this.notices.filter((one) => one.text !== text), { id, text }].slice(-3);
    setTimeout(() => this.dismiss(id), NOTICE_MS);
    this.#changed();
  }

  dismiss(id: number): void {
    this.notices = this.notices.filter((one) => one.id !== id);
    this.#changed();
  }

  async #join(id: string): Promise<void> {
    if (this.#isJoining) return;
    this.#isJoining = true;
    try {
      const joined = (await this.#wire.ask('join-room', { roomId: id })) as Joined;
      if (!this.me) return;
      this.#close();
      this.rooms = withRoom(this.rooms, joined.room);
      this.#roomId = id;
      this.#keep();
      this.call = new Call(this.#wire, joined, this.me.id, {
        changed: () => this.#changed(),
        sampled: () => this.#sampled(),
        trouble: (text) => this.say(text),
      });
      this.#changed();
    } finally {
      this.#isJoining = false;
    }
  }

  #inRoom(command: string, args: object): Promise<void> {
    return this.#tried(() => this.#wire.ask(command, { roomId: this.#roomId, ...args }));
  }

  /** What goes wrong is said, not thrown. */
  async #tried(action: () => Promise<unknown>): Promise<void> {
    try {
      await action();
    } catch (error) {
      this.say(inWords(error));
    }
    this.#changed();
  }

  #welcomed({ user, rooms }: Welcome): void {
    this.me = user;
    this.rooms = rooms;
    this.isReady = true;
    this.#keep();
    const id = this.#roomId;
    if (!id) this.#changed();
    else if (!this.call) void this.#again(id);
    else this.#settle();
  }

  /** Into the room where this page was before it was loaded anew, or before it was away for too long. */
  async #again(id: string): Promise<void> {
    if (this.rooms.some((room) => room.id === id)) await this.join(id);
    else {
      this.#close();
      this.say('This room is closed. Choose another one, or open one.');
    }
    this.#changed();
  }

  async #forgotten({ username }: Identity): Promise<void> {
    this.call?.end();
    this.call = undefined;
    this.me = undefined;
    // Our time was over, and our place is gone; our name may be free again.
    await this.#wire.authenticate(username).catch(() => {
      this.#close();
      this.isReady = true;
    });
    this.#changed();
  }

  #heard(event: ServerEvent): void {
    const name = this.room?.name ?? 'The room';
    this.rooms = applied(this.rooms, event);
    if ('roomId' in event && event.roomId === this.#roomId && this.call) {
      if (event.event === 'promoted') this.#promoted();
      else if (event.event === 'demoted') this.say('You are listening again');
      else if (event.event === 'muted') {
        this.call.mute(true);
        this.say('The host muted you');
      } else if (event.event === 'kicked') {
        this.#close();
        this.say(`The host sent you out of “${name}”`);
      }
    }
    this.#settle();
  }

  #promoted(): void {
    // The rooms say so with the next event; what follows asks them.
    const { room, me } = this;
    if (!room || !me) return;
    this.rooms = applied(this.rooms, {
      event: 'user-promoted',
      roomId: room.id,
      userId: me.id,
      promoted: true,
    });
    this.say('You are on: everybody hears you');
    void this.speak();
  }

  /** Brings the media in line with the room. The server does the same on its side, whatever this page does. */
  #settle(): void {
    if (this.call && !this.self) {
      this.#close();
      this.say('You are not in the room any more');
    }
    if (this.call && !this.isSpeaker) {
      if (this.call.speaking !== 'off') this.call.quiet();
    }
    this.#changed();
  }

  #connectionIs(state: WireState): void {
    if (state === 'open' && !this.#wire.identity) this.isReady = true;
    if (state === 'elsewhere') {
      this.call?.end();
      this.call = undefined;
    }
    this.#changed();
  }

  #sampled(): void {
    const talking = this.call?.voices.talking(performance.now()) ?? new Map<string, number>();
    const { room } = this;
    for (const id of talking.keys()) {
      if (!room || !speaks(room, id) || participant(room, id)?.muted) talking.delete(id);
    }
    if (talking.size === 0 && this.#talking.size === 0) return;
    this.#talking = talking;
    this.#changed();
  }

  #close(): void {
    this.call?.end();
    this.call = undefined;
    this.#roomId = undefined;
    this.#talking = new Map();
    this.#keep();
  }

  #keep(): void {
    const roomId = this.#roomId;
    const { identity } = this.#wire;
    // The address is the room's while we are in it, to be sent to others.
    if (roomIn(location.search) !== roomId && (this.me || !roomId)) {
      history.replaceState(null, '', linkOf(roomId, location));
    }
    sessionStorage.setItem(KEPT, JSON.stringify({ identity, roomId } satisfies Kept));
  }

  #changed(): void {
    this.dispatchEvent(new Event('change'));
  }
}

const inWords = (error: unknown): string =>
  error instanceof Disconnected
    ? 'There is no connection right now. Try again in a moment.'
    : (error as Error).message;

function kept(): Kept {
  try {
    return JSON.parse(sessionStorage.getItem(KEPT) ?? '{}') as Kept;
  } catch {
    return {};
  }
}
