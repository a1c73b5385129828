import { describe, expect, it } from 'vitest';
import { FetchError } from '../src/errors.js';
import { RetrySchedule } from '../src/retry.js';

const away = new TypeError('Failed to fetch');
const notLive = new FetchError('stream not being published', 400, 'not_published');

/** A generator of numbers in [0, 1) that repeats itself (Numerical Recipes, 32 bits). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
    return state / 2 ** 32;
  };
}

/** The times of the attempts until `endMs`, all of them failing with `error`. */
function attempts(schedule: RetrySchedule, error: Error, startMs: number, endMs: number): number[] {
  const times: number[] = [];
  schedule.failed(error, startMs);
  for (let nowMs = startMs; nowMs < endMs; ) {
    times.push(nowMs);
    const delay = schedule.delay(nowMs);
    schedule.failed(error, nowMs);
    nowMs += delay;
  }
  return times;
}

const gaps = (times: number[]) => times.slice(1).map((at, index) => at - (times[index] ?? 0));

describe('the schedule of attempts', () => {
  it('has two viewers of one outage come at different moments', () => {
    const one = attempts(new RetrySchedule(seeded(1)), away, 0, 30_000);
    const other = attempts(new RetrySchedule(seeded(2)), away, 0, 30_000);
    expect(one.length).toBeGreaterThan(15);
    expect(one.slice(1).filter((at) => other.includes(at)).length).toBeLessThan(3);
  });

  it.each([1, 2, 3, 4, 5])('leaves at most 2 s between attempts for half a minute (%i)', (seed) => {
    const times = attempts(new RetrySchedule(seeded(seed)), notLive, 0, 30_000);
    for (const [index, gap] of gaps(times).entries()) {
      expect(gap).toBeGreaterThanOrEqual((times[index] ?? 0) < 5_000 ? 500 : 1_000);
      expect(gap).toBeLessThanOrEqual((times[index] ?? 0) < 5_000 ? 1_000 : 2_000);
    }
  });

  it('asks at most every 16 s in the end', () => {
    const times = attempts(new RetrySchedule(seeded(1)), notLive, 0, 600_000);
    for (const gap of gaps(times).slice(-10)) {
      expect(gap).toBeGreaterThanOrEqual(16_000);
      expect(gap).toBeLessThanOrEqual(32_000);
    }
  });

  it('starts anew when the server answers again, and when the connection was up', () => {
    const schedule = new RetrySchedule(seeded(1));
    attempts(schedule, away, 0, 300_000);
    schedule.failed(away, 300_000);
    schedule.failed(notLive, 301_000);
    expect(schedule.delay(301_000)).toBeLessThanOrEqual(1_000);
    attempts(schedule, notLive, 301_000, 600_000);
    expect(schedule.delay(600_000)).toBeGreaterThan(2_000);
    schedule.reset();
    expect(schedule.delay(600_000)).toBeLessThanOrEqual(1_000);
  });
});
