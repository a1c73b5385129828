/** What is measured of one direction of a peer connection, over the last interval. */
export interface Reading {
  kbps: number;
  width: number;
  height: number;
  fps: number;
  /** Since the beginning. */
  dropped: number;
  lost: number;
  codec: string;
  /** Of received audio, from 0, silence, to 1; `undefined`: no audio, or the browser does not tell. */
  level: number | undefined;
  /** Of every picture or encoding that flows, the largest first. */
  sizes: string[];
  /** The layers of the largest, as `L1T3`; empty for none, and for what is received. */
  mode: string;
}

interface Totals {
  at: number;
  bytes: number;
}

type Report = ReadonlyMap<string, Readonly<Record<string, unknown>>>;

const numberOf = (value: unknown): number => (typeof value === 'number' ? value : 0);

/** Turns the counters of successive `getStats()` reports into rates. */
export class Meter {
  readonly #direction: 'inbound-rtp' | 'outbound-rtp';
  #before: Totals | undefined;
  #measured = '';

  constructor(direction: 'inbound-rtp' | 'outbound-rtp') {
    this.#direction = direction;
  }

  /**
   * The reading since the report before, or `undefined` for the first one and after a reconnection. `tracks`: the ids
   * of those that are measured; without it, all.
   */
  read(report: Report, tracks?: readonly string[]): Reading | undefined {
    const streams = [...report.values()].filter(
      ({ type, trackIdentifier }) =>
        type === this.#direction && (!tracks || tracks.includes(String(trackIdentifier))),
    );
    const measured = tracks?.join() ?? '';
    if (measured !== this.#measured) this.#before = undefined;
    this.#measured = measured;
    const bytesKey = this.#direction === 'inbound-rtp' ? 'bytesReceived' : 'bytesSent';
    const sum = (key: string) => streams.reduce((total, one) => total + numberOf(one[key]), 0);
    const now = {
      at: Math.max(0, ...streams.map((one) => numberOf(one.timestamp))),
      bytes: sum(bytesKey),
    };
    const before = this.#before;
    this.#before = now;
    if (!before || now.at <= before.at || now.bytes < before.bytes) return undefined;
    // Of several pictures or encodings the largest one speaks for the whole.
    const videos = streams
      .filter(({ kind }) => kind === 'video')
      .sort((a, b) => numberOf(b.frameWidth) - numberOf(a.frameWidth));
    const flowing = videos.filter((one) => numberOf(one.framesPerSecond) > 0);
    // The size of an encoding that is paused stays in the report.
    const largest = flowing[0] ?? videos[0];
    const mode = largest?.scalabilityMode;
    const level = streams.find(({ kind }) => kind === 'audio')?.audioLevel;
    const codec = report.get(String(largest?.codecId))?.mimeType;
    return {
      kbps: ((now.bytes - before.bytes) * 8) / (now.at - before.at),
      width: numberOf(largest?.frameWidth),
      height: numberOf(largest?.frameHeight),
      fps: numberOf(largest?.framesPerSecond),
      dropped: sum('framesDropped'),
      lost: sum('packetsLost'),
      level: typeof level === 'number' ? level : undefined,
      codec: typeof codec === 'string' ? codec.replace(/^video\//, '') : '',
      sizes: flowing.map((one) => `${numberOf(one.frameWidth)}×${numberOf(one.frameHeight)}`),
      mode: typeof mode === 'string' && mode !== 'L1T1' ? mode : '',
    };
  }
}

export function rateInWords(kbps: number): string {
  return kbps >= 1000 ? `${(kbps / 1000).toFixed(1)} Mb/s` : `${Math.round(kbps)} kb/s`;
}
