import { describe, expect, it } from 'vitest';
import { counted, hue, initials } from '../src/faces.js';
import { levelsIn, ownLevelIn, Voices } from '../src/voices.js';

describe('voices', () => {
  it('talk while they are loud, and through the pauses between words', () => {
    const voices = new Voices();
    voices.sampled('ada', 0.3, 1000);
    expect([...voices.talking(1000).keys()]).toEqual(['ada']);
    voices.sampled('ada', 0, 1600);
    expect(voices.talking(1600).has('ada')).toBe(true);
    expect(voices.talking(1800).has('ada')).toBe(false);
  });

  it('do not talk for a breath or for silence', () => {
    const voices = new Voices();
    voices.sampled('ada', 0.005, 1000);
    expect(voices.talking(1000).size).toBe(0);
  });

  it('rise at once and sink softly, as loudness is felt', () => {
    const voices = new Voices();
    const level = (sample: number, now: number) => {
      voices.sampled('ada', sample, now);
      return voices.talking(now).get('ada') ?? 0;
    };
    expect(level(1, 0)).toBe(1);
    const first = level(0, 100);
    const second = level(0, 200);
    expect(first).toBeLessThan(1);
    expect(second).toBeLessThan(first);
    expect(second).toBeGreaterThan(0.5);
    // A tenth of the amplitude is 20 of the 50 dB less.
    expect(new Voices().talking(0).size).toBe(0);
    expect(level(1, 300)).toBe(1);
    const quiet = new Voices();
    quiet.sampled('ben', 0.1, 0);
    expect(quiet.talking(0).get('ben')).toBeCloseTo(0.6);
  });

  it('are several at once, each with its own level', () => {
    const voices = new Voices();
    voices.sampled('ada', 1, 0);
    voices.sampled('ben', 0.1, 0);
    expect([...voices.talking(0).keys()]).toEqual(['ada', 'ben']);
  });
});

describe('levels', () => {
  const report = new Map<string, Record<string, unknown>>([
    ['a', { type: 'inbound-rtp', kind: 'audio', mid: '1', audioLevel: 0.5 }],
    ['b', { type: 'inbound-rtp', kind: 'video', mid: '0' }],
    ['c', { type: 'inbound-rtp', kind: 'audio', mid: '2' }],
    ['d', { type: 'media-source', kind: 'audio', audioLevel: 0.25 }],
  ]);
  it('are read by mid of what is received, and of what is sent', () => {
    expect(levelsIn(report)).toEqual([['1', 0.5]]);
    expect(ownLevelIn(report)).toBe(0.25);
    expect(ownLevelIn(new Map())).toBe(0);
  });
});

describe('faces', () => {
  it('have the first letters of the first and the last name', () => {
    expect(initials('Ada King Lovelace')).toBe('AL');
    expect(initials('émile')).toBe('É');
    expect(initials('👩‍🚀 x')).toBe('👩X');
    expect(initials('')).toBe('');
  });

  it('keep their colour', () => {
    expect(hue('a')).toBe(hue('a'));
    expect(hue('a')).not.toBe(hue('b'));
    expect(hue('some longer id')).toBeLessThan(361);
  });

  it('are counted in words', () => {
    expect(counted(1, 'hand')).toBe('1 hand');
    expect(counted(2, 'hand')).toBe('2 hands');
    expect(counted(0, 'person', 'people')).toBe('0 people');
  });
});
