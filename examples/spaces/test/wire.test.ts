import { FetchError } from 'rostra';
import { beforeEach, describe, expect, it } from 'vitest';
import { refreshable } from '../src/tokens.js';
import type { ServerEvent, Token, Welcome } from '../src/types.js';
import { Disconnected, type Identity, Refusal, type Socket, Wire } from '../src/wire.js';

/** The other end of a socket, by hand. */
class End implements Socket {
  onopen: (() => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  readonly sent: Record<string, unknown>[] = [];
  send(text: string): void {
    this.sent.push(JSON.parse(text) as Record<string, unknown>);
  }
  close(): void {}
  answer(message: object): void {
    this.onmessage?.({ data: JSON.stringify(message) });
  }
}

const ADA: Identity = { userId: 'ada', username: 'Ada', secret: 's3' };
const WELCOME: Welcome = { user: { id: 'ada', username: 'Ada' }, secret: 's3', rooms: [] };

let ends: End[];
let timers: { call: () => void; ms: number; cancelled: boolean }[];
let told: unknown[];

function wire(identity?: Identity): Wire {
  return new Wire(
    'ws://x/socket',
    identity,
    {
      welcomed: (welcome) => told.push(welcome),
      forgotten: (lost) => told.push(['forgotten', lost]),
      event: (event: ServerEvent) => told.push(event),
      changed: (state) => told.push(state),
    },
    {
      open: () => {
        const end = new End();
        ends.push(end);
        return end;
      },
      later: (call, ms) => {
        const timer = { call, ms, cancelled: false };
        timers.push(timer);
        return () => {
          timer.cancelled = true;
        };
      },
    },
  );
}

const last = (): End => ends.at(-1) as End;
/** Promises that are settled already have their say. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

beforeEach(() => {
  ends = [];
  timers = [];
  told = [];
});

describe('the wire', () => {
  it('gives each question its own answer', async () => {
    const one = wire();
    last().onopen?.();
    const first = one.ask('create-room', { name: 'Talk' });
    const second = one.ask('join-room', { roomId: 'r' });
    expect(last().sent).toEqual([
      { id: 0, do: 'create-room', name: 'Talk' },
      { id: 1, do: 'join-room', roomId: 'r' },
    ]);
    last().answer({ answer: 1, error: 'Room does not exist', status: 403 });
    last().answer({ answer: 0, data: 'r1' });
    last().answer({ answer: 7, data: 'nobody asked' });
    expect(await first).toBe('r1');
    const refusal = await second.catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(Refusal);
    expect(refusal).toMatchObject({ message: 'Room does not exist', status: 403 });
  });

  it('passes events on', () => {
    wire();
    last().answer({ event: 'room-deleted', roomId: 'r' });
    expect(told).toEqual([{ event: 'room-deleted', roomId: 'r' }]);
  });

  it('asks nothing without a connection, and says so to those who wait when it is lost', async () => {
    const one = wire();
    await expect(one.ask('mute')).rejects.toBeInstanceOf(Disconnected);
    last().onopen?.();
    const waiting = one.ask('mute');
    last().onclose?.({ code: 1006 });
    await expect(waiting).rejects.toBeInstanceOf(Disconnected);
    await expect(one.ask('mute')).rejects.toBeInstanceOf(Disconnected);
  });

  it('comes back as the same person', async () => {
    const one = wire();
    last().onopen?.();
    const entering = one.authenticate('Ada');
    last().answer({ answer: 0, data: WELCOME });
    await entering;
    expect(one.identity).toEqual(ADA);
    last().onclose?.({ code: 1006 });
    expect(timers.map(({ ms }) => ms)).toEqual([500]);
    timers[0]?.call();
    last().onopen?.();
    expect(last().sent).toEqual([{ id: 1, do: 'resume', userId: 'ada', secret: 's3' }]);
    // Nothing is asked before the server knows who asks.
    await expect(one.ask('mute')).rejects.toBeInstanceOf(Disconnected);
    last().answer({ answer: 1, data: WELCOME });
    await turn();
    expect(told).toEqual(['open', WELCOME, 'lost', 'open', WELCOME]);
  });

  it('says when it was away for too long', async () => {
    const one = wire(ADA);
    last().onopen?.();
    last().answer({ answer: 0, error: 'Not authenticated', status: 401 });
    await turn();
    expect(told).toEqual(['open', ['forgotten', ADA]]);
    expect(one.identity).toBeUndefined();
  });

  it('tries again later and later, and at once when it is told to', () => {
    const one = wire();
    for (let attempt = 0; attempt < 6; attempt++) {
      last().onclose?.({ code: 1006 });
      timers.at(-1)?.call();
    }
    expect(timers.map(({ ms }) => ms)).toEqual([500, 1000, 2000, 4000, 8000, 8000]);
    last().onclose?.({ code: 1006 });
    one.retry();
    expect(timers.at(-1)?.cancelled).toBe(true);
    expect(ends).toHaveLength(8);
    last().onopen?.();
    last().onclose?.({ code: 1006 });
    expect(timers.at(-1)?.ms).toBe(500);
  });

  it('rests when the person goes on elsewhere, until it is called back', async () => {
    const one = wire(ADA);
    last().onopen?.();
    last().answer({ answer: 0, data: WELCOME });
    await turn();
    last().onclose?.({ code: 4000 });
    expect(one.state).toBe('elsewhere');
    expect(timers).toEqual([]);
    one.retry();
    last().onopen?.();
    expect(last().sent[0]).toMatchObject({ do: 'resume' });
  });
});

describe('tokens', () => {
  const token = (jwt: string): Token => ({ urls: ['gate/view'], jwt, iceServers: [] });
  const base = 'https://spaces.example/app/';

  it('use the one that is there once, and ask for every other', async () => {
    let asked = 0;
    const generate = refreshable(token('first'), async () => token(`asked ${++asked}`), base);
    expect(await generate()).toMatchObject({
      urls: ['wss://spaces.example/app/gate/view'],
      jwt: 'first',
    });
    expect(await generate()).toMatchObject({ jwt: 'asked 1' });
    expect(await generate()).toMatchObject({ jwt: 'asked 2' });
  });

  it('do not use one that grew old while the person looked for its microphone', async () => {
    let now = 0;
    const generate = refreshable(
      token('first'),
      async () => token('asked'),
      base,
      () => now,
    );
    now = 30_000;
    expect(await generate()).toMatchObject({ jwt: 'asked' });
  });

  it('let the client go on after what may pass, and stop where a right is missing', async () => {
    const failing = async (error: Error) => {
      const generate = refreshable(undefined, () => Promise.reject(error), base);
      const thrown = await Promise.resolve(generate()).catch((caught: unknown) => caught);
      expect(thrown).toBeInstanceOf(FetchError);
      return (thrown as FetchError).status;
    };
    expect(await failing(new Refusal('stream not being published', 400))).toBe(400);
    expect(await failing(new Refusal('participant is not a speaker', 403))).toBe(401);
    expect(await failing(new Refusal('Not authenticated', 401))).toBe(401);
    expect(await failing(new Disconnected())).toBe(503);
  });
});
