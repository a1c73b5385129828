import type { Kind, ProjectionMapping } from 'rostra';

/** A track of the strip, and which source was last put into it. */
export interface Place {
  readonly mid: string;
  readonly stream: MediaStream;
  source: string | null | undefined;
}

/** Which sources of a stream are live, and where each is shown. `null` is the unnamed main source. */
export class Sources {
  readonly #live = new Map<string | null, ReadonlySet<Kind>>();
  readonly #places: Place[] = [];
  /** The source of the main picture; it stays so while it is away. */
  main: string | null | undefined;

  appeared(source: string | null, tracks: unknown): void {
    const list = Array.isArray(tracks) ? (tracks as { media?: unknown }[]) : [];
    const kinds = list.flatMap(({ media }) =>
      media === 'audio' || media === 'video' ? [media as Kind] : [],
    );
    this.#live.set(source, new Set(kinds));
  }

  vanished(source: string | null): void {
    this.#live.delete(source);
  }

  /** The connection is gone: what is live will be told again, where it is shown stays. */
  lost(): void {
    this.#live.clear();
  }

  /** What the main picture's source sends; `undefined` while it is not live. */
  mainKinds(): ReadonlySet<Kind> | undefined {
    return this.main === undefined ? undefined : this.#live.get(this.main);
  }

  isLive(source: string | null): boolean {
    return this.#live.has(source);
  }

  hasVideo(source: string | null): boolean {
    return this.#live.get(source)?.has('video') ?? false;
  }

  /** The unnamed source if it is live, else whichever came first. */
  firstLive(): string | null | undefined {
    return this.#live.has(null) ? null : this.#live.keys().next().value;
  }

  /** Everything that is live besides the main picture; `stream` is missing without video. */
  others(): { source: string | null; stream: MediaStream | undefined }[] {
    return [...this.#live.keys()]
      .filter((source) => source !== this.main)
      .map((source) => ({ source, stream: this.placeOf(source)?.stream }));
  }

  /** The live sources with video that are shown nowhere. */
  withoutPlace(): (string | null)[] {
    return [...this.#live.keys()].filter(
      (source) => source !== this.main && this.hasVideo(source) && !this.placeOf(source),
    );
  }

  placeOf(source: string | null): Place | undefined {
    return this.#places.find((place) => place.source === source);
  }

  sourceAt(mid: string): string | null | undefined {
    return this.#places.find((place) => place.mid === mid)?.source;
  }

  /** A place whose source is gone. */
  freePlace(): Place | undefined {
    return this.#places.find(({ source }) => source === undefined || !this.#live.has(source));
  }

  addPlace(mid: string, stream: MediaStream): Place {
    const place: Place = { mid, stream, source: undefined };
    this.#places.push(place);
    return place;
  }

  /** What of a source goes into the main picture and sound. */
  mainMapping(source: string | null): ProjectionMapping[] {
    const kinds = this.#live.get(source) ?? new Set();
    return (['video', 'audio'] as const)
      .filter((media) => kinds.has(media))
      .map((media) => ({ media }));
  }

  /** Why there is no main picture, if there is none. */
  inWords(): string {
    if (this.main !== undefined && this.#live.has(this.main)) return '';
    if (this.#live.size > 0 && this.main !== undefined) {
      return `${this.main === null ? 'The main source' : `“${this.main}”`} has stopped. Choose another one below.`;
    }
    return 'Waiting for somebody to publish…';
  }
}
