/** What is known of a viewer's line at one moment. Rates are bits per second. */
export interface Sample {
  /** Milliseconds of any one clock. */
  readonly at: number;
  readonly estimate: number;
  readonly sent: number;
  readonly wanted: number;
  /** The layer of the main picture, in a word; empty when it is not known. */
  readonly shown: string;
}

/** How much of the past is drawn. */
export const WINDOW_MS = 60_000;
/** Samples come every second; after a longer gap the line is interrupted. */
const GAP_MS = 3_500;

/** The samples of the window, and the last one before it, from which the line comes. */
export function withSample(samples: readonly Sample[], next: Sample): Sample[] {
  const from = next.at - WINDOW_MS;
  const first = samples.findLastIndex(({ at }) => at <= from);
  return [...samples.slice(Math.max(0, first)), next];
}

/** The lowest of 1, 2, 5, 10, 20 … that is not below the value, in 100 kb/s: the top of the scale. */
export function topOf(samples: readonly Sample[]): number {
  const highest = Math.max(
    100_000,
    ...samples.flatMap(({ estimate, sent, wanted }) => [estimate, sent, wanted]),
  );
  const power = 10 ** Math.floor(Math.log10(highest));
  return ([1, 2, 5, 10].find((step) => step * power >= highest) ?? 10) * power;
}

/** From 0, the left edge, to 1, now. */
const placeOf = (at: number, now: number): number => Math.max(0, 1 - (now - at) / WINDOW_MS);

/** The path of one figure in a box of this size; `y` grows downwards. */
export function pathOf(
  samples: readonly Sample[],
  value: (sample: Sample) => number,
  top: number,
  size: { width: number; height: number },
): string {
  const now = samples.at(-1)?.at ?? 0;
  return samples
    .map((sample, index) => {
      const before = samples[index - 1];
      const isStart = !before || sample.at - before.at > GAP_MS;
      const x = placeOf(sample.at, now) * size.width;
      const y = (1 - Math.min(1, value(sample) / top)) * size.height;
      return `${isStart ? 'M' : 'L'}${x.toFixed(1)} ${y.toFixed(1)}`;
    })
    .join('');
}

/** A time during which the same layer was shown; from 0, the left edge, to 1, now. */
export interface Span {
  readonly from: number;
  readonly to: number;
  readonly shown: string;
}

export function spansOf(samples: readonly Sample[]): Span[] {
  const now = samples.at(-1)?.at ?? 0;
  const spans: { from: number; to: number; shown: string }[] = [];
  for (const [index, { at, shown }] of samples.entries()) {
    const until = samples[index + 1]?.at ?? now;
    const span = { from: placeOf(at, now), to: placeOf(Math.min(until, at + GAP_MS), now), shown };
    const last = spans.at(-1);
    if (last && last.shown === shown && last.to === span.from) last.to = span.to;
    else spans.push(span);
  }
  return spans.filter(({ from, to, shown }) => to > from && shown !== '');
}
