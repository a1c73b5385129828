/** What comes in to a stream, as the server tells its owner (docs/protocol/debug.md). */

import { askAsOwner } from './owner.js';

export interface Problem {
  readonly code: string;
  readonly text: string;
  readonly hint: boolean;
}

export interface Feed {
  readonly transport: number;
  readonly source_id: string | null;
  readonly door: 'websocket' | 'whip' | 'rtmp';
  readonly state: 'waiting' | 'live' | 'stalled';
  readonly leads: boolean;
  readonly audio: { readonly codec: string } | null;
  readonly video: {
    readonly codec: string | null;
    readonly width: number;
    readonly height: number;
    readonly fps: number;
    readonly bitrate_bps: number;
    readonly key_frame_ms: number | null;
  } | null;
  readonly problems: readonly Problem[];
}

export interface Incoming {
  readonly feeds: readonly Feed[];
  readonly turned_away: readonly {
    readonly door: Feed['door'];
    readonly source_id: string | null;
    readonly code: string;
    readonly text: string;
  }[];
}

const DOORS: Readonly<Record<Feed['door'], string>> = {
  websocket: 'WebSocket',
  whip: 'WHIP',
  rtmp: 'RTMP',
};

export const doorInWords = (door: Feed['door']): string => DOORS[door] ?? door;

/** What comes in, or why the server does not tell and what to do. */
export async function loadIncoming(
  accountId: string,
  stream: string,
  secret: string,
): Promise<Incoming | { readonly trouble: string }> {
  const path = `api/debug/streams/${encodeURIComponent(accountId)}/${encodeURIComponent(stream)}`;
  const other = `The API secret is of another account than “${accountId}”: enter the one that belongs to it.`;
  const answer = await askAsOwner(path, secret, other);
  return 'trouble' in answer ? answer : (answer.body as Incoming);
}

/** What keeps viewers from seeing and hearing a stream as they should, each with its source; hints are left out. */
export function problemsOf({ feeds, turned_away: away }: Incoming): {
  readonly source: string | null;
  readonly code: string;
  readonly text: string;
}[] {
  return [
    // What a feed in reserve sends, nobody sees.
    ...feeds
      .filter(({ leads }) => leads)
      .flatMap(({ source_id: source, problems }) =>
        problems.filter(({ hint }) => !hint).map(({ code, text }) => ({ source, code, text })),
      ),
    ...away.map(({ source_id: source, code, text }) => ({
      source,
      code,
      text: `A publisher was turned away. ${text}`,
    })),
  ];
}

/** Facts of a feed, each a few words. What is not known is left out. */
export function factsOf({ door, audio, video }: Feed): string[] {
  const facts = [doorInWords(door)];
  if (video) {
    facts.push(video.codec ? video.codec.toUpperCase() : 'video');
    if (video.width > 0) {
      facts.push(`${video.width}×${video.height}${video.fps > 0 ? `, ${video.fps} fps` : ''}`);
    }
    if (video.bitrate_bps > 0) facts.push(`${Math.round(video.bitrate_bps / 1000)} kb/s`);
    if (video.key_frame_ms !== null) {
      facts.push(`key frame every ${(video.key_frame_ms / 1000).toFixed(1)} s`);
    }
  }
  facts.push(audio ? audio.codec.charAt(0).toUpperCase() + audio.codec.slice(1) : 'no sound');
  return facts;
}

/** The state in a word, and its light. */
export function stateInWords(feed: Feed): { text: string; look: 'good' | 'warn' | 'bad' } {
  if (feed.state === 'stalled') return { text: 'Stalled', look: 'bad' };
  if (feed.state === 'waiting') return { text: 'Connecting…', look: 'warn' };
  if (!feed.leads) return { text: 'In reserve', look: 'good' };
  return { text: 'Live', look: 'good' };
}
