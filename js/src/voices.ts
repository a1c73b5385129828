import type { BroadcastEvent } from './signal.js';

/** A multiplexed audio track plays another source. */
export interface VoiceEvent {
  /** The `mid` of the track. */
  mediaId: string;
  /** `null` is the main source, `undefined` is nobody. */
  sourceId: string | null | undefined;
  track: MediaStreamTrack | undefined;
}

/** Somebody who speaks. */
export interface Speaker {
  /** `null` is the main source. */
  sourceId: string | null;
  /** dBov: 0 is the loudest there can be, -127 is silence. */
  level: number;
}

/** Who speaks, loudest first; empty: nobody does. */
export interface SpeakersEvent {
  speakers: Speaker[];
}

/** The data of a `vad` event, checked; `undefined` for other events. */
export function vadOf({ name, data }: BroadcastEvent): Omit<VoiceEvent, 'track'> | undefined {
  const { mediaId, sourceId, main } = data;
  if (name !== 'vad' || (typeof mediaId !== 'string' && typeof mediaId !== 'number')) {
    return undefined;
  }
  // On the wire null is nobody, unless the server says that it is the source without a name.
  const nameless = main === true ? null : undefined;
  return {
    mediaId: String(mediaId),
    sourceId: typeof sourceId === 'string' ? sourceId : nameless,
  };
}

/** The data of a `speakers` event, checked; `undefined` for other events. */
export function speakersOf({ name, data }: BroadcastEvent): SpeakersEvent | undefined {
  if (name !== 'speakers' || !Array.isArray(data.speakers)) return undefined;
  const speakers = (data.speakers as unknown[]).flatMap((one): Speaker[] => {
    const { sourceId, level } = (one ?? {}) as Record<string, unknown>;
    const isKnown = typeof sourceId === 'string' || sourceId === null;
    return isKnown && typeof level === 'number' ? [{ sourceId, level }] : [];
  });
  return { speakers };
}
