"""Every cap of the HTTP edge. ``docs/limits.md`` says who is evicted or refused at each of them."""

import resource
from dataclasses import dataclass
from typing import Final

HEAD_BYTES: Final = 64 * 1024
"""Of a request line and its header fields, and of trailers. Beyond it: 431."""
HEAD_FIELDS: Final = 100
HEAD_S: Final = 10.0
"""From the first byte of a request head, or from the accept, until the head is complete."""
IDLE_S: Final = 60.0
"""Between two requests of one connection."""
READ_BYTES: Final = 16 * 1024
"""What is kept of a connection before somebody reads it, twice this at most."""
WRITE_BYTES: Final = 64 * 1024
"""What may wait for a client before the writer has to wait, too."""
STALL_S: Final = 20.0
"""How long a client may take nothing of what waits for it."""
LINGER_BYTES: Final = 16 * 1024 * 1024
"""Read and thrown away after an early answer, so that a client that still writes its body gets to read it."""
LINGER_S: Final = 5.0
TLS_HANDSHAKE_S: Final = 10.0
ACCEPTS_PER_TURN: Final = 16
"""Connections taken from the kernel in one turn of the event loop."""

STRANGERS: Final = 1024
STRANGERS_PER_ADDRESS: Final = 256
"""A school behind one address: each of its browsers holds up to six connections for a moment."""
SESSIONS: Final = 16_384
SESSIONS_PER_ADDRESS: Final = 4096
SESSIONS_PER_TOKEN: Final = 16
"""Sockets of one JWT from one address: a client that reconnects needs two."""
PROXY_CONNECTIONS: Final = 4096
REQUESTS_PER_FORWARDED_ADDRESS: Final = 256
"""Requests of one client at the same time, by way of a trusted proxy."""

SOCKET_FRAMES: Final = 512
"""WebSocket frames of one socket at once."""
SOCKET_FRAMES_PER_S: Final = 100
SOCKET_BYTES: Final = 1024 * 1024
SOCKET_BYTES_PER_S: Final = 128 * 1024
SOCKET_WORK_MS: Final = 200
"""Our CPU time that the messages of one socket may cost at once."""
SOCKET_WORK_MS_PER_S: Final = 50
SOCKET_SLOWED_S: Final = 10.0
"""How long a socket is slowed before it is closed."""
REQUESTS_PER_LOOP_TURN: Final = 8
"""Requests that begin in one turn of the event loop."""
SOCKET_TURNS_PER_LOOP_TURN: Final = 1
"""Pieces or messages of WebSockets that are worked on in one turn of the event loop."""
SOCKET_READ_BYTES: Final = 2048
"""What is parsed of a socket at once: 340 frames without content, about 5 ms."""


@dataclass(frozen=True, slots=True)
class ConnectionCaps:
    """How many connections there may be, by kind."""

    strangers: int = STRANGERS
    strangers_per_address: int = STRANGERS_PER_ADDRESS
    sessions: int = SESSIONS
    sessions_per_address: int = SESSIONS_PER_ADDRESS
    sessions_per_token: int = SESSIONS_PER_TOKEN
    proxy_connections: int = PROXY_CONNECTIONS
    requests_per_forwarded_address: int = REQUESTS_PER_FORWARDED_ADDRESS


def connection_caps(descriptors: int) -> ConnectionCaps:
    """The caps for a process that may open so many descriptors: the edge takes five eighths of them at most."""
    strangers = min(STRANGERS, descriptors // 8)
    sessions = min(SESSIONS, descriptors // 4)
    return ConnectionCaps(
        strangers=strangers,
        strangers_per_address=min(STRANGERS_PER_ADDRESS, strangers // 4),
        sessions=sessions,
        sessions_per_address=min(SESSIONS_PER_ADDRESS, sessions // 2),
        proxy_connections=min(PROXY_CONNECTIONS, descriptors // 4),
    )


def raise_descriptor_limit() -> int:
    """Ask for as many descriptors as the system lets this process have; how many that are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard if hard != resource.RLIM_INFINITY else 1 << 20
