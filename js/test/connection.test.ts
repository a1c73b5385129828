import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  type ConnectionEvents,
  Director,
  FetchError,
  SignalingError,
  StateError,
  View,
} from '../src/index.js';
import {
  FakePeer,
  type FakeServer,
  FakeSocket,
  granted,
  install,
  outcome,
  refused,
  settle,
  uninstall,
} from './fakes.js';

let server: FakeServer;

beforeEach(() => {
  server = install();
  Director.setEndpoint('https://rostra.example');
});
afterEach(uninstall);

const token = () => Director.getSubscriber({ streamName: 'demo', streamAccountId: 'k9Mwad' });
const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

function watch(view: View): {
  states: string[];
  reconnects: ConnectionEvents['reconnect'][];
  errors: Error[];
} {
  const seen = {
    states: [] as string[],
    reconnects: [] as ConnectionEvents['reconnect'][],
    errors: [] as Error[],
  };
  view.on('connectionStateChange', (state) => seen.states.push(state));
  view.on('reconnect', (event) => seen.reconnects.push(event));
  view.on('error', (error) => seen.errors.push(error));
  return seen;
}

async function connected(view = new View(token)): Promise<View> {
  await view.connect();
  FakePeer.last.become('connected');
  return view;
}

describe('connect', () => {
  it('opens the socket with the token and resolves when the answer is applied', async () => {
    const view = new View(token);
    await view.connect();
    expect(FakeSocket.last.url).toMatch(
      /^wss:\/\/live\.example\/ws\/v2\/sub\/abc\?token=\S+\.\S+\.\S+$/,
    );
    expect(FakePeer.last.remoteDescription?.sdp).toContain('a=ice-lite');
    expect(view.state).toBe('connected');
    expect(view.isActive()).toBe(false);
    FakePeer.last.become('connected');
    expect(view.isActive()).toBe(true);
  });

  it('is refused while another one is under way, and leaves that one alone', async () => {
    const view = new View(token);
    const first = view.connect();
    await expect(view.connect()).rejects.toMatchObject({
      name: 'StateError',
      code: 'already_connecting',
    });
    await first;
    await expect(view.connect()).rejects.toMatchObject({ code: 'already_connected' });
    expect(FakeSocket.all).toHaveLength(1);
  });

  it('can be called again after stop()', async () => {
    const view = await connected();
    view.stop();
    await view.connect();
    expect(FakeSocket.all).toHaveLength(2);
  });

  it('rejects with the words of the server when it refuses the command', async () => {
    FakeSocket.behaviour = 'opens';
    const view = new View(token);
    const connecting = view.connect();
    await settle();
    const { transId } = FakeSocket.last.commands('view')[0] ?? {};
    FakeSocket.last.say({ type: 'error', transId, data: 'no common codec' });
    const error = await outcome(connecting);
    expect(error).toBeInstanceOf(SignalingError);
    expect(error).toMatchObject({ message: 'no common codec' });
    expect(view.state).toBe('idle');
    expect(FakePeer.last.connectionState).toBe('closed');
  });

  it('rejects without a second try when the socket cannot be opened', async () => {
    FakeSocket.behaviour = 'refuses';
    const view = new View(token);
    const seen = watch(view);
    await expect(view.connect()).rejects.toThrow(
      'No connection to wss://live.example/ws/v2/sub/abc',
    );
    await pass(120_000);
    expect(server.requests).toHaveLength(1);
    expect(seen.reconnects).toEqual([]);
  });

  it('rejects without a second try when the director cannot be reached', async () => {
    server.answer = new TypeError('Failed to fetch');
    const view = new View(token);
    await expect(view.connect()).rejects.toThrow('Failed to fetch');
    await pass(120_000);
    expect(server.requests).toHaveLength(1);
  });

  it('rejects when the token generator throws at once', async () => {
    const view = new View(() => {
      throw new Error('no token today');
    });
    await expect(view.connect()).rejects.toThrow('no token today');
    expect(view.state).toBe('idle');
  });

  it('gives the ICE servers of the director, or else those of the application', async () => {
    const own = { iceServers: [{ urls: 'stun:own.example' }], encodedInsertableStreams: true };
    const view = new View(token);
    await view.connect({ peerConfig: own });
    expect(FakePeer.last.configuration).toEqual(own);
    view.stop();
    const answer = granted();
    const data = (answer.body as { data: object }).data;
    const iceServers = [{ urls: ['stun:director.example'] }];
    server.answer = { ...answer, body: { status: 'success', data: { ...data, iceServers } } };
    await view.connect({ peerConfig: own });
    expect(FakePeer.last.configuration).toEqual({ ...own, iceServers });
  });
});

