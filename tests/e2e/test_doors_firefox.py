"""Firefox ESR at both doors, without our SDK."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from .conftest import Server
from .doors import SCRIPT, whep_url, whip_url
from .firefox import OPENH264, Firefox, firefox


@pytest.fixture
async def fox(server: Server, tmp_path: Path) -> AsyncIterator[Firefox]:
    """A page in Firefox with ``doors.js`` as ``window.d``."""
    async with firefox(tmp_path / "profile") as client:
        print("Firefox", await client.begin())
        await client.serve(f"{server.http}/test", "text/html", "<!doctype html><body>")
        await client.serve(f"{server.http}/doors.js", "text/javascript", SCRIPT)
        await client.open(f"{server.http}/test")
        await client.evaluate("async (s) => { window.d = await import('/doors.js'); }", server.settings)
        yield client


@pytest.mark.parametrize("query", ["", "?codec=vp9", *(["?codec=h264"] if OPENH264 else [])])
async def test_firefox_publishes_by_whip_and_watches_by_whep(fox: Firefox, server: Server, query: str) -> None:
    """Without a codec it is one that Firefox has: here that is not H264."""
    stream = f"fox-door-{query[-4:]}"
    await fox.evaluate(
        """async ([whip, whep, token]) => {
          window.p = await d.whip(whip, token, { colour: 'green', width: 640, height: 360 });
          await d.until(() => d.whep(whep).then((v) => (window.v = v), () => false), 'the stream to be live');
          await d.untilColour(v, 'green');
          await d.untilMore(v, 'video');
          await d.untilMore(v, 'audio');
        }""",
        [whip_url(server, stream, query), whep_url(server, stream), server.settings["publish_token"]],
    )
    seen = await fox.evaluate(
        "async () => [p.trickled, await d.streams(v, 'inbound-rtp'), await p.close(), await v.close()]"
    )
    trickled, received, *ended = seen
    assert set(trickled) <= {204}
    assert received[0]["codec"] == f"video/{(query[7:] or ('H264' if OPENH264 else 'VP8')).upper()}"
    assert ended == [200, 200]
