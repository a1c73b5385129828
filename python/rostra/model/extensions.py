"""Which RTP header extensions a peer connection gets (docs/protocol/sdp.md)."""

from typing import Final

from rostra.model.description import Direction, Extmap, MediaDescription
from rostra.model.media import Codec, ExtensionKind

_KINDS: Final = {kind.value: kind for kind in ExtensionKind}
_OF_PUBLISHERS: Final = frozenset(
    {ExtensionKind.RID, ExtensionKind.REPAIRED_RID, ExtensionKind.VIDEO_LAYERS_ALLOCATION}
)
"""They describe the encodings of a publisher; a viewer gets one of them at a time and needs none of it."""
_OF_VIDEO: Final = _OF_PUBLISHERS | {ExtensionKind.PLAYOUT_DELAY, ExtensionKind.DEPENDENCY_DESCRIPTOR}
_OF_AUDIO: Final = frozenset({ExtensionKind.AUDIO_LEVEL})
_PUBLISHED: Final = frozenset(ExtensionKind)
_VIEWED: Final = _PUBLISHED - _OF_PUBLISHERS


class Extensions:
    """The one map of header extensions of a bundle; ids are the offer's (RFC 8843 §9.2, RFC 8285 §6).

    The first id that a URI is offered with counts. An m-line that offers it with another id only, or uses the id for
    something else, does without.
    """

    def __init__(self, direction: Direction, codec: Codec | None = None) -> None:
        """``direction`` is the peer's: whether it sends or receives; ``codec`` is that of its video, if it is known.

        Browsers that describe VP8 by dependency descriptors leave the layers out of its payload, where they are read.
        """
        self.ids: Final[dict[ExtensionKind, int]] = {}
        self._kinds: Final[dict[int, ExtensionKind]] = {}
        self._direction: Final = direction
        wanted = _PUBLISHED if direction is Direction.SENDONLY else _VIEWED
        self._wanted: Final = wanted - {ExtensionKind.DEPENDENCY_DESCRIPTOR} if codec is Codec.VP8 else wanted

    def accept(self, media: MediaDescription) -> tuple[Extmap, ...]:
        """The extensions of an accepted m-line, for its answer."""
        unfit = _OF_VIDEO if media.kind == "audio" else _OF_AUDIO
        offered = {extmap.uri for extmap in media.extmaps}
        accepted: dict[ExtensionKind, Extmap] = {}
        for extmap in media.extmaps:
            kind = _KINDS.get(extmap.uri)
            if kind is None or kind not in self._wanted or kind in unfit or kind in accepted:
                continue
            # Both say when a packet left; the receiver of transport-cc needs no second clock.
            if kind is ExtensionKind.ABS_SEND_TIME and ExtensionKind.TRANSPORT_CC in offered:
                continue
            if extmap.direction not in (None, Direction.SENDRECV, self._direction):
                continue
            if self.ids.get(kind, extmap.id) != extmap.id or self._kinds.get(extmap.id, kind) is not kind:
                continue
            self.ids[kind], self._kinds[extmap.id] = extmap.id, kind
            direction = extmap.direction.reversed if extmap.direction is not None else None
            accepted[kind] = Extmap(extmap.id, extmap.uri, direction)
        return tuple(accepted.values())
