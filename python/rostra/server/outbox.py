"""What a socket still has to send. It is bounded: a reader that does not read must cost nobody else anything."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from rostra.model.effects import Layers, SignalEvent, Speaking, Vad, ViewerCount
from rostra.model.media import Mid
from rostra.protocol.signal import encode_event

MAX_MESSAGES: Final = 512
"""A view of the largest stream starts with 256 ``active`` events, so there is room for two."""
MAX_CHARACTERS: Final = 1024 * 1024
"""An answer with all m-lines takes a third."""


class Outbox:
    """Messages in order. Of ``viewercount``, ``speakers``, ``layers``, and ``vad`` of each m-line, only the latest are
    kept, for when nothing else waits.
    """

    def __init__(self, encode: Callable[[SignalEvent], str] = encode_event) -> None:
        """``encode``: how events look on this way out."""
        self._encode: Final = encode
        self.overflowed: Final = asyncio.Event()
        """Set once the reader is too slow. From then on messages are lost, so that the socket has to end."""
        self._messages: Final[deque[str]] = deque()
        self._characters = 0
        self._count: ViewerCount | None = None
        self._voices: Final[dict[Mid, Vad]] = {}
        self._speaking: Speaking | None = None
        self._layers: Layers | None = None
        self._is_finished = False
        self._wake: Final = asyncio.Event()

    def post(self, text: str) -> None:
        """Add a message."""
        if self._is_finished or self.overflowed.is_set():
            return
        if len(self._messages) >= MAX_MESSAGES or self._characters + len(text) > MAX_CHARACTERS:
            self.overflowed.set()
            return
        self._messages.append(text)
        self._characters += len(text)
        self._wake.set()

    def tell(self, event: SignalEvent) -> None:
        """Add an event."""
        if isinstance(event, ViewerCount):
            self._count = event
            self._wake.set()
        elif isinstance(event, Vad):
            self._voices[event.mid] = event
            self._wake.set()
        elif isinstance(event, Speaking):
            self._speaking = event
            self._wake.set()
        elif isinstance(event, Layers):
            self._layers = event
            self._wake.set()
        else:
            self.post(self._encode(event))

    def forget(self) -> None:
        """Drop what is kept of the latest events: the transport that they tell of has ended."""
        self._count = self._speaking = self._layers = None
        self._voices.clear()

    def finish(self) -> None:
        """Nothing comes after what is there."""
        self._is_finished = True
        self._wake.set()

    async def next(self) -> str | None:
        """The next message, when there is one; ``None`` after the last."""
        while True:
            if self._messages:
                text = self._messages.popleft()
                self._characters -= len(text)
                return text
            if self._count is not None:
                count, self._count = self._count, None
                return self._encode(count)
            if self._voices:
                return self._encode(self._voices.pop(next(iter(self._voices))))
            if self._speaking is not None:
                speaking, self._speaking = self._speaking, None
                return self._encode(speaking)
            if self._layers is not None:
                layers, self._layers = self._layers, None
                return self._encode(layers)
            if self._is_finished:
                return None
            self._wake.clear()
            await self._wake.wait()
