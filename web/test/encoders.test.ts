import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { MASK, shellQuoted, tokenOf, urlQuoted, type What, waysOf } from '../src/encoders.js';
import { type Feed, factsOf, stateInWords } from '../src/incoming.js';

const where = { origin: 'http://studio.example:8080', rtmpPort: 1936, rtmpIsLocal: false };
const what: What = {
  accountId: 'acc',
  stream: 'demo',
  source: '',
  publishToken: 'abc123',
  subscribeToken: '',
};
const odd: What = {
  ...what,
  stream: `it's a "demo"/$(id) & 50% ü.mp4`,
  source: `cam 'x' #1?&=;\``,
  publishToken: `t'o$k e"n&`,
};
const way = (id: string, of: What = what, at = where) => {
  const found = waysOf(at, of).find((one) => one.id === id);
  if (!found) throw new Error(`no ${id}`);
  return found;
};
/** What a shell makes of a command: its words. */
const words = (command: string): string[] =>
  execFileSync('/bin/sh', ['-c', `for word in ${command}; do printf '%s\\0' "$word"; done`])
    .toString()
    .split('\0')
    .slice(0, -1);

describe('quoting', () => {
  it.each(['plain', '', "it's", '"', '$(id) `id` \\ !', 'a\nb', '-n', 'ü ☃'])(
    'makes one shell word of %j',
    (text) => {
      expect(words(shellQuoted(text))).toEqual([text]);
    },
  );

  it('leaves nothing in a part of a URL that divides it', () => {
    expect(urlQuoted(odd.source)).not.toMatch(/[^A-Za-z0-9_.~%-]/);
    expect(decodeURIComponent(urlQuoted(odd.source))).toBe(odd.source);
  });
});

