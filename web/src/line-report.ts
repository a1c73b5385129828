/** What the server tells of one viewer's connection (docs/protocol/debug.md). */

/** The steps from the offer to the first picture, in their order. */
export const STEPS = ['ice', 'dtls', 'firstPacket', 'firstKeyFrame', 'firstBound'] as const;
export type Step = (typeof STEPS)[number];

export interface SlotLine {
  readonly mid: string;
  /** Why it shows nothing, or not yet what it is to show. */
  readonly waiting: string | undefined;
}

export interface LineReport {
  /** Milliseconds since the offer was taken. */
  readonly ageMs: number;
  /** When each step was done, in milliseconds since the offer was taken. */
  readonly steps: Readonly<Record<Step, number | undefined>>;
  /** Why the first step that is not done has stalled, in the server's words. */
  readonly reason: string;
  readonly estimateBps: number;
  readonly sentBps: number;
  readonly wantedBps: number;
  /** From 0 to 1. */
  readonly lost: number;
  /** Milliseconds; 0 is not known. */
  readonly rttMs: number;
  readonly slots: readonly SlotLine[];
}

const BY_STEP: Record<Step, [done: string, stalled: string]> = {
  ice: [
    'Connectivity check (ICE)',
    'No check has come. Is the server’s media port (UDP) open from this browser?',
  ],
  dtls: ['Keys agreed (DTLS)', 'The browser and the server have not agreed on keys.'],
  firstPacket: ['First packet', 'Nothing was sent yet. Does the publisher send?'],
  firstKeyFrame: ['First key frame', 'A key frame was asked for and has not come.'],
  firstBound: ['First picture', 'No picture has begun.'],
};

const BY_WAITING: Record<string, string> = {
  transport: 'the connection is not up yet',
  packets: 'the publisher has sent nothing yet',
  key_frame: 'a key frame was asked for and has not come',
  bandwidth: 'the line does not carry even its lowest layer',
};

export const stepInWords = (step: Step): string => BY_STEP[step][0];
export const waitingInWords = (code: string): string => BY_WAITING[code] ?? code;

/** Why the first step that is not done is not: the server's reason, else what is usual. */
export function reasonOf(report: LineReport): string {
  const step = stalledAt(report);
  return step ? report.reason || BY_STEP[step][1] : '';
}

/** The first step that is not done. */
export const stalledAt = ({ steps }: LineReport): Step | undefined =>
  STEPS.find((step) => steps[step] === undefined);

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null;

const numberOf = (value: unknown): number => (typeof value === 'number' ? value : 0);

/** `undefined` when it is no report. */
export function readReport(body: unknown): LineReport | undefined {
  if (!isRecord(body) || typeof body.ageMs !== 'number') return undefined;
  const doneAt = (key: string) => (typeof body[key] === 'number' ? body[key] : undefined);
  const slots = Array.isArray(body.slots) ? body.slots.filter(isRecord) : [];
  return {
    ageMs: body.ageMs,
    steps: {
      ice: doneAt('iceMs'),
      dtls: doneAt('dtlsMs'),
      firstPacket: doneAt('firstPacketMs'),
      firstKeyFrame: doneAt('firstKeyFrameMs'),
      firstBound: doneAt('firstBoundMs'),
    },
    reason: typeof body.reason === 'string' ? body.reason : '',
    estimateBps: numberOf(body.estimateBps),
    sentBps: numberOf(body.sentBps),
    wantedBps: numberOf(body.wantedBps),
    lost: numberOf(body.fractionLost),
    rttMs: numberOf(body.rttMs),
    slots: slots.map(({ mid, waiting }) => ({
      mid: String(mid),
      waiting: typeof waiting === 'string' ? waiting : undefined,
    })),
  };
}

/** Asks the server; `undefined` when it does not know the viewer, or does not answer. */
export async function loadReport(
  subscriber: string,
  secret: string,
): Promise<LineReport | undefined> {
  const response = await fetch(`/api/debug/transports/${encodeURIComponent(subscriber)}`, {
    headers: { Authorization: `Bearer ${secret}` },
  }).catch(() => undefined);
  return response?.ok ? readReport(await response.json().catch(() => null)) : undefined;
}
