import type { Kind } from './sdp.js';
import type { BroadcastEvent } from './signal.js';

/** Which encoding and layer; what is left out, the server chooses. */
export interface LayerInfo {
  encodingId?: string;
  spatialLayerId?: number;
  temporalLayerId?: number;
  maxSpatialLayerId?: number;
  maxTemporalLayerId?: number;
  /** Pixels; 0 is no limit. */
  maxWidth?: number;
  /** Pixels; 0 is no limit. */
  maxHeight?: number;
  [key: string]: unknown;
}

export interface ProjectionMapping {
  /** From the `active` event of the source. Needed unless `media` is there. */
  trackId?: string;
  media?: Kind;
  /** The `mid` to show it in; without it, the main one of its kind. */
  mediaId?: string | number | null;
  layer?: LayerInfo | null;
  /** Lifts the limits of size and rate for this projection. */
  promote?: boolean;
}

type Wish =
  | { readonly name: 'show'; readonly sourceId: string | null; readonly entry: ProjectionMapping }
  | { readonly name: 'nothing' };

/** A command that repeats a wish; `settle` says whether the server accepted it. */
export interface Due {
  readonly name: 'project' | 'unproject' | 'select';
  readonly data: object;
  settle(accepted: boolean): void;
}

/**
 * What the application asked its tracks to show, kept beyond the connection it was asked on.
 *
 * A projection is repeated when its source is live on the new connection, because the server refuses
 * one that is not. One that is refused nevertheless waits for the next `active` of its source.
 */
export class Wishes {
  /** By mid. */
  readonly #wishes = new Map<string, Wish>();
  /** The mids whose wish the present connection does not know of. */
  readonly #unsaid = new Set<string>();
  /** The tracks of the sources that are live on this connection. */
  readonly #live = new Map<string | null, Map<string, Kind>>();
  #layer: LayerInfo | undefined;
  #layerIsUnsaid = false;
  /** The added tracks exist on this connection, so their mids can be named. */
  isReady = false;

  /** The layer of the main picture, whose mid it is. */
  selected(layer: LayerInfo, mainMid: string | null): void {
    this.#layer = layer;
    this.#layerIsUnsaid = false;
    // A projection asked for earlier is repeated later, and must not bring its own layer back.
    const wish = this.#wishes.get(mainMid ?? '');
    if (mainMid === null || wish?.name !== 'show') return;
    this.#wishes.set(mainMid, { ...wish, entry: { ...wish.entry, layer } });
  }

  projected(
    sourceId: string | null,
    mapping: readonly ProjectionMapping[],
    mainMid: (kind: Kind) => string | null,
  ): void {
    for (const entry of mapping) {
      const media = entry.media ?? this.#live.get(sourceId)?.get(entry.trackId ?? '');
      const named = entry.mediaId == null || entry.mediaId === '' ? null : String(entry.mediaId);
      const mid = named ?? (media ? mainMid(media) : null);
      // Neither a mid nor a kind: the server guessed, and there is no telling what to repeat.
      if (mid === null) continue;
      this.#wishes.set(mid, {
        name: 'show',
        sourceId,
        // The kind lets the server find the track again when the source has got new track ids.
        entry: { ...entry, ...(media ? { media } : {}), mediaId: mid },
      });
      this.#unsaid.delete(mid);
    }
  }

  unprojected(mids: readonly string[]): void {
    for (const mid of mids) {
      this.#wishes.set(mid, { name: 'nothing' });
      this.#unsaid.delete(mid);
    }
  }

  /** What a track was asked to show on this connection; `nothing`: nothing; `undefined`: the server's default. */
  shown(mid: string): { sourceId: string | null } | 'nothing' | undefined {
    const wish = this.#unsaid.has(mid) ? undefined : this.#wishes.get(mid);
    return wish?.name === 'show' ? { sourceId: wish.sourceId } : wish?.name;
  }

  /** The connection is gone and another one begins. */
  outlive(): void {
    this.isReady = false;
    this.#live.clear();
    for (const mid of this.#wishes.keys()) this.#unsaid.add(mid);
    this.#layerIsUnsaid = this.#layer !== undefined;
  }

  /** An added track has another mid on this connection. */
  moved(from: string | null, to: string | null): void {
    const wish = this.#wishes.get(from ?? '');
    if (!wish || from === null || to === null) return;
    this.#wishes.delete(from);
    this.#unsaid.delete(from);
    const isShow = wish.name === 'show';
    this.#wishes.set(to, isShow ? { ...wish, entry: { ...wish.entry, mediaId: to } } : wish);
    this.#unsaid.add(to);
  }

  /** Learns from the server's events which sources are live. */
  heard({ name, data }: BroadcastEvent): void {
    const sourceId = typeof data.sourceId === 'string' ? data.sourceId : null;
    if (name === 'inactive') this.#live.delete(sourceId);
    if (name !== 'active' && name !== 'updated') return;
    const tracks = Array.isArray(data.tracks) ? (data.tracks as Record<string, unknown>[]) : [];
    const kinds = tracks.flatMap(({ trackId, media }): [string, Kind][] =>
      typeof trackId === 'string' && (media === 'audio' || media === 'video')
        ? [[trackId, media]]
        : [],
    );
    this.#live.set(sourceId, new Map(kinds));
  }

  /** The commands to send now; each is handed out once, unless it is settled as not accepted. */
  due(hearsActive: boolean): Due[] {
    if (!this.isReady) return [];
    const due: Due[] = [];
    if (this.#layerIsUnsaid) {
      this.#layerIsUnsaid = false;
      due.push({ name: 'select', data: { layer: this.#layer }, settle: () => undefined });
    }
    const gone: string[] = [];
    const shown = new Map<string | null, ProjectionMapping[]>();
    for (const mid of this.#unsaid) {
      const wish = this.#wishes.get(mid);
      if (wish?.name === 'nothing') gone.push(mid);
      if (wish?.name !== 'show' || (hearsActive && !this.#live.has(wish.sourceId))) continue;
      shown.set(wish.sourceId, [...(shown.get(wish.sourceId) ?? []), wish.entry]);
    }
    if (gone.length > 0) {
      due.push({ name: 'unproject', data: { mediaIds: gone }, settle: this.#said(gone) });
    }
    for (const [sourceId, mapping] of shown) {
      const mids = mapping.map(({ mediaId }) => String(mediaId));
      due.push({ name: 'project', data: { sourceId, mapping }, settle: this.#said(mids) });
    }
    return due;
  }

  #said(mids: string[]): (accepted: boolean) => void {
    const asked = mids.map((mid) => [mid, this.#wishes.get(mid)] as const);
    for (const mid of mids) this.#unsaid.delete(mid);
    return (accepted) => {
      if (accepted) return;
      for (const [mid, wish] of asked) {
        // Not when the application has asked for something else meanwhile.
        if (wish && this.#wishes.get(mid) === wish) this.#unsaid.add(mid);
      }
    };
  }
}
