import { describe, expect, it } from 'vitest';
import { readReport, stepInWords } from '../src/line-report.js';
import { pathOf, type Sample, spansOf, topOf, WINDOW_MS, withSample } from '../src/samples.js';

const sample = (at: number, more: Partial<Sample> = {}): Sample => ({
  at,
  estimate: 0,
  sent: 0,
  wanted: 0,
  shown: '720p',
  ...more,
});

describe('the samples of a line', () => {
  it('keep a minute, and the one from which the curve comes', () => {
    let samples: Sample[] = [];
    for (let at = 0; at <= 100_000; at += 1_000) samples = withSample(samples, sample(at));
    expect(samples[0]?.at).toBe(100_000 - WINDOW_MS);
    expect(samples).toHaveLength(61);
    expect(withSample([sample(0)], sample(500_000))).toHaveLength(2);
  });

  it.each([
    [0, 100_000],
    [100_000, 100_000],
    [130_000, 200_000],
    [2_400_000, 5_000_000],
    [5_000_001, 10_000_000],
  ])('of up to %i b/s are drawn up to %i', (estimate, top) => {
    expect(topOf([sample(0, { estimate })])).toBe(top);
  });

  it('become a curve that ends now, with a gap where nothing was known', () => {
    const samples = [
      sample(0, { sent: 50 }),
      sample(30_000, { sent: 100 }),
      sample(31_000, { sent: 200 }),
      sample(60_000),
    ];
    const path = pathOf(samples, ({ sent }) => sent, 100, { width: 600, height: 100 });
    expect(path).toBe('M0.0 50.0M300.0 0.0L310.0 0.0M600.0 100.0');
  });

  it('say when which layer was shown', () => {
    const times = [0, 20_000, 21_000, 22_000, 23_000, 60_000];
    const shown = ['180p', '180p', '720p', '720p', '', '720p'];
    const samples = times.map((at, n) => sample(at, { shown: shown[n] ?? '' }));
    const rounded = spansOf(samples).map((span) => [
      Math.round(span.from * 60_000),
      Math.round(span.to * 60_000),
      span.shown,
    ]);
    expect(rounded).toEqual([
      [0, 3_500, '180p'],
      [20_000, 21_000, '180p'],
      [21_000, 23_000, '720p'],
    ]);
  });

  it('of nothing are nothing', () => {
    expect([pathOf([], () => 0, 1, { width: 1, height: 1 }), spansOf([])]).toEqual(['', []]);
  });
});

describe('the report of a line', () => {
  const body = {
    transport: 7,
    role: 'viewer',
    age_ms: 9_000,
    timeline: [
      { step: 'offer', ms: 0 },
      { step: 'ice', ms: 38.4 },
      { step: 'first_key_frame', ms: null },
    ],
    stalled_at: {
      step: 'first_key_frame',
      reason: 'key_frame',
      text: 'The publisher has sent no key frame yet.',
      for_ms: 900,
    },
    estimate_bps: 2_400_000,
    sent_bps: 1_000_000,
    wanted_bps: 3_000_000,
    loss: 0.01,
    rtt_ms: 12.5,
    slots: [
      { mid: '0', track: 3, shown: null, waiting: 'bandwidth', text: 'The line is too slow.' },
      { mid: '2', track: 4, shown: null, waiting: null, text: null },
    ],
  };

  it('tells how far the connection has come, why no further, and how its line is', () => {
    expect(readReport(body)).toEqual({
      steps: [
        { step: 'offer', doneMs: 0 },
        { step: 'ice', doneMs: 38.4 },
        { step: 'first_key_frame', doneMs: undefined },
      ],
      stalled: { step: 'first_key_frame', reason: 'The publisher has sent no key frame yet.' },
      estimateBps: 2_400_000,
      sentBps: 1_000_000,
      wantedBps: 3_000_000,
      loss: 0.01,
      rttMs: 12.5,
      slots: [
        { mid: '0', waiting: 'The line is too slow.' },
        { mid: '2', waiting: undefined },
      ],
    });
  });

  it('names the steps, also one that came later', () => {
    expect(['dtls', 'first_smell'].map(stepInWords)).toEqual(['Keys agreed (DTLS)', 'first_smell']);
  });

  it.each([[null], [[]], ['no'], [{}], [{ status: 'fail' }]])('is none: %j', (given) => {
    expect(readReport(given)).toBeUndefined();
  });

  it('makes do with less', () => {
    expect(readReport({ timeline: [null], stalled_at: null, rtt_ms: null })).toEqual({
      steps: [],
      stalled: undefined,
      estimateBps: 0,
      sentBps: 0,
      wantedBps: 0,
      loss: 0,
      rttMs: undefined,
      slots: [],
    });
  });
});
