import { describe, expect, it } from 'vitest';
import { CELLS, DAY_MS, DelayMeter, decodeClock, delayOf, encodeClock } from '../src/clock.js';

const bright = (cells: boolean[]): number[] => cells.map((isWhite) => (isWhite ? 235 : 16));

describe('the clock of the test picture', () => {
  it.each([0, 1, 30, 31, 12_345_678, DAY_MS - 1])('reads %i ms back', (ms) => {
    expect(encodeClock(ms)).toHaveLength(CELLS);
    expect(decodeClock(bright(encodeClock(ms)))).toBe(ms);
    expect(decodeClock(bright(encodeClock(20_000 * DAY_MS + ms)))).toBe(ms);
  });

  it('reads through a washed-out picture', () => {
    const cells = encodeClock(45_296_789).map((isWhite, at) => (isWhite ? 180 : 60) + (at % 5) * 6);
    expect(decodeClock(cells)).toBe(45_296_789);
  });

  it('does not take a picture without a clock for one', () => {
    expect(decodeClock(new Array(CELLS).fill(0))).toBeUndefined();
    expect(decodeClock(new Array(CELLS).fill(255))).toBeUndefined();
    expect(decodeClock(Array.from({ length: CELLS }, (_, at) => at * 2))).toBeUndefined();
    expect(decodeClock([0, 255])).toBeUndefined();
  });

  it('notices every single wrong cell', () => {
    const right = encodeClock(45_296_789);
    for (let at = 0; at < CELLS; at++) {
      const wrong = right.map((isWhite, cell) => (cell === at ? !isWhite : isWhite));
      expect(decodeClock(bright(wrong))).toBeUndefined();
    }
  });

  it('gives the delay, also across midnight and between clocks that differ', () => {
    expect(delayOf(1_000, 20_000 * DAY_MS + 1_085)).toBe(85);
    expect(delayOf(DAY_MS - 40, 20_000 * DAY_MS + 60)).toBe(100);
    expect(delayOf(1_000, 20_000 * DAY_MS + 990)).toBe(-10);
    expect(delayOf(20, 20_000 * DAY_MS - 30)).toBe(-50);
  });
});

describe('the delay of a picture', () => {
  it('is the median of the last readings, and does not count on when the picture stands still', () => {
    const meter = new DelayMeter();
    for (let frame = 1; frame <= 5; frame++) meter.read(frame, frame * 500 - 80, frame * 500);
    expect(meter.read(6, 2_000, 3_000)).toBe(80);
    // Its clock is older each time, and no frame is new.
    expect(meter.read(6, 2_000, 4_000)).toBe(80);
    expect(meter.read(6, 2_000, 5_000)).toBeUndefined();
    expect(meter.read(6, 2_000, 13_000)).toBeUndefined();
    expect(meter.read(7, 13_400, 13_500)).toBe(100);
  });
});
