import { describe, expect, it } from 'vitest';
import { OptionError } from '../src/errors.js';
import {
  extendAnswer,
  hasTemplate,
  withExtension,
  withOpusParameter,
  withSsrcSimulcast,
  withVideoBandwidth,
} from '../src/sdp.js';
import { answerTo, FakePeer } from './fakes.js';

async function offerOf(...kinds: ('audio' | 'video')[]): Promise<string> {
  const peer = new FakePeer({});
  for (const kind of kinds) peer.addTransceiver(kind, { direction: 'recvonly' });
  return (await peer.createOffer()).sdp;
}

const sectionOf = (sdp: string, mid: string): string =>
  sdp.split(/(?=^m=)/m).find((section) => section.includes(`a=mid:${mid}\r\n`)) ?? '';

describe('extendAnswer', () => {
  it('copies the first answered section of the kind, without what belongs to its sender', async () => {
    const answer = answerTo(await offerOf('video', 'audio'));
    const extended = extendAnswer(answer, await offerOf('video', 'audio', 'video'));
    const added = sectionOf(extended, '2');
    expect(added).toContain('m=video 9 UDP/TLS/RTP/SAVPF 109\r\n');
    expect(added).toContain('a=sendonly\r\n');
    expect(added).toContain('a=rtpmap:109 H264/90000\r\n');
    expect(added).toContain('a=ice-ufrag:Okio\r\n');
    expect(added).toContain('a=setup:passive\r\n');
    expect(added).not.toMatch(/a=(msid|ssrc|ssrc-group|candidate|mid:0)/);
  });

  it('leaves the answered sections as they are and extends the bundle', async () => {
    const answer = answerTo(await offerOf('video', 'audio'));
    const extended = extendAnswer(answer, await offerOf('video', 'audio', 'audio'));
    expect(sectionOf(extended, '0')).toBe(sectionOf(answer, '0'));
    expect(sectionOf(extended, '1')).toBe(sectionOf(answer, '1'));
    expect(extended).toContain('a=group:BUNDLE 0 1 2\r\n');
    expect(extended).toContain('o=- 1700000000000 2 IN');
  });

  it('answers no extension that the new section did not offer', async () => {
    const answer = answerTo(await offerOf('video'));
    const extended = extendAnswer(answer, await offerOf('video', 'video'));
    expect(sectionOf(extended, '1')).toContain('a=extmap:9 urn:ietf:params:rtp-hdrext:sdes:mid');
    expect(sectionOf(extended, '1')).not.toContain('urn:not-offered');
  });

  it('refuses a kind of which nothing was answered', async () => {
    const answer = answerTo(await offerOf('audio'));
    expect(hasTemplate(answer, 'audio')).toBe(true);
    expect(hasTemplate(answer, 'video')).toBe(false);
    const offer = await offerOf('audio', 'video');
    expect(() => extendAnswer(answer, offer)).toThrow(OptionError);
  });
});

describe('other changes of SDP text', () => {
  it('adds an Opus parameter once, to Opus only', async () => {
    const offer = await offerOf('video', 'audio');
    const once = withOpusParameter(offer, 'stereo');
    expect(once).toContain('a=fmtp:111 minptime=10;useinbandfec=1;stereo=1\r\n');
    expect(once).toContain('a=fmtp:97 apt=96\r\n');
    expect(withOpusParameter(once, 'stereo')).toBe(once);
  });

  it('sets, replaces and lifts the limit of the first video section', async () => {
    const answer = answerTo(await offerOf('audio', 'video'));
    const limited = withVideoBandwidth(withVideoBandwidth(answer, 500), 800);
    expect(sectionOf(limited, '1')).toContain('c=IN IP4 0.0.0.0\r\nb=AS:800\r\nb=TIAS:800000\r\n');
    expect(sectionOf(limited, '0')).not.toContain('b=AS');
    expect(withVideoBandwidth(limited, 0)).toBe(answer);
  });
});

describe('withExtension', () => {
  const CAPTURE = 'urn:capture';
  const linesOf = (sdp: string) => sdp.match(/^a=extmap:.*$/gm);

  it('adds it before the others of every media section, under one free id', async () => {
    const offer = (await offerOf('audio', 'video')).replaceAll('a=extmap:9 ', 'a=extmap:1 ');
    const mid = 'a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid';
    const line = `a=extmap:2 ${CAPTURE}`;
    expect(linesOf(withExtension(offer, CAPTURE))).toEqual([line, mid, line, mid]);
  });

  it('keeps the id that one section has, and never names it twice', async () => {
    const offer = await offerOf('audio', 'video');
    const audioHasIt = offer.replace('a=extmap:9', `a=extmap:5 ${CAPTURE}\r\na=extmap:9`);
    const munged = withExtension(audioHasIt, CAPTURE);
    expect(linesOf(munged)?.filter((line) => line === `a=extmap:5 ${CAPTURE}`)).toHaveLength(2);
    expect(withExtension(munged, CAPTURE)).toBe(munged);
  });

  it('goes beyond 14 when those are taken, and never to 15', async () => {
    const taken = Array.from({ length: 14 }, (_, at) => `a=extmap:${at + 1} urn:x${at}`);
    const offer = (await offerOf('video')).replace(/a=extmap:9 .*/, taken.join('\r\n'));
    expect(withExtension(offer, CAPTURE)).toContain(`a=extmap:16 ${CAPTURE}\r\n`);
  });

  it('leaves data channels alone', async () => {
    const offer = `${await offerOf('audio')}m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:1\r\n`;
    expect(linesOf(withExtension(offer, CAPTURE))).toHaveLength(2);
  });
});

describe('withSsrcSimulcast', () => {
  const SSRCS = [
    'a=ssrc-group:FID 4294967294 7',
    'a=ssrc:4294967294 cname:x',
    'a=ssrc:4294967294 msid:s v',
    'a=ssrc:7 cname:x',
    'a=ssrc:7 msid:s v',
  ];
  /** The video stands before the audio, so that the end of the text is not the end of the video. */
  const offer = async () =>
    (await offerOf('video', 'audio')).replace(/(?=m=audio)/, `${SSRCS.join('\r\n')}\r\n`);

  it('adds two pairs to the video, described as the first is, and groups the three', async () => {
    const video = sectionOf(withSsrcSimulcast(await offer()), '0');
    expect(video.split('\r\n').filter((line) => line.startsWith('a=ssrc'))).toEqual([
      ...SSRCS,
      ...[4294967295, 1, 2, 3].flatMap((ssrc) => [
        `a=ssrc:${ssrc} cname:x`,
        `a=ssrc:${ssrc} msid:s v`,
      ]),
      'a=ssrc-group:FID 4294967295 1',
      'a=ssrc-group:FID 2 3',
      'a=ssrc-group:SIM 4294967294 4294967295 2',
    ]);
  });

  it('takes no SSRC that is in use', async () => {
    const taken = (await offer()).replaceAll('a=ssrc:7 ', 'a=ssrc:1 ');
    expect(withSsrcSimulcast(taken)).toContain('a=ssrc-group:SIM 4294967294 4294967295 3');
  });

  it('says the same of the same offer, and nothing twice', async () => {
    const munged = withSsrcSimulcast(await offer());
    expect(withSsrcSimulcast(await offer())).toBe(munged);
    expect(withSsrcSimulcast(munged)).toBe(munged);
  });

  it('leaves an offer without SSRCs as it is', async () => {
    const plain = await offerOf('audio', 'video');
    expect(withSsrcSimulcast(plain)).toBe(plain);
  });
});
