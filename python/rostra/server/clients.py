"""What the log says of clients: where they come from, what they call themselves, and why they were refused."""

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from rostra.model.ids import StreamKey, StreamName
from rostra.model.media import TransportId
from rostra.model.refused import InvalidToken, NameNotCovered, Unauthorized
from rostra.server.addresses import client_address
from rostra.server.throttle import Throttle

MAX_AGENT: Final = 200
"""Characters of a user agent that are logged."""
REFUSALS: Final = (5, 0.1)
"""Refusals of one address that are logged: at once, and each second after that."""
ALL_REFUSALS: Final = (50, 2.0)
"""Of all addresses together."""

log = structlog.get_logger("rostra.clients")


@dataclass(frozen=True, slots=True)
class Client:
    """Who sent a request. ``address``: normalised, that of a trusted proxy's client. ``agent``: printable ASCII."""

    address: str
    agent: str


def client_of(connection: HTTPConnection, trusted: Collection[str]) -> Client:
    """Who sent a request. ``trusted``: addresses of proxies."""
    agent = connection.headers.get("user-agent", "")[:MAX_AGENT]
    shown = "".join(char if " " <= char <= "~" else "?" for char in agent)
    return Client(client_address(connection.scope, trusted), shown)


def log_opened(client: Client, entrance: str, stream: StreamKey, role: str, transport: TransportId) -> None:
    """A publisher or viewer has a transport. ``role``: which of both."""
    log.info(
        "client opened",
        role=role,
        entrance=entrance,
        stream=str(stream),
        transport=transport,
        address=client.address,
        agent=client.agent,
    )


class RefusedTokens:
    """The log of refused tokens. What exceeds its rate is counted, and the next line says how many there were."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock: Final = clock
        self._each: Final = Throttle(*REFUSALS)
        self._all: Final = Throttle(*ALL_REFUSALS)
        self._unlogged = 0

    def log(self, client: Client, entrance: str, reason: str, stream: StreamName | None = None) -> None:
        """One more. ``reason`` and ``stream`` contain no secret."""
        now_s = self._clock()
        if not self._each.take(client.address, now_s) or not self._all.take("", now_s):
            self._unlogged += 1
            return
        named = {"stream": stream} if stream is not None else {}
        more = {"not_logged_before": self._unlogged} if self._unlogged else {}
        self._unlogged = 0
        who = {"address": client.address, "agent": client.agent}
        log.info("token refused", entrance=entrance, reason=reason, **named, **who, **more)

    @contextmanager
    def logged(self, client: Client, entrance: str, stream: StreamName) -> Iterator[None]:
        """Log the block's refusal, if it is about the token."""
        try:
            yield
        except (InvalidToken, NameNotCovered, Unauthorized) as error:
            self.log(client, entrance, error.message, stream)
            raise

    @contextmanager
    def forbidden_logged(self, client: Client, entrance: str) -> Iterator[None]:
        """Log that the block refused a good token, as one of another session is."""
        try:
            yield
        except HTTPException as error:
            if error.status_code == 403:
                self.log(client, entrance, error.detail)
            raise
