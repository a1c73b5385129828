"""The README's page, word for word, on an origin of its own."""

import asyncio
import re
from pathlib import Path

from playwright.async_api import Browser

from .conftest import Server

README = (Path(__file__).parents[2] / "README.md").read_text()


def page_of(server: Server) -> str:
    """The README's page with this server's address and tokens."""
    (text,) = re.findall(r"```html\n(.*?)```", README, re.DOTALL)
    page = str(text).replace("http://127.0.0.1:8080", server.http)
    for name, key in (
        ("ACCOUNT", "account_id"),
        ("PUBLISH_TOKEN", "publish_token"),
        ("SUBSCRIBE_TOKEN", "subscribe_token"),
    ):
        page, count = re.subn(rf'\b{name} = "…"', f'{name} = "{server.settings[key]}"', page)
        assert count == 1
    return page


async def test_the_page_of_the_readme_shows_two_sources(browser: Browser, server: Server) -> None:
    context = await browser.new_context(permissions=["camera", "microphone"])
    page = await context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = page_of(server).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
        writer.write(f"{head}Connection: close\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()

    elsewhere = await asyncio.start_server(serve, "127.0.0.1", 0)
    await page.goto(f"http://localhost:{elsewhere.sockets[0].getsockname()[1]}/")
    for name in ("main", "extra"):
        await page.wait_for_function(
            "(name) => document.getElementById(name).videoWidth > 0 && document.getElementById(name).currentTime > 0",
            arg=name,
            polling=100,
        )
    assert complaints == []
    await context.close()
    elsewhere.close()
