import { describe, expect, it } from 'vitest';
import { tabIn, watchedIn, withWatched } from '../src/location.js';
import { Meter, rateInWords } from '../src/meter.js';
import { Sources } from '../src/sources.js';
import { hueOf } from '../src/test-picture.js';
import { counted, inWords, waitingInWords } from '../src/words.js';

describe('the address of the page', () => {
  it('names the streams to watch, each once', () => {
    expect(watchedIn('?watch=a&watch=b%2Fc&watch=a&watch=')).toEqual(['a', 'b/c']);
    expect(withWatched('?watch=a&theme=x', ['b', 'c d'])).toBe('?theme=x&watch=b&watch=c+d');
    expect(withWatched('?watch=a', [])).toBe('');
  });

  it('opens on watching when it names streams, unless it says otherwise', () => {
    expect(tabIn('', '')).toBe('publish');
    expect(tabIn('?watch=a', '')).toBe('watch');
    expect(tabIn('?watch=a', '#publish')).toBe('publish');
    expect(tabIn('', '#watch')).toBe('watch');
  });
});

describe('test pictures', () => {
  it.each([
    [['demo', 'source-2', 'source-3']],
    [['source-2', 'source-3', 'source-4', 'source-5']],
    [['cam1', 'cam2', 'cam3', 'cam4']],
  ])('of names that count up (%s) can be told apart', (names) => {
    const hues = names.map(hueOf);
    for (const [n, hue] of hues.entries()) {
      for (const other of hues.slice(n + 1)) {
        const apart = Math.abs(hue - other);
        expect(Math.min(apart, 360 - apart)).toBeGreaterThan(15);
      }
    }
  });
});

describe('errors in words', () => {
  it.each([
    [
      { name: 'FetchError', status: 400, message: 'stream not being published' },
      'Nobody is publishing this stream yet.',
    ],
    [
      { name: 'FetchError', status: 401, message: 'Unauthorized' },
      'The server does not accept the token.',
    ],
    [
      { name: 'FetchError', status: 400, code: 'account_not_found', message: 'no such account' },
      'The server does not know this account: check its name.',
    ],
    [
      new Error('This token publishes the main source only'),
      'The token publishes the main source only: leave the name of the source empty.',
    ],
    [new TypeError('Failed to fetch'), 'The server cannot be reached.'],
    [new Error('Connection lost'), 'The connection was lost.'],
    [
      { name: 'NotAllowedError', message: 'Permission denied' },
      'The browser was not allowed to do that. Permit it and try again.',
    ],
    [new Error('no common codec'), 'It did not work: no common codec'],
    [undefined, 'It did not work.'],
  ])('say %j as a person would', (error, words) => {
    expect(inWords(error)).toBe(words);
  });
});

describe('a refused token', () => {
  const refused = { name: 'FetchError', status: 401, message: 'Unauthorized' };

  it('is another matter than one that was never entered', () => {
    expect(inWords(refused, { kind: 'publish', token: '' })).toBe(
      'No publish token is entered: enter one above.',
    );
    expect(inWords(refused, { kind: 'subscribe', token: 'x' })).toContain(
      'does not accept the subscribe token',
    );
  });

  it('and a stream that is offline say what to do', () => {
    expect(waitingInWords({ status: 400, message: 'stream not being published' })).toMatch(
      /^Nobody is publishing this stream yet\. Start a publisher/,
    );
    expect(waitingInWords(new TypeError('Failed to fetch'))).toBe(
      'The server cannot be reached. The page tries again by itself.',
    );
  });
});

describe('counts in words', () => {
  it('say one as one', () => {
    expect([0, 1, 2].map((count) => counted(count, 'frame'))).toEqual([
      '0 frames',
      '1 frame',
      '2 frames',
    ]);
  });
});

