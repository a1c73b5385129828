import { afterEach, describe, expect, it, vi } from 'vitest';
import { type Incoming, loadIncoming, problemsOf } from '../src/incoming.js';
import { loadReport } from '../src/line-report.js';

const answers = (status: number, body = '{}') =>
  vi.stubGlobal('fetch', () => Promise.resolve(new Response(body, { status })));

afterEach(() => vi.unstubAllGlobals());

describe('a server that does not tell', () => {
  it.each([
    [401, 'does not accept the API secret'],
    [404, 'of another account than “acc”'],
    [503, 'too busy'],
    [500, 'its log says why'],
  ])('is given its cause and the next step: %i', async (status, words) => {
    answers(status);
    expect(await loadIncoming('acc', 'demo', 's')).toEqual({
      trouble: expect.stringContaining(words),
    });
  });

  it('is one that cannot be reached, or something else in its place', async () => {
    vi.stubGlobal('fetch', () => Promise.reject(new TypeError('Failed to fetch')));
    expect(await loadReport('s1', 's')).toEqual({
      trouble: expect.stringContaining('cannot be reached: check that it runs'),
    });
    answers(200, '<html>');
    expect(await loadReport('s1', 's')).toEqual({ trouble: expect.stringContaining('proxy') });
    answers(404);
    expect(await loadReport('s1', 's')).toEqual({
      trouble: expect.stringContaining('connects again by itself'),
    });
  });
});

describe('problems of a stream', () => {
  it('are those of what viewers get, and of who was turned away', () => {
    const feed = (leads: boolean, code: string, hint = false) => ({
      transport: 1,
      source_id: null,
      door: 'rtmp' as const,
      state: 'live' as const,
      leads,
      audio: null,
      video: null,
      problems: [{ code, text: 'Cure it.', hint }],
    });
    const incoming: Incoming = {
      feeds: [feed(true, 'b_frames'), feed(false, 'stalled'), feed(true, 'no_audio', true)],
      turned_away: [
        { door: 'rtmp', source_id: 'cam', code: 'unsupported_codec', text: 'Use H264.' },
      ],
    };
    expect(problemsOf(incoming)).toEqual([
      { source: null, code: 'b_frames', text: 'Cure it.' },
      {
        source: 'cam',
        code: 'unsupported_codec',
        text: 'A publisher was turned away. Use H264.',
      },
    ]);
  });
});
