import { FetchError } from './errors.js';

/** What the director hands out: where to go, and the right to go there. */
export interface DirectorReply {
  urls: string[];
  jwt: string;
  iceServers?: RTCIceServer[];
  streamAccountId?: string;
  subscribeRequiresAuth?: boolean;
  /** The token that the call was made with (subscribers only). */
  subscriberToken?: string;
  [key: string]: unknown;
}

/** Called before every attempt to connect, so that each one presents a fresh token. */
export type TokenGenerator = () => Promise<DirectorReply> | DirectorReply;

export interface PublisherRequest {
  token: string;
  streamName: string;
  streamType?: 'WebRtc' | 'Rtmp';
}

export interface SubscriberRequest {
  streamName: string;
  streamAccountId?: string | undefined;
  subscriberToken?: string | undefined;
}

type Door = 'publish' | 'subscribe';

let endpoint: string | undefined;
let liveDomain: string | undefined;

const withoutSlash = (text: string): string => text.replace(/\/$/, '');

function addressOf(door: Door): string {
  const base = Director.getEndpoint();
  // A path without a slash at its end names the door itself, for both calls.
  const named = /^[a-z]+:\/\/[^/?#]+\/[^?#]*[^/?#]$/i.test(base);
  return named ? base : `${withoutSlash(base)}/api/director/${door}`;
}

/** The host of `url` replaced; scheme, path and query stay. */
function onDomain(url: string, domain: string): string {
  return url.replace(/^([^/]*\/\/)[^/?#]*/, (_, scheme: string) => scheme + domain);
}

function messageOf(body: unknown, response: Response): string {
  const { data, message } = (body ?? {}) as { data?: { message?: unknown }; message?: unknown };
  for (const text of [data?.message, message, response.statusText]) {
    if (typeof text === 'string' && text) return text;
  }
  return `The director answered with status ${response.status}`;
}

function codeOf(body: unknown): string | undefined {
  const code = (body as { data?: { code?: unknown } } | null)?.data?.code;
  return typeof code === 'string' ? code : undefined;
}

async function ask(door: Door, token: string | undefined, body: object): Promise<DirectorReply> {
  const headers: Record<string, string> = { 'Content-Type': 'application/json' };
  if (token) headers.Authorization = `Bearer ${token}`;
  const response = await fetch(addressOf(door), {
    method: 'POST',
    headers,
    body: JSON.stringify(body),
  });
  const reply: unknown = await response.json().catch(() => null);
  const { status, data } = (reply ?? {}) as { status?: string; data?: DirectorReply };
  const refused = !response.ok || status === 'fail' || status === 'error';
  if (refused || !Array.isArray(data?.urls) || typeof data.jwt !== 'string') {
    throw new FetchError(messageOf(reply, response), response.status, codeOf(reply));
  }
  if (liveDomain === undefined) return data;
  const domain = liveDomain;
  return { ...data, urls: data.urls.map((url) => onDomain(url, domain)) };
}

/** The door of the server: turns a publish or subscribe token into an address and a short-lived JWT. */
export const Director = {
  /**
   * Names the server. With a bare origin the two calls go to `/api/director/publish` and
   * `/api/director/subscribe`; so they do below a path that ends with a slash, where a proxy serves
   * the server. An address with another path is used as it is for both.
   */
  setEndpoint(url: string): void {
    endpoint = /^[a-z]+:\/\/[^/?#]+\/$/i.test(url) ? withoutSlash(url) : url;
  },

  /** The server in use; without `setEndpoint` it is the origin of the page. */
  getEndpoint(): string {
    const base = endpoint ?? globalThis.location?.origin;
    if (!base) throw new TypeError('Call Director.setEndpoint(url) first: there is no page origin');
    return base;
  },

  /** Makes every signalling address use this host (and port), for example that of a proxy. */
  setLiveDomain(domain: string): void {
    liveDomain = domain ? withoutSlash(domain) : undefined;
  },

  getLiveDomain(): string | undefined {
    return liveDomain;
  },

  /**
   * Asks for the right to publish.
   *
   * @throws {FetchError} when the director refuses.
   */
  async getPublisher(
    request: PublisherRequest | string,
    streamName?: string,
    streamType: 'WebRtc' | 'Rtmp' = 'WebRtc',
  ): Promise<DirectorReply> {
    if (typeof request === 'string') return ask('publish', request, { streamName, streamType });
    const { token, ...body } = request;
    return ask('publish', token, body);
  },

  /**
   * Asks for the right to watch. Without a token the stream must allow it, and `streamAccountId` is needed.
   *
   * @throws {FetchError} when the director refuses; "stream not being published" is status 400.
   */
  async getSubscriber(
    request: SubscriberRequest | string,
    streamAccountId?: string,
    subscriberToken?: string,
  ): Promise<DirectorReply> {
    const asked =
      typeof request === 'string'
        ? { streamName: request, streamAccountId, subscriberToken }
        : request;
    const token = asked.subscriberToken;
    const body = { streamAccountId: asked.streamAccountId, streamName: asked.streamName };
    const reply = await ask('subscribe', token, body);
    return token ? { ...reply, subscriberToken: token } : reply;
  },
};
