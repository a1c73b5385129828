/** Codes of the director for requests that no later attempt can mend. */
const FINAL_CODES: ReadonlySet<string> = new Set([
  'validation_failed',
  'account_not_found',
  'name_not_covered',
  'multisource_not_allowed',
]);

/** A refusal by the director. `status` is the HTTP status; `code` names the reason, where the server gives one. */
export class FetchError extends Error {
  override readonly name = 'FetchError';
  constructor(
    message: string,
    readonly status: number,
    readonly code?: string,
  ) {
    super(message);
  }

  /** Another attempt cannot succeed: the token is refused, or the request asks for what does not exist. */
  get isFinal(): boolean {
    return this.status === 401 || this.status === 403 || FINAL_CODES.has(this.code ?? '');
  }
}

export type StateErrorCode =
  | 'already_connecting'
  | 'already_connected'
  | 'reconnecting'
  | 'not_connected'
  | 'stopped';

/** The call does not fit the state of this object. */
export class StateError extends Error {
  override readonly name = 'StateError';
  constructor(
    readonly code: StateErrorCode,
    message: string,
  ) {
    super(message);
  }
}

/** The signalling socket failed, or the server answered a command with an error. */
export class SignalingError extends Error {
  override readonly name = 'SignalingError';
}

/** The caller's arguments cannot work, whatever the server says. */
export class OptionError extends Error {
  override readonly name = 'OptionError';
}

/** Whatever was thrown, as an Error. */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}
