import { describe, expect, it } from 'vitest';
import { readReport, reasonOf, stalledAt } from '../src/line-report.js';
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
    ageMs: 9_000,
    iceMs: 38,
    dtlsMs: 61,
    firstPacketMs: 74,
    firstKeyFrameMs: null,
    firstBoundMs: null,
    estimateBps: 2_400_000,
    sentBps: 1_000_000,
    wantedBps: 3_000_000,
    fractionLost: 0.01,
    rttMs: 12,
    slots: [
      { mid: '0', waiting: 'key_frame' },
      { mid: '2', waiting: null },
    ],
  };

  it('tells how far the connection has come', () => {
    const report = readReport(body);
    expect(report?.steps).toEqual({
      ice: 38,
      dtls: 61,
      firstPacket: 74,
      firstKeyFrame: undefined,
      firstBound: undefined,
    });
    expect(report && stalledAt(report)).toBe('firstKeyFrame');
    expect(report?.slots.map(({ waiting }) => waiting)).toEqual(['key_frame', undefined]);
  });

  it('gives the reason of the server, else the usual one', () => {
    const usual = readReport(body);
    expect(usual && reasonOf(usual)).toBe('A key frame was asked for and has not come.');
    const own = readReport({ ...body, reason: 'The publisher sends no key frames.' });
    expect(own && reasonOf(own)).toBe('The publisher sends no key frames.');
    const done = readReport({ ...body, firstKeyFrameMs: 80, firstBoundMs: 80 });
    expect(done && reasonOf(done)).toBe('');
  });

  it.each([[null], [[]], ['no'], [{}], [{ status: 'fail' }]])('is none: %j', (given) => {
    expect(readReport(given)).toBeUndefined();
  });

  it('makes do with less', () => {
    expect(readReport({ ageMs: 1 })).toMatchObject({ estimateBps: 0, rttMs: 0, slots: [] });
  });
});
