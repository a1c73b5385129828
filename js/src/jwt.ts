/** The claims that the client reads. The signature is the server's business and not checked here. */
export interface Claims {
  readonly streamName: string | undefined;
  /** Whether this token may record. */
  readonly record: boolean;
}

/**
 * Reads the `millicast` claim of a director token.
 *
 * @throws {TypeError} when the text is not a JWT.
 */
export function readClaims(jwt: string): Claims {
  const payload = jwt.split('.')[1];
  if (!payload) throw new TypeError('The director answered with something that is not a JWT');
  const base64 = payload.replaceAll('-', '+').replaceAll('_', '/');
  const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
  const parsed: unknown = JSON.parse(new TextDecoder().decode(bytes));
  const claim = (parsed as { millicast?: { streamName?: unknown; record?: unknown } } | null)
    ?.millicast;
  return {
    streamName: typeof claim?.streamName === 'string' ? claim.streamName : undefined,
    record: Boolean(claim?.record),
  };
}
