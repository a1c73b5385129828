import { type LayerEntry, type MediaLayers, NO_LAYER, type SelectedLayer } from 'rostra';
import { rateInWords } from './meter.js';

type Place = Pick<LayerEntry, 'encodingId' | 'spatialLayerId' | 'temporalLayerId'>;

/** Tells one choice from another. */
export const keyOf = ({ encodingId, spatialLayerId, temporalLayerId }: Place): string =>
  `${spatialLayerId}/${temporalLayerId}/${encodingId}`;

/** `S1 T2` where an encoding has layers, else nothing. */
const layerInWords = ({ spatialLayerId, temporalLayerId }: Place): string =>
  [
    ...(spatialLayerId === NO_LAYER ? [] : [`S${spatialLayerId}`]),
    ...(temporalLayerId === NO_LAYER ? [] : [`T${temporalLayerId}`]),
  ].join(' ');

function sizeInWords({ encodingId, height }: LayerEntry, media: MediaLayers): string {
  const lines = height || media.active.find(({ id }) => id === encodingId)?.height;
  return lines ? `${lines}p` : `Encoding ${encodingId}`;
}

/** Frames per second of an entry; those of its encoding count for an entry without temporal layers only. */
function rateOf(entry: LayerEntry, media: MediaLayers): number | undefined {
  const encoding = media.active.find(({ id }) => id === entry.encodingId);
  const whole = entry.temporalLayerId === NO_LAYER ? encoding?.fps : undefined;
  return entry.fps || entry.targetFps || whole || undefined;
}

/** What there is to choose from, the best first: an order that stays while the rates change. */
export function choicesOf(media: MediaLayers): LayerEntry[] {
  const rank = ({ simulcastIdx, spatialLayerId, temporalLayerId }: LayerEntry) =>
    [simulcastIdx ?? 0, spatialLayerId, temporalLayerId] as const;
  return media.layers.toSorted((one, other) => {
    const [a, b] = [rank(one), rank(other)];
    return b[0] - a[0] || b[1] - a[1] || b[2] - a[2];
  });
}

/** `720p · S2 T1 · 30 fps · 1.8 Mb/s`, as far as it is known. */
export function choiceInWords(entry: LayerEntry, media: MediaLayers): string {
  const fps = rateOf(entry, media);
  return [
    sizeInWords(entry, media),
    layerInWords(entry),
    fps ? `${Math.round(fps)} fps` : '',
    entry.bitrate ? rateInWords(entry.bitrate / 1000) : '',
  ]
    .filter((part) => part !== '')
    .join(' · ');
}

/** The entry that is sent. 255 means all layers of the encoding, so its highest one. */
function entryOf(selected: SelectedLayer, media: MediaLayers): LayerEntry | undefined {
  const fits = (wanted: number, has: number) => wanted === NO_LAYER || wanted === has;
  return choicesOf(media).find(
    (entry) =>
      entry.encodingId === selected.encodingId &&
      fits(selected.spatialLayerId, entry.spatialLayerId) &&
      fits(selected.temporalLayerId, entry.temporalLayerId),
  );
}

/** The picture is off, because the line does not carry even its lowest layer. */
export const isOff = (media: MediaLayers | undefined): boolean =>
  media?.limited === true && !media.selected;

/** What is sent now, in a word or two; nothing when the server does not tell. */
export function shownInWords(media: MediaLayers | undefined): string {
  if (!media || media.selected === undefined) return '';
  if (media.selected === null) return media.limited ? 'off' : 'nothing';
  const entry = entryOf(media.selected, media);
  const size = entry ? sizeInWords(entry, media) : `Encoding ${media.selected.encodingId}`;
  return [size, layerInWords(media.selected)].filter((part) => part !== '').join(' ');
}
