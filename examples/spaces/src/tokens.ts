import { type DirectorReply, FetchError, type TokenGenerator } from 'rostra';
import type { Token } from './types.js';
import { Refusal } from './wire.js';

/** A token that came with something else is used if it is this young; Rostra's live for a minute. */
const FRESH_MS = 30_000;

/**
 * A generator for the client of Rostra. The first call takes the token that is there already; every other one, and
 * so every reconnection, asks for its own.
 */
export function refreshable(
  first: Token | undefined,
  ask: () => Promise<Token>,
  base: string,
  now: () => number = () => performance.now(),
): TokenGenerator {
  let held = first;
  const since = now();
  return async () => {
    const token = held && now() - since < FRESH_MS ? held : await asked(ask);
    held = undefined;
    return absolute(token, base);
  };
}

/** The client goes on after every refusal but a 401. A person without the right to a token has to stop. */
async function asked(ask: () => Promise<Token>): Promise<Token> {
  try {
    return await ask();
  } catch (error) {
    if (!(error instanceof Refusal)) throw new FetchError('The server cannot be reached', 503);
    const isFinal = error.status === 401 || error.status === 403;
    throw new FetchError(error.message, isFinal ? 401 : error.status);
  }
}

/** The gate is on the page's own server, under whatever name and scheme the page was loaded from. */
function absolute(token: Token, base: string): DirectorReply {
  const urls = token.urls.map((url) => new URL(url, base).href.replace(/^http/, 'ws'));
  return { ...token, urls };
}
