import {
  type BroadcastEvent,
  type LayerEntry,
  layersOf,
  type MediaLayers,
  type ProjectionMapping,
  type Speaker,
  speakersOf,
  type View,
} from 'rostra';
import { Sources } from './sources.js';

/** What the person wants of one picture. */
export interface Choice {
  /** `undefined` leaves it to the server. */
  readonly layer: LayerEntry | undefined;
  readonly promote: boolean;
}

/** A picture of the strip. */
export interface StripPicture {
  readonly source: string | null;
  readonly stream: MediaStream | undefined;
  readonly media: MediaLayers | undefined;
  readonly choice: Choice;
  readonly talks: boolean;
}

export const AUTOMATIC: Choice = { layer: undefined, promote: false };

/** The pictures of the strip are small; a source that has several encodings sends a small one. */
const STRIP_LAYER = { maxHeight: 240 };

/** Which source each picture of a view shows, and in which layer. */
export class Stage {
  readonly sources = new Sources();
  /** Who talks, loudest first. */
  speakers: readonly Speaker[] = [];
  readonly #view: View;
  readonly #changed: () => void;
  /** By mid. */
  #medias: Record<string, MediaLayers> = {};
  readonly #choices = new Map<string, Choice>();
  /** Changes of what is shown follow one another: each starts from the result of the one before. */
  #changes: Promise<void> = Promise.resolve();

  /** `changed` is called whenever something that is shown may be another. */
  constructor(view: View, changed: () => void) {
    this.#view = view;
    this.#changed = changed;
  }

  /** The layers of the main picture, as the server last told. */
  get media(): MediaLayers | undefined {
    return this.#medias[this.#mainMid()];
  }

  get choice(): Choice {
    return this.#choices.get(this.#mainMid()) ?? AUTOMATIC;
  }

  get strip(): StripPicture[] {
    return this.sources.others().map(({ source, stream }) => {
      const mid = this.sources.placeOf(source)?.mid ?? '';
      const choice = this.#choices.get(mid) ?? AUTOMATIC;
      return { source, stream, media: this.#medias[mid], choice, talks: this.talks(source) };
    });
  }

  /** The source of a picture. */
  sourceAt(mid: string): string | null | undefined {
    return mid === this.#mainMid() ? this.sources.main : this.sources.sourceAt(mid);
  }

  talks(source: string | null | undefined): boolean {
    return this.speakers.some(({ sourceId }) => sourceId === source);
  }

  heard(event: BroadcastEvent): void {
    const { name, data } = event;
    const source = typeof data.sourceId === 'string' ? data.sourceId : null;
    const layers = layersOf(event);
    if (layers) {
      this.#medias = layers.medias;
      this.#changed();
      return;
    }
    const speaking = speakersOf(event);
    if (speaking) {
      this.speakers = speaking.speakers;
      this.#changed();
      return;
    }
    if (name === 'active' || name === 'updated') this.sources.appeared(source, data.tracks);
    else if (name === 'inactive') this.sources.vanished(source);
    else if (name === 'stopped') this.sources.lost();
    else return;
    this.#changed();
    this.#change(() => this.#arrange());
  }

  /** The connection is gone. */
  lost(): void {
    this.sources.lost();
    this.#medias = {};
    this.speakers = [];
  }

  /** Exchanges the main picture with one of the strip. */
  swap(source: string | null): void {
    this.#change(async () => {
      const { sources } = this;
      const before = sources.main;
      const place = sources.placeOf(source);
      if (before === source || !sources.isLive(source)) return;
      await this.#view.project(source, sources.mainMapping(source));
      this.#choices.delete(this.#mainMid());
      sources.main = source;
      if (!place) return;
      place.source = undefined;
      if (before !== undefined && sources.hasVideo(before)) {
        await this.#project(before, place.mid, AUTOMATIC);
        place.source = before;
      } else await this.#view.unproject([place.mid]);
    });
  }

  /** Shows a source in another layer where it is shown now. */
  choose(source: string | null, choice: Choice): void {
    this.#change(async () => {
      const isMain = source === this.sources.main;
      const mid = isMain ? this.#mainMid() : this.sources.placeOf(source)?.mid;
      if (mid === undefined) return;
      const before = this.#choices.get(mid) ?? AUTOMATIC;
      // What the person chose stays chosen while the server is asked, and not longer if it refuses.
      this.#choices.set(mid, choice);
      await this.#project(source, mid, choice).catch((error) => {
        this.#choices.set(mid, before);
        throw error;
      });
    });
  }

  #change(action: () => Promise<void>): void {
    this.#changes = this.#changes.then(action).then(
      () => this.#changed(),
      // A connection that ends meanwhile is told by its own events; the next `active` arranges anew.
      () => this.#changed(),
    );
  }

  /** Gives the main picture a source, and every other live source a place in the strip. */
  async #arrange(): Promise<void> {
    const { sources } = this;
    // An event may come before the answer that it follows is applied.
    if (this.#view.state !== 'connected') await once(this.#view);
    if (sources.main === undefined) {
      const first = sources.firstLive();
      if (first === undefined) return;
      // The unnamed source is there without asking.
      if (first !== null) await this.#view.project(first, sources.mainMapping(first));
      sources.main = first;
    }
    for (const source of sources.withoutPlace()) {
      const place = sources.freePlace() ?? (await this.#newPlace());
      await this.#project(source, place.mid, AUTOMATIC);
      place.source = source;
    }
  }

  async #newPlace() {
    const stream = new MediaStream();
    const { mid } = await this.#view.addRemoteTrack('video', [stream]);
    return this.sources.addPlace(mid ?? '', stream);
  }

  async #project(source: string | null, mid: string, choice: Choice): Promise<void> {
    const automatic = mid === this.#mainMid() ? {} : STRIP_LAYER;
    const mapping: ProjectionMapping = {
      media: 'video',
      mediaId: mid,
      layer: choice.layer ?? automatic,
      promote: choice.promote,
    };
    await this.#view.project(source, [mapping]);
    this.#choices.set(mid, choice);
  }

  #mainMid(): string {
    const transceivers = this.#view.webRTCPeer?.getTransceivers() ?? [];
    return transceivers.find(({ receiver }) => receiver.track.kind === 'video')?.mid ?? '0';
  }
}

/** Resolves when the view is connected; `connect()` resolves right after its answer is applied. */
function once(view: View): Promise<void> {
  return new Promise((resolve, reject) => {
    view.once('connectionStateChange', (state) => {
      if (view.state === 'connected') resolve();
      else if (state === 'connecting') resolve(once(view));
      else reject(new Error('The connection ended'));
    });
  });
}
