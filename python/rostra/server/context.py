"""What every adapter may use."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.requests import HTTPConnection

from rostra.config import Config
from rostra.facts import Refusals
from rostra.hub import Hub
from rostra.server.clients import Client, RefusedTokens, client_of
from rostra.server.reading import Readers
from rostra.store import Store


@dataclass(frozen=True, slots=True)
class Context:
    """Shared by all requests. ``clock`` gives seconds since 1970; ``key`` signs signalling tokens of this process."""

    config: Config
    hub: Hub
    store: Store
    clock: Callable[[], float]
    rtmp_port: int | None = None
    """Where RTMP encoders come in; a config may leave the choice to the machine."""
    turned_away: Refusals = field(default_factory=Refusals)
    readers: Readers = field(default_factory=Readers)
    refused_tokens: RefusedTokens = field(default_factory=RefusedTokens)
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    def client(self, connection: HTTPConnection) -> Client:
        """Who sent a request."""
        return client_of(connection, self.config.http.trusted_proxies)
