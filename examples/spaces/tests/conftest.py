"""A running server for each test, and a media server behind it."""

import contextlib
from collections.abc import AsyncIterator

import pytest
from spaces_site import Rostra, Site, serving

from spaces.director import Director
from spaces.server import Server


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """A fresh server."""
    rostra = Rostra()
    clock = [1_000_000.0]
    async with contextlib.AsyncExitStack() as servers:
        rostra_serves = await servers.enter_async_context(contextlib.AsyncExitStack())
        rostra.http = await rostra_serves.enter_async_context(serving(rostra.app()))
        director = Director(rostra.http, publish_token="publishing", subscribe_token="subscribing")
        http = await servers.enter_async_context(serving(Server(director, now_s=lambda: clock[0]).app()))
        async with contextlib.AsyncExitStack() as stack:
            yield Site(http.replace("http", "ws", 1), rostra, stack, clock, rostra_serves)
