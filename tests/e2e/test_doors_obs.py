"""OBS at the WHIP door, as far as it is libdatachannel; Chromium sees what it sends."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Browser

from .conftest import Server
from .doors import door_page, watching, whip_url

HERE = Path(__file__).parent
TIMEOUT_S = 30


@asynccontextmanager
async def program(*command: str) -> AsyncIterator[Process]:
    """Runs until its input ends."""
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def line(process: Process) -> str:
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), TIMEOUT_S)).decode().strip()


async def said(process: Process, key: str) -> dict[str, Any]:
    """The next line that says something of this."""
    while True:
        told: dict[str, Any] = json.loads(await line(process))
        if key in told:
            return told


async def finished(process: Process) -> int:
    assert process.stdin is not None
    process.stdin.close()
    return await asyncio.wait_for(process.wait(), TIMEOUT_S)


async def test_obs_publishes_and_says_goodbye(browser: Browser, server: Server) -> None:
    url, token = whip_url(server, "obs"), server.settings["publish_token"]
    async with program("node", str(HERE / "obs.mjs"), url, token) as obs:
        made = await said(obs, "status")
        assert made["status"] == 201
        ports = [str(made["ports"]["video"]), str(made["ports"]["audio"])]
        async with program(sys.executable, str(HERE / "encoder.py"), *ports) as encoder:
            assert await line(encoder) == "sending"
            page = await door_page(browser, server)
            await watching(page, server, "obs")
            await page.evaluate("() => d.untilColour(v, 'green')")
            await page.evaluate("() => d.untilMore(v, 'video', 20)")
            await page.evaluate("() => d.untilMore(v, 'audio')")
            await page.evaluate("() => d.listen(v, ['inactive'])")
            assert obs.stdin is not None
            obs.stdin.close()
            assert await said(obs, "deleted") == {"deleted": 200}
            await page.evaluate("() => d.until(() => v.events.length === 1, 'the end')")
            assert await finished(encoder) == 0
