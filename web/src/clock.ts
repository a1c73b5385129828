/**
 * A clock that a machine can read from a picture: one row of 32 black or white cells, most significant
 * first. The first 5 are a check, `(ms % 31) ^ 31`; the other 27 are the milliseconds since midnight UTC.
 * The check is never all black with a black rest, so an empty row does not read as midnight.
 */
export const CELLS = 32;
const CHECK_BITS = 5;
const CLOCK_BITS = CELLS - CHECK_BITS;
export const DAY_MS = 86_400_000;
/** The row is the lowest ninth of the picture: tall enough for the coarsest encoder at 180 lines. */
export const ROW_SHARE = 1 / 9;
/** Less difference between the darkest and the brightest cell than this is not a clock. */
const CONTRAST = 64;

export function encodeClock(epochMs: number): boolean[] {
  const ms = Math.floor(epochMs) % DAY_MS;
  const check = (ms % 31) ^ 31;
  return Array.from({ length: CELLS }, (_, cell) =>
    cell < CHECK_BITS
      ? ((check >> (CHECK_BITS - 1 - cell)) & 1) === 1
      : ((ms >> (CELLS - 1 - cell)) & 1) === 1,
  );
}

/** Milliseconds since midnight UTC, from the brightness (0 to 255) of each cell. */
export function decodeClock(brightness: readonly number[]): number | undefined {
  if (brightness.length !== CELLS) return undefined;
  const darkest = Math.min(...brightness);
  const brightest = Math.max(...brightness);
  if (brightest - darkest < CONTRAST) return undefined;
  const middle = (darkest + brightest) / 2;
  const number = (from: number, bits: number) =>
    brightness
      .slice(from, from + bits)
      .reduce((sum, value) => sum * 2 + (value > middle ? 1 : 0), 0);
  const ms = number(CHECK_BITS, CLOCK_BITS);
  return ms < DAY_MS && number(0, CHECK_BITS) === ((ms % 31) ^ 31) ? ms : undefined;
}

/** How long ago the clock was drawn, also across midnight; a little below zero when the clocks differ. */
export function delayOf(clockMs: number, epochMs: number): number {
  const difference = (epochMs - clockMs) % DAY_MS;
  return difference > DAY_MS / 2 ? difference - DAY_MS : difference;
}

/** How many of the last readings the delay is the median of. */
const READINGS = 5;
/** A picture that has not changed for as long has no delay: its clock stands still. */
const STILL_MS = 2_000;

/** The delay of a playing picture, from readings of its clock. */
export class DelayMeter {
  #delays: number[] = [];
  #frames = 0;
  #movedAt = 0;

  /** `frames`: how many were shown so far; `clockMs`: what the picture's clock says, if it has one. */
  read(frames: number, clockMs: number | undefined, epochMs: number): number | undefined {
    const moves = frames !== this.#frames;
    this.#frames = frames;
    if (moves) this.#movedAt = epochMs;
    if (clockMs === undefined || epochMs - this.#movedAt >= STILL_MS) this.#delays = [];
    else if (moves) this.#delays = [...this.#delays.slice(1 - READINGS), delayOf(clockMs, epochMs)];
    return this.#delays.toSorted((a, b) => a - b)[Math.floor(this.#delays.length / 2)];
  }

  /** Another picture is shown. */
  forget(): void {
    this.#delays = [];
  }
}

/** Reads the clock row of a playing picture, if there is one. */
export class ClockReader {
  static readonly #CELL_PX = 8;
  readonly #context: CanvasRenderingContext2D | null;

  constructor() {
    const canvas = document.createElement('canvas');
    canvas.width = CELLS * ClockReader.#CELL_PX;
    canvas.height = 4;
    this.#context = canvas.getContext('2d', { willReadFrequently: true });
  }

  read(video: HTMLVideoElement): number | undefined {
    const context = this.#context;
    const { videoWidth, videoHeight } = video;
    if (!context || videoWidth === 0) return undefined;
    const { width, height } = context.canvas;
    // The middle of the row: its edges are blurred into what is above it.
    const row = videoHeight * ROW_SHARE;
    const top = videoHeight - row * 0.7;
    context.drawImage(video, 0, top, videoWidth, row * 0.4, 0, 0, width, height);
    const { data } = context.getImageData(0, height / 2, width, 1);
    const brightness = Array.from({ length: CELLS }, (_, cell) => {
      const pixel = (cell * ClockReader.#CELL_PX + ClockReader.#CELL_PX / 2) * 4;
      return ((data[pixel] ?? 0) + (data[pixel + 1] ?? 0) + (data[pixel + 2] ?? 0)) / 3;
    });
    return decodeClock(brightness);
  }
}
