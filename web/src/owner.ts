/** What the owner of an account asks the server with its API secret (docs/protocol/debug.md). */

/** How long an answer may take. The server itself waits 2 s for its media plane. */
const DEADLINE_MS = 10_000;

/** `trouble`: why there is no answer and what to do, as sentences. */
export type Answer = { readonly body: unknown } | { readonly trouble: string };

const UNREACHABLE =
  'The server cannot be reached: check that it runs, and the network. The page asks again by itself.';
const UNREADABLE =
  'The answer is not one of this server: check what a proxy before it does with /api/debug.';
const BY_STATUS: Readonly<Record<number, string>> = {
  401: 'The server does not accept the API secret: enter the one of this account.',
  503: 'The server is too busy to answer. The page asks again by itself.',
};

/** `missing`: what a 404 means here, and what to do. Does not reject. */
export async function askAsOwner(path: string, secret: string, missing: string): Promise<Answer> {
  const response = await fetch(path, {
    headers: { Authorization: `Bearer ${secret}` },
    signal: AbortSignal.timeout(DEADLINE_MS),
  }).catch(() => undefined);
  if (!response) return { trouble: UNREACHABLE };
  if (response.ok) {
    const body: unknown = await response.json().catch(() => undefined);
    return body === undefined ? { trouble: UNREADABLE } : { body };
  }
  if (response.status === 404) return { trouble: missing };
  return {
    trouble:
      BY_STATUS[response.status] ??
      `The server answered ${response.status}: its log says why. The page asks again by itself.`,
  };
}
