import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Director, FetchError } from '../src/index.js';
import { type FakeServer, granted, install, refused, uninstall } from './fakes.js';

let server: FakeServer;

beforeEach(() => {
  server = install();
  Director.setEndpoint('https://rostra.example/');
  Director.setLiveDomain('');
});
afterEach(uninstall);

describe('Director', () => {
  it('posts a publish request with the token as bearer', async () => {
    const reply = await Director.getPublisher({ token: 'secret', streamName: 'demo' });
    expect(reply.urls).toEqual(['wss://live.example/ws/v2/sub/abc']);
    expect(server.requests[0]).toMatchObject({
      url: 'https://rostra.example/api/director/publish',
      headers: { Authorization: 'Bearer secret', 'Content-Type': 'application/json' },
      body: { streamName: 'demo' },
    });
  });

  it('takes the positional form too', async () => {
    await Director.getPublisher('secret', 'demo');
    await Director.getSubscriber('demo', 'k9Mwad', 'sub');
    expect(server.requests.map(({ body }) => body)).toEqual([
      { streamName: 'demo', streamType: 'WebRtc' },
      { streamName: 'demo', streamAccountId: 'k9Mwad' },
    ]);
  });

  it('sends no authorization without a token, and gives the token back with one', async () => {
    const open = await Director.getSubscriber({ streamName: 'demo', streamAccountId: 'k9Mwad' });
    expect(server.requests[0]?.headers).not.toHaveProperty('Authorization');
    expect(open.subscriberToken).toBeUndefined();
    const closed = await Director.getSubscriber({ streamName: 'demo', subscriberToken: 'sub' });
    expect(closed.subscriberToken).toBe('sub');
  });

  it('strips one slash of the endpoint, and uses an endpoint with a path for both calls', async () => {
    expect(Director.getEndpoint()).toBe('https://rostra.example');
    Director.setEndpoint('https://rostra.example/director');
    await Director.getPublisher({ token: 't', streamName: 'demo' });
    await Director.getSubscriber({ streamName: 'demo', streamAccountId: 'a' });
    const urls = server.requests.map(({ url }) => url);
    expect(urls).toEqual(['https://rostra.example/director', 'https://rostra.example/director']);
  });

  it('asks below a path that ends with a slash', async () => {
    Director.setEndpoint('https://rostra.example/live/');
    await Director.getPublisher({ token: 't', streamName: 'demo' });
    expect(server.requests[0]?.url).toBe('https://rostra.example/live/api/director/publish');
  });

  it('replaces the host of every signalling address', async () => {
    Director.setLiveDomain('proxy.example:8443/');
    const reply = await Director.getPublisher({ token: 't', streamName: 'demo' });
    expect(reply.urls).toEqual(['wss://proxy.example:8443/ws/v2/sub/abc']);
  });

  it.each([
    ['a refusal', refused(400, 'stream not being published'), 'stream not being published', 400],
    [
      'a bad token',
      refused(401, 'Unauthorized: Invalid token'),
      'Unauthorized: Invalid token',
      401,
    ],
    ['a refusal with status 200', refused(200, 'no'), 'no', 200],
    ['a fault', { status: 500, body: { status: 'error', message: 'oops' } }, 'oops', 500],
    [
      'no JSON at all',
      { status: 502, body: '<html>' },
      'The director answered with status 502',
      502,
    ],
    [
      'a reply without urls',
      { status: 200, body: { status: 'success', data: {} } },
      'The director answered with status 200',
      200,
    ],
  ])('turns %s into a FetchError', async (_, answer, message, status) => {
    server.answer = answer;
    const failed = Director.getSubscriber({ streamName: 'demo', streamAccountId: 'a' });
    const error = await failed.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(FetchError);
    expect(error).toMatchObject({ name: 'FetchError', message, status });
  });

  it('leaves a network failure as the browser throws it', async () => {
    server.answer = new TypeError('Failed to fetch');
    const failed = Director.getPublisher({ token: 't', streamName: 'demo' });
    await expect(failed).rejects.toThrow(TypeError);
    server.answer = granted();
  });
});