describe('the meter', () => {
  const report = (timestamp: number, bytes: number, more = {}) =>
    new Map<string, Record<string, unknown>>([
      [
        'a',
        { type: 'inbound-rtp', kind: 'audio', timestamp, bytesReceived: 1_000, packetsLost: 1 },
      ],
      ['c', { type: 'codec', mimeType: 'video/VP8' }],
      [
        'v',
        {
          type: 'inbound-rtp',
          kind: 'video',
          codecId: 'c',
          timestamp,
          bytesReceived: bytes,
          frameWidth: 640,
          frameHeight: 360,
          framesPerSecond: 30,
          framesDropped: 2,
          ...more,
        },
      ],
    ]);

  it('turns counters into rates from the second report on', () => {
    const meter = new Meter('inbound-rtp');
    expect(meter.read(report(1_000, 10_000))).toBeUndefined();
    expect(meter.read(report(2_000, 135_000))).toEqual({
      kbps: 1_000,
      width: 640,
      height: 360,
      fps: 30,
      dropped: 2,
      lost: 1,
      codec: 'VP8',
      level: undefined,
      sizes: ['640×360'],
      mode: '',
    });
  });

  it('tells the sizes that flow, and not those of paused encodings', () => {
    const meter = new Meter('outbound-rtp');
    const encoding = (frameWidth: number, framesPerSecond: number | undefined) => ({
      type: 'outbound-rtp',
      kind: 'video',
      scalabilityMode: 'L1T3',
      frameWidth,
      frameHeight: (frameWidth * 9) / 16,
      framesPerSecond,
    });
    const encodings = (timestamp: number) =>
      new Map(
        [encoding(320, 15), encoding(1280, undefined), encoding(640, 15)].map((one, at) => [
          String(at),
          { ...one, timestamp },
        ]),
      );
    meter.read(encodings(1_000));
    expect(meter.read(encodings(2_000))).toMatchObject({
      width: 640,
      sizes: ['640×360', '320×180'],
      mode: 'L1T3',
    });
  });

  it('begins anew when the counters do', () => {
    const meter = new Meter('inbound-rtp');
    meter.read(report(1_000, 10_000));
    expect(meter.read(report(2_000, 500))).toBeUndefined();
    expect(meter.read(report(3_000, 1_500))?.kbps).toBe(8);
  });

  it('measures the tracks of one picture, whatever else is received', () => {
    const meter = new Meter('inbound-rtp');
    const both = (timestamp: number, main: number, other: number) => {
      const one = (trackIdentifier: string, bytesReceived: number, frameWidth: number) => ({
        type: 'inbound-rtp',
        kind: 'video',
        trackIdentifier,
        timestamp,
        bytesReceived,
        frameWidth,
        frameHeight: (frameWidth * 9) / 16,
        framesPerSecond: 30,
      });
      const sound = { ...one('sound', 0, 0), kind: 'audio', audioLevel: 0.5 };
      return new Map(
        [one('main', main, 320), one('other', other, 1280), sound].map((each) => [
          each.trackIdentifier,
          each,
        ]),
      );
    };
    meter.read(both(1_000, 0, 0), ['main', 'sound']);
    expect(meter.read(both(2_000, 12_500, 500_000), ['main', 'sound'])).toMatchObject({
      kbps: 100,
      width: 320,
      sizes: ['320×180'],
      level: 0.5,
    });
    // Other tracks have other counters.
    expect(meter.read(both(3_000, 25_000, 600_000), ['main', 'other'])).toBeUndefined();
  });

  it('says rates in the unit that fits', () => {
    expect([rateInWords(64.4), rateInWords(1_250)]).toEqual(['64 kb/s', '1.3 Mb/s']);
  });
});

describe('the sources of a watched stream', () => {
  const both = [{ media: 'video' }, { media: 'audio' }];
  const stream = {} as MediaStream;

  it('begin with the unnamed one', () => {
    const sources = new Sources();
    sources.appeared('cam2', both);
    expect(sources.firstLive()).toBe('cam2');
    sources.appeared(null, both);
    expect(sources.firstLive()).toBeNull();
  });

  it('other than the main picture want a place, if they have video', () => {
    const sources = new Sources();
    sources.main = null;
    sources.appeared(null, both);
    sources.appeared('cam2', both);
    sources.appeared('radio', [{ media: 'audio' }]);
    expect(sources.withoutPlace()).toEqual(['cam2']);
    sources.addPlace('2', stream).source = 'cam2';
    expect(sources.withoutPlace()).toEqual([]);
    expect(sources.others()).toEqual([
      { source: 'cam2', stream },
      { source: 'radio', stream: undefined },
    ]);
    expect(sources.mainMapping('radio')).toEqual([{ media: 'audio' }]);
  });

  it('leave a place that another one may take, and find theirs again otherwise', () => {
    const sources = new Sources();
    sources.main = null;
    sources.appeared('cam2', both);
    const place = sources.addPlace('2', stream);
    place.source = 'cam2';
    expect(sources.freePlace()).toBeUndefined();
    sources.vanished('cam2');
    expect(sources.freePlace()).toBe(place);
    sources.appeared('cam2', both);
    expect(sources.withoutPlace()).toEqual([]);
  });

  it('say why there is no picture', () => {
    const sources = new Sources();
    expect(sources.inWords()).toBe('Waiting for somebody to publish…');
    sources.main = null;
    sources.appeared(null, both);
    expect(sources.inWords()).toBe('');
    sources.appeared('cam2', both);
    sources.vanished(null);
    expect(sources.inWords()).toBe('The main source has stopped. Choose another one below.');
  });
});
