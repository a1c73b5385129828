import type { ServerEvent, Welcome } from './types.js';

/** The server's no. `status` is as HTTP would say it. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message);
  }
}

/** The connection is gone before the answer came. */
export class Disconnected extends Error {
  override readonly name = 'Disconnected';
  constructor() {
    super('The connection was lost');
  }
}

/** Who the person is to the server, and what proves it. */
export interface Identity {
  readonly userId: string;
  readonly username: string;
  readonly secret: string;
}

export interface WireHandlers {
  /** The server knows who we are: at first, and again after every reconnection. */
  welcomed(welcome: Welcome): void;
  /** The server does not know us any more; another `authenticate` is needed. */
  forgotten(identity: Identity): void;
  event(event: ServerEvent): void;
  /** `elsewhere`: the person goes on in another tab, and this one rests. */
  changed(state: WireState): void;
}

export type WireState = 'connecting' | 'open' | 'lost' | 'elsewhere';

/** The part of a WebSocket that is used. */
export interface Socket {
  onopen: (() => void) | null;
  onclose: ((event: { code: number }) => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  send(text: string): void;
  close(): void;
}

export interface WireOptions {
  open?: (url: string) => Socket;
  /** Calls back later, and can be told not to. */
  later?: (call: () => void, ms: number) => () => void;
}

/** 0.5 s doubling to 8 s: a place is kept for 20 s. */
const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 8_000;
/** Close code: the person goes on in another tab. */
const ELSEWHERE = 4000;

interface Pending {
  resolve(data: unknown): void;
  reject(error: Error): void;
}

/** Questions and answers, events, and staying connected as the same person. */
export class Wire {
  readonly #url: string;
  readonly #handlers: WireHandlers;
  readonly #open: (url: string) => Socket;
  readonly #later: (call: () => void, ms: number) => () => void;
  readonly #pending = new Map<number, Pending>();
  #identity: Identity | undefined;
  #socket: Socket | undefined;
  #state: WireState = 'connecting';
  #delayMs = FIRST_DELAY_MS;
  #number = 0;
  #cancel: () => void = () => undefined;

  constructor(
    url: string,
    identity: Identity | undefined,
    handlers: WireHandlers,
    options: WireOptions = {},
  ) {
    this.#url = url;
    this.#identity = identity;
    this.#handlers = handlers;
    this.#open = options.open ?? ((address) => new WebSocket(address) as unknown as Socket);
    this.#later = options.later ?? timer;
    this.#connect();
  }

  get state(): WireState {
    return this.#state;
  }

  get identity(): Identity | undefined {
    return this.#identity;
  }

  /** Becomes somebody. @throws {Refusal} for example because the name is taken. */
  async authenticate(username: string): Promise<void> {
    this.#welcomed((await this.ask('authenticate', { username })) as Welcome);
  }

  /** Is nobody any more, at once. */
  async signOut(): Promise<void> {
    this.#identity = undefined;
    await this.ask('sign-out');
  }

  /**
   * Sends a command and waits for its answer.
   *
   * @throws {Refusal} with the server's words.
   * @throws {Disconnected} without a connection, or when it is lost before the answer.
   */
  ask(name: string, args: object = {}): Promise<unknown> {
    const socket = this.#socket;
    if (!socket || this.#state !== 'open') return Promise.reject(new Disconnected());
    return this.#ask(socket, name, args);
  }

  /** Takes the place back from another tab, or tries again without waiting. */
  retry(): void {
    if (this.#state !== 'lost' && this.#state !== 'elsewhere') return;
    this.#cancel();
    this.#connect();
  }

  #ask(socket: Socket, name: string, args: object): Promise<unknown> {
    const id = this.#number++;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      socket.send(JSON.stringify({ id, do: name, ...args }));
    });
  }

  #connect(): void {
    const socket = this.#open(this.#url);
    this.#socket = socket;
    socket.onopen = () => void this.#opened(socket);
    socket.onmessage = ({ data }) => this.#received(data);
    socket.onclose = ({ code }) => this.#closed(socket, code);
  }

  async #opened(socket: Socket): Promise<void> {
    const identity = this.#identity;
    if (!identity) {
      this.#isUp();
      return;
    }
    const { userId, secret } = identity;
    try {
      const welcome = (await this.#ask(socket, 'resume', { userId, secret })) as Welcome;
      this.#isUp();
      this.#welcomed(welcome);
    } catch (error) {
      // Without an answer there is no connection either, and `#closed` sees to it.
      if (!(error instanceof Refusal)) return;
      this.#identity = undefined;
      this.#isUp();
      this.#handlers.forgotten(identity);
    }
  }

  #isUp(): void {
    this.#delayMs = FIRST_DELAY_MS;
    this.#is('open');
  }

  #welcomed(welcome: Welcome): void {
    const { user, secret } = welcome;
    this.#identity = { userId: user.id, username: user.username, secret };
    this.#handlers.welcomed(welcome);
  }

  #received(data: unknown): void {
    const message = JSON.parse(String(data)) as Record<string, unknown>;
    if (typeof message.event === 'string') {
      this.#handlers.event(message as unknown as ServerEvent);
      return;
    }
    const pending = this.#pending.get(message.answer as number);
    if (!pending) return;
    this.#pending.delete(message.answer as number);
    if (typeof message.error === 'string') {
      pending.reject(new Refusal(message.error, Number(message.status)));
    } else pending.resolve(message.data);
  }

  #closed(socket: Socket, code: number): void {
    if (this.#socket !== socket) return;
    this.#socket = undefined;
    const waiting = [...this.#pending.values()];
    this.#pending.clear();
    this.#is(code === ELSEWHERE ? 'elsewhere' : 'lost');
    for (const pending of waiting) pending.reject(new Disconnected());
    if (code === ELSEWHERE) return;
    this.#cancel = this.#later(() => this.#connect(), this.#delayMs);
    this.#delayMs = Math.min(this.#delayMs * 2, LONGEST_DELAY_MS);
  }

  #is(state: WireState): void {
    if (this.#state === state) return;
    this.#state = state;
    this.#handlers.changed(state);
  }
}

function timer(call: () => void, ms: number): () => void {
  const running = setTimeout(call, ms);
  return () => clearTimeout(running);
}
