/** Louder than this is speech, of levels from 0 to 1: about -40 dB. */
const SPEECH = 0.01;
/** Pauses between words are shorter. */
const PAUSE_MS = 700;
/** How much of a level is left after one more sample: rings rise at once and sink softly. */
const SINKS = 0.6;

interface Voice {
  level: number;
  spokeAt: number;
}

/** Who is talking, by samples of the level of each source. */
export class Voices {
  readonly #voices = new Map<string, Voice>();

  /** One sample of what is heard of a source, from 0 to 1. */
  sampled(source: string, level: number, now: number): void {
    const before = this.#voices.get(source);
    this.#voices.set(source, {
      level: Math.max(level, (before?.level ?? 0) * SINKS),
      spokeAt: level > SPEECH ? now : (before?.spokeAt ?? Number.NEGATIVE_INFINITY),
    });
  }

  /** Everybody who talks or just paused, with a level from 0 to 1 as loudness is felt. */
  talking(now: number): Map<string, number> {
    const talking = new Map<string, number>();
    for (const [source, { level, spokeAt }] of this.#voices) {
      if (now - spokeAt < PAUSE_MS) talking.set(source, felt(level));
      else this.#voices.delete(source);
    }
    return talking;
  }
}

/** Loudness is felt by decibels: -50 dB is 0, 0 dB is 1. */
function felt(level: number): number {
  return Math.min(1, Math.max(0, 1 + (20 * Math.log10(Math.max(level, 1e-6))) / 50));
}

/** Levels of the audio tracks in a report of the browser, by mid. */
export function levelsIn(report: ReadonlyMap<string, Record<string, unknown>>): [string, number][] {
  const levels: [string, number][] = [];
  for (const { type, kind, mid, audioLevel } of report.values()) {
    if (type !== 'inbound-rtp' || kind !== 'audio') continue;
    if (typeof mid === 'string' && typeof audioLevel === 'number') levels.push([mid, audioLevel]);
  }
  return levels;
}

/** The level of what is sent, in a report of the browser. */
export function ownLevelIn(report: ReadonlyMap<string, Record<string, unknown>>): number {
  for (const { type, kind, audioLevel } of report.values()) {
    if (type === 'media-source' && kind === 'audio' && typeof audioLevel === 'number') {
      return audioLevel;
    }
  }
  return 0;
}
