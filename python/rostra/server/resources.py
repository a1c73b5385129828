"""Sessions that clients of WHIP and WHEP hold by their URL, for as long as the transport lives (docs/protocol/whip.md).

A resource is the ``Peer`` of its transport: when that ends, the resource is gone. Who knows its id may use it; who
shows a token has to show the one that made it.
"""

import asyncio
import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from rostra.hub import Hub
from rostra.model.description import IceCredentials, SessionDescription
from rostra.model.effects import SignalEvent
from rostra.model.media import Mid, TransportId
from rostra.model.rate import Allowance
from rostra.protocol import sdpfrag
from rostra.server.outbox import Outbox

MAX_RESOURCES: Final = 65_536
"""As many as the media plane has transports."""
MAX_ENDED: Final = 4096
"""Sessions that are remembered after their end."""
MAX_STREAMS: Final = 4
"""Event streams of one resource: a page, and what is left of those that it lost."""
MAKES: Final = (100, 20.0)
"""Sessions that the holder of one token makes, at once and a second: encoders that fail and try again are slower."""
CHANGES: Final = (64, 8.0)
"""Changes of one session, likewise: a browser's candidates come by the dozen, and then never again."""
MAX_MAKERS: Final = 1024
"""Tokens whose rate is kept. Forgotten first: those with their whole rate, else the least recently used."""
_ID_BYTES: Final = 24
_ETAG_BYTES: Final = 12
_NONE: Final = TransportId(0)


class Kind(StrEnum):
    """Which door a resource belongs to."""

    WHIP = "whip"
    WHEP = "whep"


@dataclass(slots=True)
class EventStream:
    """What a viewer asked to hear, and what of it waits to be read. It waits from the first moment, read or not."""

    id: str
    events: frozenset[str]
    outbox: Outbox
    reader: asyncio.Event | None = None
    """Set when another reader comes."""

    def read(self) -> asyncio.Event:
        """Somebody reads, and who did before does so no longer; set once the same happens to the new reader."""
        if self.reader is not None:
            self.reader.set()
        self.reader = asyncio.Event()
        return self.reader

    def leave(self, reader: asyncio.Event) -> None:
        """This reader is gone."""
        if self.reader is reader:
            self.reader = None

    def tell(self, event: SignalEvent) -> None:
        """Add the event, if it was asked for."""
        if event.name in self.events:
            self.outbox.tell(event)


@dataclass(slots=True)
class Resource:
    """One session. ``owner``: digest of the token that made it, ``None`` when none was shown."""

    kind: Kind
    owner: bytes | None
    id: str = field(default_factory=lambda: secrets.token_urlsafe(_ID_BYTES))
    transport: TransportId = _NONE
    etag: str = field(default_factory=lambda: new_etag())
    theirs: IceCredentials | None = None
    ours: sdpfrag.Side | None = None
    places: dict[Mid, int] = field(default_factory=dict)
    """Where each m-line stands in the answer."""
    pictures: tuple[Mid, ...] = ()
    changes: Allowance = field(default_factory=lambda: Allowance(*CHANGES))
    streams: dict[str, EventStream] = field(default_factory=dict)
    on_end: Callable[["Resource"], None] = lambda _: None
    is_deleted: bool = False
    """Its client has said that it ended."""

    def open(self, transport: TransportId, answer: SessionDescription, theirs: IceCredentials | None) -> None:
        """It has a transport now. ``theirs``: the credentials of the offer."""
        self.transport = transport
        self.theirs = theirs
        self.ours = sdpfrag.side(answer)
        self.places = {media.mid: place for place, media in enumerate(answer.media) if media.mid is not None}
        self.pictures = tuple(media.mid for media in answer.media if media.kind == "video" and media.mid is not None)

    def may_be_used_by(self, token: str | None) -> bool:
        """Whether somebody who shows this token, or none, may change it."""
        return token is None or self.owner is None or hmac.compare_digest(digest(token), self.owner)

    def add(self, stream: EventStream) -> bool:
        """One event stream more. Where there is no room, it takes the place of one that nobody reads, if any."""
        if len(self.streams) >= MAX_STREAMS:
            unread = next((name for name, one in self.streams.items() if one.reader is None), None)
            if unread is None:
                return False
            self.streams.pop(unread).outbox.finish()
        self.streams[stream.id] = stream
        return True

    @property
    def heard(self) -> frozenset[str]:
        """Events that somebody wants."""
        return frozenset().union(*(stream.events for stream in self.streams.values()))

    def tell(self, event: SignalEvent) -> None:
        """Pass an event on. A stream that is not read in time ends."""
        for stream in list(self.streams.values()):
            stream.tell(event)
            if stream.outbox.overflowed.is_set():
                del self.streams[stream.id]

    def hang_up(self) -> None:
        """Its transport ended."""
        self.on_end(self)
        for stream in self.streams.values():
            stream.outbox.finish()
        self.streams.clear()


class Resources:
    """All those of one door, in this process."""

    def __init__(self, hub: Hub) -> None:
        self._hub: Final = hub
        self._by_id: Final[dict[str, Resource]] = {}
        self._makers: Final[OrderedDict[bytes, Allowance]] = OrderedDict()
        self._ended: Final[OrderedDict[str, Resource]] = OrderedDict()
        """Sessions that ended a while ago. Clients close their transport first, and then say so."""

    def __len__(self) -> int:
        return len(self._by_id)

    @property
    def is_full(self) -> bool:
        """Whether there is no room for another one."""
        return len(self._by_id) >= MAX_RESOURCES

    def may_publish(self, token: str, now_s: float) -> bool:
        """Whether the holder of this good token may make one more now."""
        maker = digest(token)
        bucket = self._makers.get(maker)
        if bucket is None:
            if len(self._makers) >= MAX_MAKERS:
                idle = [one for one, other in self._makers.items() if other.is_full(now_s)]
                for known in idle or [next(iter(self._makers))]:
                    del self._makers[known]
            bucket = self._makers[maker] = Allowance(*MAKES)
        self._makers.move_to_end(maker)
        return bucket.take(now_s)

    def add(self, resource: Resource) -> None:
        """Keep it until its transport ends."""
        resource.on_end = self._end
        self._by_id[resource.id] = resource

    def find(self, name: str) -> Resource | None:
        """The resource of that id."""
        return self._by_id.get(name)

    def find_ended(self, name: str) -> Resource | None:
        """A session that ended a while ago."""
        return self._ended.get(name)

    def delete(self, resource: Resource) -> None:
        """Its client says good-bye. Idempotent."""
        resource.is_deleted = True
        self._hub.leave(resource.transport)
        resource.hang_up()

    def _end(self, resource: Resource) -> None:
        if self._by_id.pop(resource.id, None) is not None:
            self._ended[resource.id] = resource
            if len(self._ended) > MAX_ENDED:
                self._ended.popitem(last=False)


def digest(token: str) -> bytes:
    """What is kept of a token: enough to know it again."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def new_etag() -> str:
    """A strong entity tag that nothing had before (RFC 9110 §8.8.3), with its quotes."""
    return f'"{secrets.token_hex(_ETAG_BYTES)}"'


def credentials(offer: SessionDescription) -> IceCredentials | None:
    """Those of the transport: of the first m-line of the bundle that is not rejected, else of the session."""
    live = {media.mid: media for media in offer.media if not media.is_rejected}
    bundle = next((group.mids for group in offer.groups if group.semantics == "BUNDLE"), tuple(live))
    tagged = next((live[mid] for mid in bundle if mid in live), None)
    return (tagged.ice if tagged is not None else None) or offer.ice
