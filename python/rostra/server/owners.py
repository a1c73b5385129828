"""The account whose API secret a request shows (docs/protocol/debug.md)."""

import asyncio
import hashlib
from collections import OrderedDict
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request

from rostra.model.token import Account
from rostra.protocol.director import bearer
from rostra.server.context import Context
from rostra.server.throttle import Throttle

FAILURES: Final = (20, 1.0)
"""Lookups of secrets that were never right here: at once, and each second after that, of one address."""
MAX_KNOWN: Final = 1024
"""Digests of secrets that were right. Of these the one that was not seen for longest is forgotten first."""


class Owners:
    """Looks API secrets up. Strangers at an address do not shut out an owner whose secret was right before."""

    def __init__(self, context: Context) -> None:
        self._context: Final = context
        self._failures: Final = Throttle(*FAILURES)
        self._known: Final[OrderedDict[bytes, None]] = OrderedDict()

    async def owner(self, request: Request) -> Account:
        """The account of the bearer token.

        Raises:
            HTTPException: 401, there is none, or it is no API secret; 429, too many wrong ones from this address.
        """
        secret = bearer(request.headers.get("authorization"))
        if secret is None:
            raise HTTPException(401, "Unauthorized")
        client = self._context.client(request)
        digest = hashlib.sha256(secret.encode()).digest()
        if digest not in self._known and not self._failures.take(client.address, asyncio.get_running_loop().time()):
            self._context.refused_tokens.log(client, "api", "too many wrong API secrets")
            message = "Too many wrong API secrets from this address; try again in a second"
            raise HTTPException(429, message, headers={"Retry-After": "1"})
        account = await self._context.store.account_of_secret(secret)
        self._known.pop(digest, None)
        if account is None:
            self._context.refused_tokens.log(client, "api", "wrong API secret")
            raise HTTPException(401, "Unauthorized")
        self._known[digest] = None
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        return account
