import { FetchError } from './errors.js';

/** Attempts follow each other by these steps. Each one is drawn between half of `longestMs` and `longestMs`. */
const STEPS = [
  // A restart of the server takes one or two seconds.
  { untilMs: 5_000, longestMs: 1_000 },
  // A publisher is usually back soon after its server.
  { untilMs: 30_000, longestMs: 2_000 },
] as const;
/** After the steps the delay doubles up to this, so that a server can bear thousands that wait. */
const LONGEST_DELAY_MS = 32_000;
const FIRST_DOUBLED_MS = 4_000;

/**
 * When to try again: how long one outage has lasted says how long to wait for the next attempt.
 *
 * All times are milliseconds. `random` gives numbers in [0, 1), as `Math.random` does: without it all viewers of a
 * server that restarts would ask it in the same moment, again and again.
 */
export class RetrySchedule {
  readonly #random: () => number;
  #startedMs: number | undefined;
  #doubledMs = FIRST_DOUBLED_MS;
  #serverAnswers: boolean | undefined;

  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  /** The connection is up: the next outage starts from the beginning. */
  reset(): void {
    this.#startedMs = undefined;
    this.#doubledMs = FIRST_DOUBLED_MS;
    this.#serverAnswers = undefined;
  }

  /**
   * An attempt failed, or the connection was lost. A server that answers again starts the steps anew: its publishers
   * come back soon. Returns whether it did; the delay of before is too long then.
   */
  failed(error: Error, nowMs: number): boolean {
    const answers = error instanceof FetchError && error.status < 500;
    const isBack = this.#serverAnswers === false && answers;
    if (isBack) this.reset();
    this.#startedMs ??= nowMs;
    this.#serverAnswers = answers;
    return isBack;
  }

  /** How long to wait if an attempt that starts now fails. */
  delay(nowMs: number): number {
    const elapsedMs = nowMs - (this.#startedMs ?? nowMs);
    const step = STEPS.find(({ untilMs }) => elapsedMs < untilMs);
    const longestMs = step?.longestMs ?? this.#doubledMs;
    if (!step) this.#doubledMs = Math.min(this.#doubledMs * 2, LONGEST_DELAY_MS);
    return Math.round(longestMs * (0.5 + 0.5 * this.#random()));
  }
}