describe('a refusal by the director', () => {
  it('is tried again at once, every 1 to 2 s for half a minute, then after 4, 8, 16, 32, 32 s', async () => {
    server.answer = refused(400, 'stream not being published');
    const view = new View(token);
    const seen = watch(view);
    const error = await outcome(view.connect());
    expect(error).toBeInstanceOf(FetchError);
    expect(error).toMatchObject({ status: 400, message: 'stream not being published' });
    await pass(124_000);
    const halfMinute = [0, 0, 1, 2, 3, 4, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31];
    expect(server.times.map((ms) => ms / 1_000)).toEqual([...halfMinute, 35, 43, 59, 91, 123]);
    const timeouts = seen.reconnects.map(({ timeout }) => timeout);
    expect(timeouts.slice(0, 7)).toEqual([1_000, 1_000, 1_000, 1_000, 1_000, 2_000, 2_000]);
    expect(timeouts.slice(-5)).toEqual([8_000, 16_000, 32_000, 32_000, 32_000]);
    expect(seen.reconnects[0]?.error).toBe(error);
    view.stop();
  });

  it('ends when the stream is there, and the next outage starts from the beginning', async () => {
    server.answer = refused(400, 'stream not being published');
    const view = new View(token);
    await outcome(view.connect());
    server.answer = granted();
    await pass(2_000);
    expect(view.state).toBe('connected');
    FakePeer.last.become('connected');
    server.answer = refused(400, 'stream not being published');
    const before = server.requests.length;
    FakePeer.last.become('failed');
    await pass(2_500);
    const times = server.requests
      .slice(before)
      .map(({ at }) => at - (server.requests[before]?.at ?? 0));
    expect(times).toEqual([0, 1_000, 2_000]);
    view.stop();
  });

  it('with 401 is final', async () => {
    server.answer = refused(401, 'Unauthorized: Invalid token');
    const view = new View(token);
    const seen = watch(view);
    await expect(view.connect()).rejects.toMatchObject({ status: 401 });
    await pass(120_000);
    expect(server.requests).toHaveLength(1);
    expect(seen.reconnects).toEqual([]);
    expect(view.state).toBe('idle');
    expect(view.failure).toMatchObject({ status: 401, isFinal: true });
  });

  it.each(['account_not_found', 'name_not_covered', 'validation_failed'])(
    'with the code %s is final, and told',
    async (code) => {
      const view = await connected();
      const seen = watch(view);
      server.answer = refused(400, 'it cannot be', code);
      FakePeer.last.become('failed');
      await pass(120_000);
      expect(server.requests).toHaveLength(2);
      expect(seen.errors).toMatchObject([{ status: 400, code, isFinal: true }]);
      expect(view.state).toBe('idle');
      expect(view.failure).toBe(seen.errors[0]);
      view.stop();
      expect(view.failure).toBeNull();
    },
  );

  it('that was final is no obstacle to another try', async () => {
    const view = await connected();
    server.answer = refused(400, 'stream not found', 'account_not_found');
    FakePeer.last.become('failed');
    await settle();
    server.answer = granted();
    view.reconnect();
    await settle();
    expect(view.state).toBe('connected');
    expect(view.failure).toBeNull();
  });

  it('with 401 during a reconnection is final too, and told', async () => {
    const view = await connected();
    const seen = watch(view);
    server.answer = refused(401, 'Unauthorized');
    FakePeer.last.become('failed');
    await pass(120_000);
    expect(server.requests).toHaveLength(2);
    expect(seen.errors).toMatchObject([{ name: 'FetchError', status: 401 }]);
    expect(view.state).toBe('idle');
  });

  it('is not tried again without automatic reconnection', async () => {
    server.answer = refused(400, 'stream not being published');
    const view = new View('demo', token, null, false);
    await expect(view.connect()).rejects.toMatchObject({ status: 400 });
    await pass(120_000);
    expect(server.requests).toHaveLength(1);
  });

  it('keeps connect() refused while it is being retried', async () => {
    server.answer = refused(400, 'stream not being published');
    const view = new View(token);
    await outcome(view.connect());
    await expect(view.connect()).rejects.toMatchObject({ code: 'reconnecting' });
    view.stop();
  });
});

