/** A refusal by the director. `status` is the HTTP status: 401 is final, any other may change later. */
export class FetchError extends Error {
  override readonly name = 'FetchError';
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message);
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
