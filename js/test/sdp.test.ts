import { describe, expect, it } from 'vitest';
import { OptionError } from '../src/errors.js';
import { extendAnswer, hasTemplate, withOpusParameter, withVideoBandwidth } from '../src/sdp.js';
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
