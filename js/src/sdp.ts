import { OptionError } from './errors.js';

/**
 * The little that the client does to SDP text itself. Sections are kept as lists of lines; nothing is
 * parsed that need not be, so whatever a browser adds survives.
 */
interface Description {
  session: string[];
  sections: string[][];
}

export type Kind = 'audio' | 'video';

/** Answer lines that belong to one sender or to the first section and are not copied to a new one. */
const NOT_CLONED =
  /^a=(msid|ssrc|candidate|end-of-candidates|rid|simulcast|mid|sendonly|recvonly|sendrecv|inactive)\b/;

function split(sdp: string): Description {
  const lines = sdp.split(/\r?\n/).filter((line) => line !== '');
  const starts = lines.flatMap((line, at) => (line.startsWith('m=') ? [at] : []));
  const first = starts[0] ?? lines.length;
  return {
    session: lines.slice(0, first),
    sections: starts.map((start, at) => lines.slice(start, starts[at + 1] ?? lines.length)),
  };
}

function join({ session, sections }: Description): string {
  return `${[session, ...sections].flat().join('\r\n')}\r\n`;
}

const attribute = (section: string[], name: string): string | undefined =>
  section.find((line) => line.startsWith(`a=${name}:`))?.slice(name.length + 3);

const kindOf = (section: string[]): string => section[0]?.slice(2).split(' ')[0] ?? '';

const payloadsOf = (section: string[]): string[] => section[0]?.split(' ').slice(3) ?? [];

const isAnswered = (section: string[]): boolean =>
  section[0]?.split(' ')[1] !== '0' && !section.includes('a=inactive');

const extensionOf = (line: string): string | undefined =>
  /^a=extmap:\d+(?:\/\w+)? (\S+)/.exec(line)?.[1];

const payloadOf = (line: string): string | undefined =>
  /^a=(?:rtpmap|fmtp|rtcp-fb):(\d+) /.exec(line)?.[1];

/** Whether an answer holds a section from which one more of this kind can be made. */
export function hasTemplate(answer: string, kind: Kind): boolean {
  return split(answer).sections.some((section) => kindOf(section) === kind && isAnswered(section));
}

/**
 * The answer to an offer that has more sections than the server ever answered: each new one is a copy
 * of the first answered section of its kind, sending. The server learns of its mid by `project` and
 * uses the template's payload types and extension ids for it.
 *
 * @throws {OptionError} when nothing of a new section's kind was answered.
 */
export function extendAnswer(answer: string, offer: string): string {
  const given = split(answer);
  const byMid = new Map(given.sections.map((section) => [attribute(section, 'mid'), section]));
  const sections = split(offer).sections.map((offered) => {
    const mid = attribute(offered, 'mid');
    const known = byMid.get(mid);
    if (known) return known;
    const kind = kindOf(offered);
    const template = given.sections.find((one) => kindOf(one) === kind && isAnswered(one));
    if (!template || mid === undefined) throw new OptionError(`This view has no ${kind} to extend`);
    return cloneSection(template, offered, mid);
  });
  const mids = sections.map((section) => attribute(section, 'mid')).join(' ');
  const session = given.session.map((line) =>
    line.startsWith('a=group:BUNDLE') ? `a=group:BUNDLE ${mids}` : nextVersion(line),
  );
  return join({ session, sections });
}

function cloneSection(template: string[], offered: string[], mid: string): string[] {
  const offeredPayloads = new Set(payloadsOf(offered));
  const offeredExtensions = new Set(offered.map(extensionOf));
  const payloads = payloadsOf(template).filter((payload) => offeredPayloads.has(payload));
  const lines = template.filter((line, at) => {
    if (at === 0 || NOT_CLONED.test(line)) return false;
    const extension = extensionOf(line);
    if (extension !== undefined) return offeredExtensions.has(extension);
    const payload = payloadOf(line);
    return payload === undefined || offeredPayloads.has(payload);
  });
  const media = [...(template[0]?.split(' ').slice(0, 3) ?? []), ...payloads].join(' ');
  return [media, ...lines, `a=mid:${mid}`, 'a=sendonly'];
}

/** A changed description has a higher version in its origin line (RFC 8829 §5.2.2). */
function nextVersion(line: string): string {
  return line.replace(/^(o=\S+ \S+ )(\d+)/, (_, head: string, version: string) => {
    return head + String(BigInt(version) + 1n);
  });
}

