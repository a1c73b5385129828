"""What viewers are told of layers: who hears what, and who hears the same."""

from collections.abc import Mapping, Set

from rostra.model.effects import Layers, LayersOf, Send
from rostra.model.layers import flowing
from rostra.model.media import Mid, ShownLayer, TrackId, TrackLayers, TransportId
from rostra.model.stream import Stream

Shown = Mapping[TransportId, Mapping[Mid, ShownLayer | None]]
"""What the slots of viewers forward, as the media plane tells; without an entry: nothing was told yet."""

_Media = tuple[Mid, TrackId, ShownLayer | None, bool]


def is_change(before: TrackLayers | None, after: TrackLayers) -> bool:
    """Whether there is something else to choose from than before, which viewers hear at once."""
    return before is None or flowing(before) != flowing(after)


def layers(
    stream: Stream, reports: Mapping[TrackId, TrackLayers], shown: Shown, *, of: Set[TrackId] | None = None
) -> tuple[Send, ...]:
    """Tell every viewer that asked for ``layers`` what its pictures have.

    A viewer that shows no picture is told nothing. Viewers that are told the same get one event together.

    Args:
        stream: whose viewers.
        reports: the latest of every video track.
        shown: what slots forward.
        of: tell those alone that show one of these tracks.
    """
    tracks = {track.track: track for feed in stream.feeds for track in feed.tracks if track.track in reports}
    sending = {track for track in tracks if any(encoding.active for encoding in reports[track].encodings)}
    groups: dict[tuple[_Media, ...], list[TransportId]] = {}
    for viewer in stream.viewers.values():
        if Layers.name not in viewer.events or not viewer.announced:
            continue
        its = shown.get(viewer.transport, {})
        medias: list[_Media] = []
        for mid, slot in viewer.slots.items():
            if (track := slot.bound) is not None and track in tracks:
                layer = its.get(mid)
                medias.append((mid, track, layer, layer is None and mid in its and track in sending))
        if medias and (of is None or any(track in of for _, track, _, _ in medias)):
            groups.setdefault(tuple(medias), []).append(viewer.transport)

    def told(media: _Media) -> LayersOf:
        mid, track, layer, is_off = media
        return LayersOf(mid, reports[track], tracks[track].encodings, layer, is_off)

    return tuple(Send(tuple(to), Layers(stream.key, tuple(map(told, medias)))) for medias, to in groups.items())
