import type { Kind } from 'rostra';

/**
 * The main picture and sound as one stream to play, with the tracks alone whose kind the source sends: a `<video>`
 * plays nothing before each of its tracks has begun.
 */
export class MainMedia {
  readonly #received = new Map<Kind, MediaStreamTrack>();
  stream: MediaStream | null = null;

  received(track: MediaStreamTrack): void {
    this.#received.set(track.kind as Kind, track);
  }

  /** Another stream when, and only when, other tracks are to play: a `<video>` starts anew with each. */
  update(kinds: ReadonlySet<Kind> | undefined): void {
    // Its source is away: what is shown stays.
    if (!kinds) return;
    const tracks = [...this.#received.values()].filter(({ kind }) => kinds.has(kind as Kind));
    const before = this.stream?.getTracks() ?? [];
    const isSame = before.length === tracks.length && tracks.every((one) => before.includes(one));
    if (!isSame) this.stream = tracks.length > 0 ? new MediaStream(tracks) : null;
  }

  /** The ids of what plays, as `getStats()` has them. */
  get ids(): string[] {
    return (this.stream?.getTracks() ?? []).map(({ id }) => id);
  }
}
