"""Bodies that are being read: how many at a time, and whose reading ends for somebody else's.

Two kinds of places: of clients that have shown a good token, and of all others. So strangers never end the reading of
the holder of a token, and one token never that of another.
"""

import asyncio
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request

from rostra.model.places import Places
from rostra.server.http import read_body

MAX_READING: Final = 512
"""Bodies of each kind at a time: 32 MiB of offers at most, however many clients come at once."""
MAX_READING_OF_ONE: Final = 128
"""Of one address (of IPv6 one /64), or of one token. A body that comes at once holds its place for a moment."""
RETRY_S: Final = 5
"""When to try again after a refusal that passes."""


class Readers:
    """All bodies that this process reads."""

    def __init__(self) -> None:
        self._strangers: Final[Places[asyncio.Timeout]] = Places(MAX_READING, MAX_READING_OF_ONE)
        self._holders: Final[Places[asyncio.Timeout]] = Places(MAX_READING, MAX_READING_OF_ONE)

    async def read(self, request: Request, limit: int, *, address: str, owner: bytes | None) -> bytes:
        """The body, of at most ``limit`` bytes.

        Args:
            request: whose headers were checked.
            limit: in bytes.
            address: group of the client's address.
            owner: digest of the good token that the client showed, if it did.

        Raises:
            HTTPException: of ``read_body``; 503, others came meanwhile, and this body was the slowest.
        """
        places = self._strangers if owner is None else self._holders
        reading = asyncio.timeout(None)
        try:
            async with reading:
                loser = places.take(reading, address if owner is None else owner.hex())
                if loser is not None:
                    loser.reschedule(asyncio.get_running_loop().time())
                try:
                    return await read_body(request, limit)
                finally:
                    places.leave(reading)
        except TimeoutError:
            headers = {"Retry-After": str(RETRY_S), "Connection": "close"}
            raise HTTPException(503, "Server overloaded", headers=headers) from None