describe('reconnection', () => {
  it('follows a failed connection at once, with a fresh token and a new socket', async () => {
    const view = await connected();
    const seen = watch(view);
    const first = FakePeer.last;
    first.become('failed');
    await settle();
    expect(first.connectionState).toBe('closed');
    expect(FakeSocket.all[0]?.closedByClient).toBe(true);
    expect(server.requests).toHaveLength(2);
    expect(FakePeer.all).toHaveLength(2);
    expect(view.state).toBe('connected');
    expect(seen.states).toEqual(['failed', 'closed', 'connecting']);
    expect(seen.reconnects).toMatchObject([
      { timeout: 1_000, error: { message: 'The connection failed' } },
    ]);
  });

  it('follows a disconnection after 1.5 s', async () => {
    await connected();
    FakePeer.last.become('disconnected');
    await pass(1_499);
    expect(server.requests).toHaveLength(1);
    await pass(1);
    expect(server.requests).toHaveLength(2);
  });

  it('is not needed when the connection recovers within 1.5 s', async () => {
    const view = await connected();
    FakePeer.last.become('disconnected');
    await pass(1_000);
    FakePeer.last.become('connected');
    await pass(60_000);
    expect(server.requests).toHaveLength(1);
    expect(view.isActive()).toBe(true);
  });

  it('follows a broken socket, once per outage', async () => {
    await connected();
    FakeSocket.last.breakDown();
    await settle();
    expect(server.requests).toHaveLength(2);
    await pass(60_000);
    expect(server.requests).toHaveLength(2);
  });

  it.each([1000, 1005])(
    'does not follow a close with %i; later commands are refused in words',
    async (code) => {
      const view = await connected();
      FakeSocket.last.closeCleanly(code);
      await pass(60_000);
      expect(server.requests).toHaveLength(1);
      expect(view.isActive()).toBe(true);
      await expect(view.select({})).rejects.toThrow('The signalling connection is closed');
    },
  );

  it.each([1001, 1008, 1011, 1012])('follows a clean close with %i at once', async (code) => {
    const view = await connected();
    const seen = watch(view);
    FakeSocket.last.closeCleanly(code, 'says why');
    await settle();
    expect(server.requests).toHaveLength(2);
    expect(view.state).toBe('connected');
    expect(seen.reconnects[0]?.error.message).toContain(`(${code}, says why)`);
  });

  it.each(['inactive', 'stopped', 'migrate'])('does not follow the event %s', async (name) => {
    await connected();
    FakeSocket.last.event(name);
    await pass(60_000);
    expect(server.requests).toHaveLength(1);
  });

  it('goes on when the network is away for a while', async () => {
    const view = await connected();
    server.answer = new TypeError('Failed to fetch');
    FakePeer.last.become('failed');
    await pass(6_500);
    server.answer = granted();
    await pass(8_000);
    expect(view.state).toBe('connected');
    expect(server.times.slice(1)).toEqual([0, 1_000, 2_000, 3_000, 4_000, 5_000, 7_000]);
  });

  it('does not repeat at once, for ever, what never carries media', async () => {
    const view = await connected();
    FakePeer.last.become('failed');
    for (let round = 0; round < 5; round++) {
      await settle();
      FakePeer.last.become('failed');
    }
    expect(server.requests).toHaveLength(2);
    await pass(1_000);
    expect(server.requests).toHaveLength(3);
    view.stop();
  });

  it('gives up an attempt that gets no answer within 8 s', async () => {
    const view = await connected();
    const seen = watch(view);
    server.answer = 'never';
    FakePeer.last.become('failed');
    await pass(8_000);
    expect(view.state).toBe('waiting');
    server.answer = granted();
    await pass(2_000);
    expect(view.state).toBe('connected');
    expect(seen.reconnects[1]?.error.message).toBe('The server did not answer within 8 s');
    await pass(60_000);
    expect(server.requests).toHaveLength(3);
  });

  it('comes soon after the stream is back, although the server was away for minutes', async () => {
    const view = await connected();
    server.answer = new TypeError('Failed to fetch');
    FakePeer.last.become('failed');
    await pass(120_000);
    server.answer = refused(400, 'stream not being published', 'not_published');
    await pass(30_000);
    server.answer = granted();
    await pass(2_000);
    expect(view.state).toBe('connected');
  });

  it('notices that the socket broke while the answer was being applied', async () => {
    FakePeer.hangs = undefined;
    const view = new View(token);
    const connecting = view.connect();
    view.once('connectionStateChange', () => FakeSocket.last.breakDown());
    await connecting;
    expect(view.state).toBe('waiting');
    await pass(2_000);
    expect(view.state).toBe('connected');
  });

  it('can be asked for while waiting, and then comes at once', async () => {
    server.answer = refused(400, 'stream not being published', 'not_published');
    const view = new View(token);
    await outcome(view.connect());
    await pass(100_000);
    const before = server.requests.length;
    server.answer = granted();
    view.reconnect();
    await settle();
    expect(server.requests).toHaveLength(before + 1);
    expect(view.state).toBe('connected');
    FakePeer.last.become('connected');
    await pass(120_000);
    expect(server.requests).toHaveLength(before + 1);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('that is asked for changes nothing while an attempt is under way', async () => {
    const view = await connected();
    FakePeer.hangs = 'createOffer';
    view.reconnect();
    await settle();
    view.reconnect();
    await settle();
    expect(view.state).toBe('reconnecting');
    expect(server.requests).toHaveLength(2);
    view.stop();
  });

  it('can be asked for', async () => {
    const view = await connected();
    view.reconnect();
    await settle();
    expect(FakePeer.all).toHaveLength(2);
    expect(view.state).toBe('connected');
    expect(() => new View(token).reconnect()).toThrow(StateError);
  });
});

describe('stop', () => {
  it('closes peer connection and socket and is silent afterwards', async () => {
    const view = await connected();
    const seen = watch(view);
    view.stop();
    view.stop();
    expect(FakePeer.last.connectionState).toBe('closed');
    expect(FakeSocket.last.closedByClient).toBe(true);
    expect(seen.states).toEqual(['closed']);
    expect(view.webRTCPeer).toBeNull();
    await pass(120_000);
    expect(server.requests).toHaveLength(1);
    expect(vi.getTimerCount()).toBe(0);
  });

  const points: [string, () => void][] = [
    ['the director is asked', () => (server.answer = 'never')],
    ['the socket opens', () => (FakeSocket.behaviour = 'silent')],
    ['the server prepares its answer', () => (FakeSocket.behaviour = 'opens')],
    ['the offer is made', () => (FakePeer.hangs = 'createOffer')],
    ['the offer is applied', () => (FakePeer.hangs = 'setLocalDescription')],
    ['the answer is applied', () => (FakePeer.hangs = 'setRemoteDescription')],
  ];

  it.each(points)('ends a connect() while %s', async (_, hang) => {
    hang();
    const view = new View(token);
    const connecting = view.connect();
    expect(await outcome(Promise.race([connecting, settle().then(() => 'hangs')]))).toBe('hangs');
    view.stop();
    expect(await outcome(connecting)).toMatchObject({ name: 'StateError', code: 'stopped' });
    for (const peer of FakePeer.all) expect(peer.connectionState).toBe('closed');
    for (const socket of FakeSocket.all) expect(socket.closedByClient).toBe(true);
    await pass(120_000);
    expect(view.state).toBe('idle');
    expect(server.requests).toHaveLength(1);
    expect(vi.getTimerCount()).toBe(0);
  });

  it.each(points)('ends a reconnection while %s', async (_, hang) => {
    const view = await connected();
    const seen = watch(view);
    hang();
    FakePeer.last.become('failed');
    await settle();
    expect(view.state).toBe('reconnecting');
    view.stop();
    await pass(120_000);
    for (const peer of FakePeer.all) expect(peer.connectionState).toBe('closed');
    for (const socket of FakeSocket.all) expect(socket.closedByClient).toBe(true);
    expect(view.state).toBe('idle');
    expect(server.requests).toHaveLength(2);
    expect(seen.errors).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('takes effect between any two steps of a connect()', async () => {
    let rejected = 0;
    for (let steps = 0; steps < 60; steps++) {
      const view = new View(token);
      const connecting = view.connect();
      for (let step = 0; step < steps; step++) await Promise.resolve();
      view.stop();
      if (await outcome(connecting).then((result) => result instanceof StateError)) rejected++;
      expect(view.state).toBe('idle');
      expect(view.webRTCPeer).toBeNull();
    }
    expect(rejected).toBeGreaterThan(10);
    expect(rejected).toBeLessThan(60);
    for (const peer of FakePeer.all) expect(peer.connectionState).toBe('closed');
    for (const socket of FakeSocket.all) expect(socket.closedByClient).toBe(true);
  });

  it('takes effect even when the token arrives afterwards', async () => {
    let give: (reply: Awaited<ReturnType<typeof token>>) => void = () => undefined;
    const view = new View(() => new Promise((resolve) => (give = resolve)));
    const connecting = view.connect();
    view.stop();
    give(await token());
    expect(await outcome(connecting)).toMatchObject({ code: 'stopped' });
    expect(FakeSocket.all).toEqual([]);
    expect(FakePeer.all).toEqual([]);
  });

  it('ends the wait between two attempts', async () => {
    server.answer = refused(400, 'stream not being published');
    const view = new View(token);
    await outcome(view.connect());
    expect(view.state).toBe('waiting');
    view.stop();
    await pass(120_000);
    expect(server.requests).toHaveLength(2);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('ends the wait after a disconnection', async () => {
    const view = await connected();
    FakePeer.last.become('disconnected');
    expect(vi.getTimerCount()).toBe(1);
    view.stop();
    expect(vi.getTimerCount()).toBe(0);
    await pass(120_000);
    expect(server.requests).toHaveLength(1);
    expect(vi.getTimerCount()).toBe(0);
  });

  it.each(['connectionStateChange', 'reconnect'] as const)(
    'works inside a listener of %s',
    async (name) => {
      const view = await connected();
      view.on(name, () => view.stop());
      FakePeer.last.become('failed');
      await pass(120_000);
      expect(server.requests).toHaveLength(1);
      expect(view.state).toBe('idle');
    },
  );

  it('inside the listener of a failed first attempt prevents the second', async () => {
    FakeSocket.behaviour = 'opens';
    const view = new View(token);
    const connecting = view.connect();
    view.on('reconnect', () => view.stop());
    server.answer = refused(400, 'x');
    await settle();
    view.stop();
    await outcome(connecting);
    await outcome(view.connect());
    await pass(120_000);
    expect(server.requests).toHaveLength(2);
  });

  it('rejects a command that is waiting for its answer', async () => {
    const view = await connected();
    FakeSocket.behaviour = 'opens';
    const selecting = view.select({ encodingId: '1' });
    view.stop();
    expect(await outcome(selecting)).toMatchObject({ code: 'stopped' });
    await expect(view.select({})).rejects.toMatchObject({ code: 'not_connected' });
  });
});

describe('listeners', () => {
  it('are called as often as asked, and removed', async () => {
    const view = await connected();
    const heard: string[] = [];
    const twice = () => heard.push('on');
    view.on('broadcastEvent', twice).once('broadcastEvent', () => heard.push('once'));
    FakeSocket.last.event('viewercount', { viewercount: 1 });
    FakeSocket.last.event('viewercount', { viewercount: 2 });
    view.off('broadcastEvent', twice);
    FakeSocket.last.event('viewercount', { viewercount: 3 });
    expect(heard).toEqual(['on', 'once', 'on']);
  });

  it('get name and data of an event, and frames that make no sense are ignored', async () => {
    const view = await connected();
    const heard: unknown[] = [];
    view.on('broadcastEvent', (event) => heard.push(event));
    for (const text of ['', '{', '[]', 'null', '7', '{"type":"response","transId":99}']) {
      FakeSocket.last.say(text);
    }
    FakeSocket.last.event('viewercount', { viewercount: 42 });
    expect(heard).toEqual([{ name: 'viewercount', data: { viewercount: 42 } }]);
  });
});