/** Adds a parameter to every Opus format line (RFC 7587 §6.1), unless it is there already. */
export function withOpusParameter(sdp: string, name: 'stereo' | 'usedtx'): string {
  const description = split(sdp);
  const sections = description.sections.map((section) => {
    const opus = new Set(
      section.flatMap((line) => /^a=rtpmap:(\d+) opus\//i.exec(line)?.[1] ?? []),
    );
    return section.map((line) => {
      const [, payload, parameters] = /^a=fmtp:(\d+) (.*)$/.exec(line) ?? [];
      if (!payload || !opus.has(payload) || parameters?.match(`(^|[; ])${name}=`)) return line;
      return `${line};${name}=1`;
    });
  });
  return join({ ...description, sections });
}

/** Limits the first video section of an answer; 0 lifts the limit. `kbps` is kilobits per second. */
export function withVideoBandwidth(sdp: string, kbps: number): string {
  const description = split(sdp);
  const at = description.sections.findIndex((section) => kindOf(section) === 'video');
  const sections = description.sections.map((section, index) => {
    if (index !== at) return section;
    const plain = section.filter((line) => !/^b=(AS|TIAS):/.test(line));
    if (kbps <= 0) return plain;
    // RFC 8866 §5: `b=` follows `c=`, or the media line where there is no `c=`.
    const place = plain.findIndex((line) => line.startsWith('c=')) + 1 || 1;
    return plain.toSpliced(place, 0, `b=AS:${kbps}`, `b=TIAS:${kbps * 1000}`);
  });
  return join({ ...description, sections });
}

/**
 * Offers a header extension in every audio and video section that lacks it, before the others. Its id is
 * the same everywhere, as BUNDLE demands (RFC 9143 §9.1): 1 to 14 while one is free, then 16 to 255.
 */
export function withExtension(sdp: string, uri: string): string {
  const description = split(sdp);
  const lines = description.sections.flat().filter((line) => extensionOf(line) !== undefined);
  const idOf = (line: string) => Number(/^a=extmap:(\d+)/.exec(line)?.[1]);
  const taken = new Set(lines.map(idOf));
  const known = lines.find((line) => extensionOf(line) === uri);
  const free = Array.from({ length: 255 }, (_, at) => at + 1).find(
    (id) => id !== 15 && !taken.has(id),
  );
  const id = known === undefined ? free : idOf(known);
  if (id === undefined) return sdp;
  const sections = description.sections.map((section) => {
    const isMedia = kindOf(section) === 'audio' || kindOf(section) === 'video';
    if (!isMedia || section.some((line) => extensionOf(line) === uri)) return section;
    const first = section.findIndex((line) => extensionOf(line) !== undefined);
    return section.toSpliced(first < 0 ? section.length : first, 0, `a=extmap:${id} ${uri}`);
  });
  return join({ ...description, sections });
}

/**
 * Makes the first video section offer three encodings by SSRC: a `SIM` group, the smallest first. It is what
 * Chromium understood before RIDs, and still does. A section that has a group already, or no SSRC, stays.
 */
export function withSsrcSimulcast(sdp: string): string {
  const description = split(sdp);
  const at = description.sections.findIndex((section) => kindOf(section) === 'video');
  const section = description.sections[at];
  const pair = section?.find((line) => line.startsWith('a=ssrc-group:FID '));
  const primary = pair?.split(' ')[1];
  const hasGroup = section?.some((line) => line.startsWith('a=ssrc-group:SIM '));
  if (!section || !primary || hasGroup) return sdp;
  const taken = new Set(sdp.match(/(?<=^a=ssrc:)\d+/gm));
  const ssrcs: string[] = [];
  // Near the primary, so that every further offer of this connection names the same ones.
  for (let ssrc = Number(primary); ssrcs.length < 4; ) {
    ssrc = (ssrc % 0xffffffff) + 1;
    if (!taken.has(String(ssrc))) ssrcs.push(String(ssrc));
  }
  const [middle, middleRepair, top, topRepair] = ssrcs;
  const ofPrimary = `a=ssrc:${primary} `;
  const attributes = section.filter((line) => line.startsWith(ofPrimary));
  const linesOf = (ssrc: string) =>
    attributes.map((line) => `a=ssrc:${ssrc} ${line.slice(ofPrimary.length)}`);
  const added = [
    ...ssrcs.flatMap(linesOf),
    `a=ssrc-group:FID ${middle} ${middleRepair}`,
    `a=ssrc-group:FID ${top} ${topRepair}`,
    `a=ssrc-group:SIM ${primary} ${middle} ${top}`,
  ];
  const sections = description.sections.with(at, [...section, ...added]);
  return join({ ...description, sections });
}
