import type { BroadcastEvent } from './signal.js';

/** In `spatialLayerId` and `temporalLayerId`: the encoding has no such layers. */
export const NO_LAYER = 255;

/** Rates are bits per second over the last second, sizes are pixels. */
export interface LayerFigures {
  /** Media alone. */
  bitrate?: number;
  /** With retransmissions and overhead. */
  totalBitrate?: number;
  width?: number;
  height?: number;
  fps?: number;
  targetBitrate?: number;
  targetWidth?: number;
  targetHeight?: number;
  targetFps?: number;
}

export interface ActiveEncoding extends LayerFigures {
  /** The `encodingId` of a choice. */
  id: string;
  /** 0 is the smallest. */
  simulcastIdx?: number;
  codec?: string;
  layers: (LayerFigures & { spatialLayerId: number; temporalLayerId: number })[];
}

/** One thing that can be chosen. The whole entry may be sent as `layer`. */
export interface LayerEntry extends LayerFigures {
  encodingId: string;
  simulcastIdx?: number;
  /** 255 where there are none. */
  spatialLayerId: number;
  temporalLayerId: number;
  [key: string]: unknown;
}

/** What a track of the viewer is being sent. */
export interface SelectedLayer {
  encodingId: string;
  spatialLayerId: number;
  temporalLayerId: number;
}

/** What can be chosen for one track of the viewer. */
export interface MediaLayers {
  /** With the highest rate first, like `layers`. */
  active: ActiveEncoding[];
  inactive: { id: string }[];
  layers: LayerEntry[];
  /** What is sent now, `null` for nothing; only servers like Rostra tell. */
  selected?: SelectedLayer | null;
  /** The line is too slow for what was asked for. */
  limited?: boolean;
}

/** The data of a `layers` event. */
export interface LayersData {
  streamId?: string;
  /** By the mid of the viewer's track. */
  medias: Record<string, MediaLayers>;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null;

const listOf = (value: unknown): Record<string, unknown>[] =>
  Array.isArray(value) ? value.filter(isRecord) : [];

const layerId = (value: unknown): number => (typeof value === 'number' ? value : NO_LAYER);

/** The data of a `layers` event, each part of it checked; `undefined` for other events. */
export function layersOf({ name, data }: BroadcastEvent): LayersData | undefined {
  if (name !== 'layers' || !isRecord(data.medias)) return undefined;
  const medias = Object.entries(data.medias).flatMap(([mid, media]) =>
    isRecord(media) ? [[mid, mediaLayers(media)] as const] : [],
  );
  return {
    ...(typeof data.streamId === 'string' ? { streamId: data.streamId } : {}),
    medias: Object.fromEntries(medias),
  };
}

function mediaLayers(media: Record<string, unknown>): MediaLayers {
  const { selected, limited } = media;
  return {
    active: listOf(media.active).flatMap((entry) =>
      typeof entry.id === 'string'
        ? [{ ...entry, id: entry.id, layers: listOf(entry.layers).map(withLayerIds) }]
        : [],
    ),
    inactive: listOf(media.inactive).flatMap(({ id }) => (typeof id === 'string' ? [{ id }] : [])),
    layers: listOf(media.layers).flatMap((entry) =>
      typeof entry.encodingId === 'string'
        ? [{ ...withLayerIds(entry), encodingId: entry.encodingId }]
        : [],
    ),
    ...(selected === null ? { selected } : {}),
    ...(isRecord(selected) && typeof selected.encodingId === 'string'
      ? { selected: { ...withLayerIds(selected), encodingId: selected.encodingId } }
      : {}),
    ...(limited === true ? { limited } : {}),
  };
}

function withLayerIds<T extends Record<string, unknown>>(entry: T) {
  return {
    ...entry,
    spatialLayerId: layerId(entry.spatialLayerId),
    temporalLayerId: layerId(entry.temporalLayerId),
  };
}