describe('the ways in', () => {
  it.each([
    ['http://0.0.0.0:8080', '127.0.0.1'],
    ['http://0.0.0.0', '127.0.0.1'],
    ['https://[::]:8080', '[::1]'],
  ])('name no address that only a listener has: %s', (origin, host) => {
    for (const one of waysOf({ ...where, origin, rtmpIsLocal: true }, what)) {
      const text = [...one.fields('T').map(({ value }) => value), one.command?.text('T')].join(' ');
      expect(text).not.toMatch(/0\.0\.0\.0|\[::\]/);
      expect(text).toContain(host);
      expect(one.advice).not.toContain('0.0.0.0');
    }
  });

  it('name the address by which the page was reached', () => {
    expect(way('whip').fields('T')).toEqual([
      { name: 'Server', value: 'http://studio.example:8080/api/whip/demo' },
      { name: 'Bearer token', value: 'T' },
    ]);
    expect(way('obs-rtmp').fields('T')).toEqual([
      { name: 'Server', value: 'rtmp://studio.example:1936/v2/pub' },
      { name: 'Stream key', value: 'demo?token=T' },
    ]);
    expect(way('whep').fields('')[0]?.value).toBe('http://studio.example:8080/api/whep/acc/demo');
  });

  it('leave the usual port of RTMP out, and keep the brackets of an address', () => {
    const at = { ...where, origin: 'http://[::1]:8080', rtmpPort: 1935 };
    expect(way('rtmp', what, at).command?.text('T')).toBe('rtmp://[::1]/v2/pub/demo?token=T');
  });

  it('say of RTMP that other machines do not reach it where they do not', () => {
    const advice = (origin: string, rtmpIsLocal: boolean) =>
      way('obs-rtmp', what, { ...where, origin, rtmpIsLocal }).advice;
    const said = '--rtmp 0.0.0.0:1936';
    expect(advice('http://studio.example:8080', true)).toContain(said);
    expect(advice('http://studio.example:8080', false)).not.toContain(said);
    for (const own of ['http://localhost:8080', 'http://127.0.0.1:8080', 'http://[::1]:8080']) {
      expect(advice(own, true)).not.toContain(said);
    }
  });

  it('do without RTMP where the server has none', () => {
    const ids = waysOf({ ...where, rtmpPort: null }, what).map(({ id }) => id);
    expect(ids.filter((id) => id.includes('rtmp'))).toEqual([]);
    expect(ids).toContain('obs-whip');
  });

  it('work the source in', () => {
    const named = { ...what, source: 'cam 2' };
    expect(way('whip', named).fields('T')[0]?.value).toMatch(/\/demo\?sourceId=cam%202$/);
    expect(way('rtmp', named).command?.text('T')).toMatch(/\/demo\?sourceId=cam%202&token=T$/);
    expect(way('browser', named).command?.text('T')).toContain('sourceId: "cam 2"');
    expect(way('browser').command?.text('T')).toContain('sourceId: null');
  });

  it.each(['ffmpeg-rtmp', 'ffmpeg-whip', 'gstreamer', 'whip', 'whep'])(
    'survive odd names and tokens in a shell: %s',
    (id) => {
      const command = way(id, odd).command?.text(odd.publishToken) ?? '';
      const last =
        words(command)
          .filter((word) => word.includes('://'))
          .at(-1) ?? '';
      const url = new URL(last.slice(last.search(/(http|rtmp):/)));
      expect(decodeURIComponent(url.pathname.split('/').at(-1) ?? '')).toBe(odd.stream);
      expect(url.searchParams.get('sourceId')).toBe(odd.source);
      const isRtmp = url.protocol === 'rtmp:';
      const secrets = words(command).filter((word) => word.endsWith(odd.publishToken));
      if (isRtmp) expect(url.searchParams.get('token')).toBe(odd.publishToken);
      else expect(secrets).toHaveLength(1);
    },
  );

  it('are valid scripts whatever the names are', () => {
    const script =
      way('browser', { ...odd, source: '</script>' }).command?.text(odd.publishToken) ?? '';
    expect(script).not.toContain('</script>');
    const literals = [...script.matchAll(/(?:token|streamName|sourceId): ("(?:[^"\\]|\\.)*")/g)];
    expect(literals.map(([, text]) => JSON.parse(text ?? ''))).toEqual([
      odd.publishToken,
      odd.stream,
      '</script>',
    ]);
  });

  it('hide the token where the mask stands for it', () => {
    for (const one of waysOf(where, what)) {
      if (one.id === 'whep') expect(one.fields('')).toHaveLength(1);
      const shown = [one.command?.text(MASK), ...one.fields(MASK).map(({ value }) => value)].join(
        '\n',
      );
      expect(shown).not.toContain(what.publishToken);
      expect(shown).toContain(MASK);
    }
  });

  it('have a placeholder for a token that the page does not know', () => {
    expect(tokenOf(way('whip'), { ...what, publishToken: '' })).toBe('YOUR_TOKEN');
    expect(tokenOf(way('whep'), what)).toBe('');
    expect(way('whep').command?.text('')).not.toContain('Authorization');
  });
});

describe('what comes in', () => {
  const feed: Feed = {
    transport: 1,
    source_id: null,
    door: 'rtmp',
    state: 'live',
    leads: true,
    audio: { codec: 'opus' },
    video: {
      codec: 'h264',
      width: 1280,
      height: 720,
      fps: 30,
      bitrate_bps: 2_512_345,
      key_frame_ms: 2000,
    },
    problems: [],
  };

  it('is told in a few words', () => {
    expect(factsOf(feed)).toEqual([
      'RTMP',
      'H264',
      '1280×720, 30 fps',
      '2512 kb/s',
      'key frame every 2.0 s',
      'Opus',
    ]);
    const nothing = {
      codec: null,
      width: 0,
      height: 0,
      fps: 0,
      bitrate_bps: 0,
      key_frame_ms: null,
    };
    expect(factsOf({ ...feed, door: 'whip', video: nothing, audio: null })).toEqual([
      'WHIP',
      'video',
      'no sound',
    ]);
  });

  it('says whether it is what viewers see', () => {
    expect(stateInWords(feed)).toEqual({ text: 'Live', look: 'good' });
    expect(stateInWords({ ...feed, leads: false }).text).toBe('In reserve');
    expect(stateInWords({ ...feed, state: 'stalled' }).look).toBe('bad');
    expect(stateInWords({ ...feed, state: 'waiting' }).look).toBe('warn');
  });
});
