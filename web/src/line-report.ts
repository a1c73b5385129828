/** What the server tells of one viewer's connection (docs/protocol/debug.md). */

import { askAsOwner } from './owner.js';

export interface Step {
  /** One of those of `NAMES`, or one that came later. */
  readonly step: string;
  /** Milliseconds after the offer; `undefined` while it is not done. */
  readonly doneMs: number | undefined;
}

export interface SlotLine {
  readonly mid: string;
  /** Why it shows nothing, or not yet what it is to show: a sentence. */
  readonly waiting: string | undefined;
}

export interface LineReport {
  /** From the offer to the first picture, in order. */
  readonly steps: readonly Step[];
  /** The first step that is not done, and why, as a sentence. */
  readonly stalled: { readonly step: string; readonly reason: string } | undefined;
  readonly estimateBps: number;
  readonly sentBps: number;
  readonly wantedBps: number;
  /** From 0 to 1. */
  readonly loss: number;
  /** Milliseconds; `undefined` while it is not known. */
  readonly rttMs: number | undefined;
  readonly slots: readonly SlotLine[];
}

const NAMES: Record<string, string> = {
  offer: 'Offer answered',
  ice: 'Way found (ICE)',
  dtls: 'Keys agreed (DTLS)',
  first_packet: 'First packet',
  first_key_frame: 'First key frame',
  first_bound_slot: 'First picture or sound',
};

export const stepInWords = (step: string): string => NAMES[step] ?? step;

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null;

const listOf = (value: unknown): Record<string, unknown>[] =>
  Array.isArray(value) ? value.filter(isRecord) : [];

const numberOf = (value: unknown): number | undefined =>
  typeof value === 'number' ? value : undefined;

/** `undefined` when it is no report. */
export function readReport(body: unknown): LineReport | undefined {
  if (!isRecord(body) || !Array.isArray(body.timeline)) return undefined;
  const { stalled_at: stalled } = body;
  return {
    steps: listOf(body.timeline).map(({ step, ms }) => ({
      step: String(step),
      doneMs: numberOf(ms),
    })),
    stalled: isRecord(stalled)
      ? { step: String(stalled.step), reason: String(stalled.text ?? stalled.reason ?? '') }
      : undefined,
    estimateBps: numberOf(body.estimate_bps) ?? 0,
    sentBps: numberOf(body.sent_bps) ?? 0,
    wantedBps: numberOf(body.wanted_bps) ?? 0,
    loss: numberOf(body.loss) ?? 0,
    rttMs: numberOf(body.rtt_ms),
    slots: listOf(body.slots).map(({ mid, waiting, text }) => ({
      mid: String(mid),
      waiting: waiting == null ? undefined : String(text ?? waiting),
    })),
  };
}

/** How a connection does, or why the server does not tell and what to do. */
export async function loadReport(
  subscriber: string,
  secret: string,
): Promise<LineReport | { readonly trouble: string }> {
  const path = `api/debug/transports/${encodeURIComponent(subscriber)}`;
  const ended =
    'The server has ended this connection, or it is of another account. The page connects again by itself.';
  const answer = await askAsOwner(path, secret, ended);
  if ('trouble' in answer) return answer;
  return (
    readReport(answer.body) ?? {
      trouble:
        'The server’s answer cannot be read: reload the page, it may be older than the server.',
    }
  );
}
