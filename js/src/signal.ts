import { SignalingError, StateError } from './errors.js';

/** An event of the server, as the application sees it. */
export interface BroadcastEvent {
  name: string;
  data: Record<string, unknown>;
  namespace?: string | undefined;
}

interface Pending {
  resolve(data: unknown): void;
  reject(error: Error): void;
}

export interface SignalHandlers {
  event(event: BroadcastEvent): void;
  /** The socket broke or the server ended it for good. Called once, and only after it had opened. */
  broken(error: Error): void;
}

/** Close codes (RFC 6455 §7.4.1) of a socket that is over while media goes on: normal closure, and no code at all. */
const MEDIA_GOES_ON: ReadonlySet<number> = new Set([1000, 1005]);

/**
 * One signalling socket: numbered commands out, answers and events in.
 *
 * A normal closure by the server is not a failure: media goes on, and only later commands are refused. Any other code
 * says that the transport has ended (1001) or that the server had to close the socket.
 */
export class Signal {
  readonly #socket: WebSocket;
  readonly #pending = new Map<number, Pending>();
  #handlers: SignalHandlers | undefined;
  #transId = 0;

  /** Resolves when the socket is open. */
  readonly opened: Promise<void>;

  constructor(url: string, handlers: SignalHandlers) {
    this.#handlers = handlers;
    this.#socket = new WebSocket(url);
    const address = url.replace(/\?.*$/s, '');
    let isOpen = false;
    this.opened = new Promise((resolve, reject) => {
      this.#socket.onopen = () => {
        isOpen = true;
        resolve();
      };
      const failed = (text: string) => {
        const error = new SignalingError(text);
        reject(error);
        this.#settleAll(error);
        if (isOpen) this.#takeHandlers()?.broken(error);
      };
      this.#socket.onerror = () =>
        failed(isOpen ? 'The signalling connection broke' : `No connection to ${address}`);
      this.#socket.onclose = ({ wasClean, code, reason }) => {
        if (!isOpen || !wasClean) failed(`The signalling connection to ${address} was lost`);
        else if (MEDIA_GOES_ON.has(code)) {
          this.#settleAll(new SignalingError('The server closed the signalling connection'));
        } else {
          const words = reason ? `, ${reason}` : '';
          failed(`The server closed the signalling connection (${code}${words})`);
        }
      };
    });
    // The owner awaits it after making the offer; a refusal before that is not an unhandled one.
    this.opened.catch(() => undefined);
    this.#socket.onmessage = (message) => this.#received(message.data);
  }

  /**
   * Sends a command and waits for its answer.
   *
   * @throws {SignalingError} with the server's words when it refuses, or when the socket is gone.
   */
  request(name: string, data?: unknown): Promise<unknown> {
    if (this.#socket.readyState !== WebSocket.OPEN) {
      return Promise.reject(new SignalingError('The signalling connection is closed'));
    }
    const transId = this.#transId++;
    return new Promise((resolve, reject) => {
      this.#pending.set(transId, { resolve, reject });
      this.#socket.send(JSON.stringify({ type: 'cmd', transId, name, data }));
    });
  }

  close(): void {
    this.#handlers = undefined;
    this.#socket.close();
    this.#settleAll(new StateError('stopped', 'The connection was closed'));
  }

  #takeHandlers(): SignalHandlers | undefined {
    const handlers = this.#handlers;
    this.#handlers = undefined;
    return handlers;
  }

  #settleAll(error: Error): void {
    const waiting = [...this.#pending.values()];
    this.#pending.clear();
    for (const pending of waiting) pending.reject(error);
  }

  #received(text: unknown): void {
    const message = parse(text);
    if (!message) return;
    const { type, transId, name, data, namespace } = message;
    if (type === 'event' && typeof name === 'string') {
      const event = { name, data: (data ?? {}) as Record<string, unknown> };
      this.#handlers?.event(typeof namespace === 'string' ? { ...event, namespace } : event);
      return;
    }
    const pending = typeof transId === 'number' ? this.#pending.get(transId) : undefined;
    if (!pending || (type !== 'response' && type !== 'error')) return;
    this.#pending.delete(transId as number);
    if (type === 'response') pending.resolve(data);
    else pending.reject(new SignalingError(reasonOf(data)));
  }
}

/** Frames that cannot be read are ignored: a newer server may send more than this client knows. */
function parse(text: unknown): Record<string, unknown> | undefined {
  if (typeof text !== 'string') return undefined;
  try {
    const message: unknown = JSON.parse(text);
    return message !== null && typeof message === 'object'
      ? (message as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

function reasonOf(data: unknown): string {
  if (typeof data === 'string') return data;
  const message = (data as { message?: unknown } | null | undefined)?.message;
  return typeof message === 'string' ? message : 'The server refused the command';
}
