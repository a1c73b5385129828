"""Pages that know WHIP and WHEP, and nothing of this server; and the same by hand."""

from pathlib import Path
from typing import Any

import httpx
from playwright.async_api import Browser, Page, Route

from .conftest import Server

SCRIPT = Path(__file__).with_name("doors.js").read_text()


async def door_page(browser: Browser, server: Server) -> Page:
    """A page of another origin with ``doors.js`` as ``window.d``: the server's replies are read across origins."""
    page = await (await browser.new_context(bypass_csp=True)).new_page()

    async def script(route: Route) -> None:
        await route.fulfill(body=SCRIPT, content_type="text/javascript")

    await page.route("**/doors.js", script)
    await page.goto(server.http.replace("127.0.0.1", "localhost") + "/healthz")
    await page.evaluate("document.body.replaceChildren()")
    await page.evaluate("async (s) => { window.d = await import('/doors.js'); window.settings = s; }", server.settings)
    return page


def whip_url(server: Server, stream: str, query: str = "") -> str:
    return f"{server.http}/api/whip/{stream}{query}"


def whep_url(server: Server, stream: str, query: str = "") -> str:
    return f"{server.http}/api/whep/{server.settings['account_id']}/{stream}{query}"


async def post(url: str, offer: str, token: str | None = None) -> httpx.Response:
    """POST an offer until there is a stream to watch."""
    headers = {"Content-Type": "application/sdp", **({"Authorization": f"Bearer {token}"} if token else {})}
    async with httpx.AsyncClient(trust_env=False) as client:
        reply = await client.post(url, content=offer, headers=headers)
        while reply.status_code == 409:
            reply = await client.post(url, content=offer, headers=headers)
    assert reply.status_code == 201, reply.text
    return reply


async def delete(base: str, location: str, token: str | None = None) -> int:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with httpx.AsyncClient(trust_env=False, base_url=base) as client:
        return (await client.delete(location, headers=headers)).status_code


async def watching(page: Page, server: Server, stream: str, options: dict[str, Any] | None = None) -> None:
    """Watch as ``window.v``, as soon as there is something."""
    await page.evaluate(
        """async ([url, options]) => {
          await d.until(() => d.whep(url, null, options).then((v) => (window.v = v), (error) => {
            if (!error.message.startsWith('409')) throw error;
            return false;
          }), 'the stream to be live');
        }""",
        [whep_url(server, stream), options or {}],
    )
