/** Errors and states as a person would say them. */

const BY_MESSAGE: [RegExp, string][] = [
  [/stream not being published/i, 'Nobody is publishing this stream yet.'],
  [/stream not found/i, 'The server does not know this stream.'],
  [
    /streamname is not valid for token/i,
    'The token does not cover this stream name: use another name or token.',
  ],
  [
    /token publishes the main source only/i,
    'The token publishes the main source only: leave the name of the source empty.',
  ],
  [/failed to fetch|networkerror|load failed|no connection to/i, 'The server cannot be reached.'],
  [/connection lost|connection failed|connection .*(lost|broke)/i, 'The connection was lost.'],
];

/** Refusals of the director that another attempt does not mend. */
const BY_CODE: Record<string, string> = {
  account_not_found: 'The server does not know this account: check its name.',
  name_not_covered: 'The token does not cover this stream name: use another name or token.',
  multisource_not_allowed:
    'The token publishes the main source only: leave the name of the source empty.',
};

const BY_NAME: Record<string, string> = {
  NotAllowedError: 'The browser was not allowed to do that. Permit it and try again.',
  NotFoundError: 'There is no camera or microphone.',
  NotReadableError: 'The camera is in use by another program.',
  OverconstrainedError: 'The camera cannot deliver this size.',
  AbortError: 'It was cancelled.',
};

/** A token that was shown to the server; empty: none was entered. */
export interface Shown {
  readonly kind: 'publish' | 'subscribe';
  readonly token: string;
}

function refusedInWords(shown: Shown | undefined): string {
  if (!shown) return 'The server does not accept the token.';
  if (shown.token === '') return `No ${shown.kind} token is entered: enter one above.`;
  return `The server does not accept the ${shown.kind} token: check that it is valid, and good for this stream.`;
}

/** Whatever went wrong, in a sentence. */
export function inWords(error: unknown, shown?: Shown): string {
  const { name, message, status, code } = (error ?? {}) as {
    name?: string;
    code?: unknown;
    message?: string;
    status?: number;
  };
  if (status === 401) return refusedInWords(shown);
  const coded = typeof code === 'string' ? BY_CODE[code] : undefined;
  if (coded) return coded;
  const known = BY_MESSAGE.find(([pattern]) => pattern.test(message ?? ''));
  if (known) return known[1];
  const named = BY_NAME[name ?? ''];
  if (named) return named;
  return message ? `It did not work: ${message}` : 'It did not work.';
}

/** Why something that is tried again and again does not work yet, and what the person may do meanwhile. */
export function waitingInWords(error: unknown): string {
  const why = inWords(error);
  return /stream not being published/i.test((error as Error | undefined)?.message ?? '')
    ? `${why} Start a publisher, or check the names of stream and account. It plays by itself as soon as there is one.`
    : `${why} The page tries again by itself.`;
}

/** `1 frame`, `2 frames`. */
export const counted = (count: number, thing: string): string =>
  `${count} ${thing}${count === 1 ? '' : 's'}`;

export const sourceInWords = (source: string | null): string => source ?? 'Main source';
