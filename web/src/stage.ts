import {
  type BroadcastEvent,
  type Kind,
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
  /** The source of the main picture that ended, while it is away; another one may be shown meanwhile. */
  #ended: string | null | undefined;
  /** Kinds that the main picture and sound do not show, because its source had none when it was chosen. */
  #silenced: readonly Kind[] = [];
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
    else if (name === 'inactive') {
      this.sources.vanished(source);
      if (source === this.sources.main) this.#ended ??= source;
    } else if (name === 'stopped') this.sources.lost();
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
      await this.#projectMain(source);
      // The person chose: nothing comes back by itself.
      this.#ended = undefined;
      if (!place) return this.#arrange();
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
    const next = this.#successor();
    if (next !== undefined) await this.#succeed(next);
    if (sources.main === undefined) return;
    const kinds = sources.mainKinds();
    if (this.#silenced.some((kind) => kinds?.has(kind))) await this.#projectMain(sources.main);
    for (const source of sources.withoutPlace()) {
      const place = sources.freePlace() ?? (await this.#newPlace());
      await this.#project(source, place.mid, AUTOMATIC);
      place.source = source;
    }
  }

  /** The source that the main picture is to show next; `undefined`: the one that it shows. */
  #successor(): string | null | undefined {
    const { sources } = this;
    if (sources.main === undefined) return sources.firstLive();
    if (this.#ended === undefined) return undefined;
    // Whoever was watched is shown again.
    if (sources.isLive(this.#ended)) return this.#ended;
    return sources.isLive(sources.main) ? undefined : sources.firstLive();
  }

  async #succeed(source: string | null): Promise<void> {
    const { sources } = this;
    const place = sources.placeOf(source);
    // The unnamed source is there without asking at first, and one that returns is too.
    const isThere = source === sources.main || (sources.main === undefined && source === null);
    if (isThere) sources.main = source;
    else await this.#projectMain(source);
    if (source === this.#ended) this.#ended = undefined;
    if (!place) return;
    place.source = undefined;
    await this.#view.unproject([place.mid]);
  }

  /** Shows a source in the main picture and sound; what it does not have, they do not show either. */
  async #projectMain(source: string | null): Promise<void> {
    const { sources } = this;
    const mapping = sources.mainMapping(source);
    this.#silenced = (['video', 'audio'] as const).filter(
      (kind) => !mapping.some(({ media }) => media === kind),
    );
    await this.#view.project(source, mapping);
    const silent = this.#silenced.map((kind) => this.#mainMid(kind));
    if (silent.length > 0) await this.#view.unproject(silent);
    this.#choices.delete(this.#mainMid());
    sources.main = source;
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

  #mainMid(kind: 'video' | 'audio' = 'video'): string {
    const transceivers = this.#view.webRTCPeer?.getTransceivers() ?? [];
    const main = transceivers.find(({ receiver }) => receiver.track.kind === kind);
    return main?.mid ?? (kind === 'video' ? '0' : '1');
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
