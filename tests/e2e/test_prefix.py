"""The page behind a proxy that serves the server below a path, and removes it."""

import asyncio
from urllib.parse import urlsplit

from playwright.async_api import Browser

from .conftest import Server

PREFIX = "/live"


async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def test_the_page_works_below_a_path(browser: Browser, server: Server) -> None:
    address = urlsplit(server.http)

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request of each connection; what is below no prefix is not ours."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            writer.close()
            return
        method, target, rest = head.split(b" ", 2)
        if not target.startswith(PREFIX.encode() + b"/"):
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            writer.close()
            return
        ours, theirs = await asyncio.open_connection(address.hostname, address.port)
        if b"upgrade: websocket" not in rest.lower():
            rest = rest.replace(b"keep-alive", b"close")
        theirs.write(b" ".join((method, target[len(PREFIX) :], rest)))
        await asyncio.gather(forward(reader, theirs), forward(ours, writer), return_exceptions=True)

    listener = await asyncio.start_server(proxy, "127.0.0.1", 0)
    origin = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    context = await browser.new_context()
    page = await context.new_page()
    refused: list[str] = []
    page.on("response", lambda one: refused.append(one.url) if one.status == 404 else None)
    await page.goto(f"{origin}{PREFIX}/")
    await page.locator("rostra-app").get_by_text("Publish").first.wait_for()
    settings = await page.evaluate("() => fetch('api/doors').then((reply) => reply.status)")
    assert settings == 200
    reply = await page.evaluate(
        "(token) => rostra.Director.getPublisher({ token, streamName: 'prefix' })", server.settings["publish_token"]
    )
    assert reply["jwt"]
    assert refused == []
    await context.close()
    listener.close()
