"""What the page says to people with an encoder: it works as it is copied, and what is wrong is said in plain words."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Locator, Page, expect

from .conftest import Server
from .test_page import Site
from .test_page import site as site

SLOW_MS = 30_000
"""For an encoder of 720p to come up on a machine that does other things."""


@contextlib.asynccontextmanager
async def running(command: str) -> AsyncIterator[None]:
    """A command as a person pastes it into a shell."""
    process = await asyncio.create_subprocess_shell(
        command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def chosen(page: Page, stream: str, source: str, way: str) -> Locator:
    """The section, for a source and a kind of encoder."""
    form = page.locator("publish-view form")
    await form.locator("input[name=stream]").fill(stream)
    await form.locator("input[name=source]").fill(source)
    card = page.get_by_role("region", name="Connect an encoder")
    await card.get_by_role("tab", name=way).click()
    return card


async def copied(page: Page, card: Locator, what: str) -> str:
    await page.evaluate("navigator.clipboard.writeText('')")
    await card.get_by_role("button", name=f"Copy: {what}").click()
    await expect(card.get_by_role("status")).to_have_text(f"Copied: {what}")
    text: str = await page.evaluate("navigator.clipboard.readText()")
    return text


async def opened(site: Site, server: Server, *, width: int = 1280, height: int = 900) -> Page:
    page = await site.open(width=width, height=height)
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=server.http)
    return page


def incoming(page: Page, source: str) -> Locator:
    return page.get_by_role("region", name="What comes in").get_by_role("listitem", name=source, exact=True)


async def test_the_copied_ffmpeg_command_publishes_the_source_that_was_chosen(site: Site, server: Server) -> None:
    page = await opened(site, server)
    card = await chosen(page, "pasted", "it's cam 1 & 2", "ffmpeg, RTMP")
    command = await copied(page, card, "Command, with a test picture")
    assert server.settings["publish_token"] in command
    assert f"rtmp://127.0.0.1:{server.settings['rtmp'].rpartition(':')[2]}/v2/pub/pasted?" in command
    async with running(command):
        feed = incoming(page, "it's cam 1 & 2")
        await expect(feed).to_contain_text("Live", timeout=SLOW_MS)
        for fact in ("RTMP", "H264", "1280×720", "key frame every 2.0 s", "Opus"):
            await expect(feed).to_contain_text(fact, timeout=SLOW_MS)
        await expect(feed.locator(".problem")).to_have_count(0)
    await expect(feed).to_have_count(0, timeout=SLOW_MS)


async def test_a_feed_with_b_frames_is_told_how_to_be_without(site: Site, server: Server) -> None:
    page = await opened(site, server)
    card = await chosen(page, "with-b", "", "ffmpeg, RTMP")
    command = await copied(page, card, "Command, with a test picture")
    plain = command.replace("-tune zerolatency", "").replace("1280x720", "320x180")
    async with running(plain.replace("-bf 0", "-bf 3 -x264-params b-adapt=0")):
        problem = incoming(page, "Main source").locator("[data-code=b_frames]")
        await expect(problem).to_contain_text("bframes=0", timeout=SLOW_MS)


async def test_a_picture_without_sound_and_a_codec_that_cannot_be_are_said(site: Site, server: Server) -> None:
    page = await opened(site, server)
    card = await chosen(page, "odd-feeds", "", "ffmpeg, RTMP")
    url = (await copied(page, card, "Command, with a test picture")).split()[-1]
    source = "ffmpeg -re -f lavfi -i testsrc2=size=320x180:rate=15"
    async with running(f"{source} -c:v libx264 -tune zerolatency -pix_fmt yuv420p -g 30 -f flv {url}"):
        hint = incoming(page, "Main source").locator("[data-code=no_audio]")
        await expect(hint).to_be_visible(timeout=SLOW_MS)
    async with running(f"{source} -c:v flv1 -f flv {url}"):
        away = page.get_by_role("region", name="What comes in").locator("[data-code=unsupported_codec]")
        await expect(away).to_be_visible(timeout=SLOW_MS)


async def test_tokens_are_hidden_until_they_are_asked_for(site: Site, server: Server) -> None:
    page = await opened(site, server)
    card = await chosen(page, "demo", "", "OBS, WHIP")
    token = server.settings["publish_token"]
    tabs = await card.get_by_role("tab").all()
    assert len(tabs) == 9
    for tab in tabs:
        await tab.click()
        assert token not in await card.inner_text()
    await card.get_by_role("tab", name="OBS, WHIP").click()
    assert await copied(page, card, "Bearer token") == token
    await card.get_by_role("button", name="Show tokens").click()
    await expect(card).to_contain_text(token)
    await card.get_by_role("button", name="Hide tokens").click()
    await expect(card).not_to_contain_text(token)


@pytest.mark.parametrize("has_api", [True, False])
async def test_without_a_clipboard_a_selection_is_copied(site: Site, server: Server, has_api: bool) -> None:
    page = await opened(site, server)
    card = await chosen(page, "demo", "", "OBS, WHIP")
    await page.evaluate(
        """(has) => Object.defineProperty(navigator, "clipboard", { configurable: true, value: has
      ? { writeText: async () => { throw new Error("no"); }, readText: navigator.clipboard.readText.bind(navigator.clipboard) }
      : undefined })""",
        has_api,
    )
    button = card.get_by_role("button", name="Copy: Server", exact=True)
    await button.click()
    await expect(card.get_by_role("status")).to_have_text("Copied: Server")
    await expect(button).to_be_focused()
    await page.evaluate("delete navigator.clipboard")
    assert await page.evaluate("navigator.clipboard.readText()") == f"{server.http}/api/whip/demo"


async def test_the_keyboard_moves_among_the_kinds_of_encoder(site: Site, server: Server) -> None:
    page = await opened(site, server)
    card = await chosen(page, "demo", "", "OBS, WHIP")
    await page.keyboard.press("ArrowLeft")
    await expect(card.get_by_role("tab", name="Viewers, WHEP")).to_be_focused()
    await page.keyboard.press("ArrowRight")
    await expect(card.get_by_role("tab", name="OBS, WHIP")).to_have_attribute("aria-selected", "true")


@pytest.mark.parametrize("width", [360, 768])
async def test_nothing_scrolls_sideways(site: Site, server: Server, width: int) -> None:
    page = await opened(site, server, width=width)
    card = await chosen(page, "a-rather-long-name-" * 5, "another-source-" * 6, "OBS, WHIP")
    await card.get_by_role("button", name="Show tokens").click()
    for tab in await card.get_by_role("tab").all():
        await tab.click()
        assert await page.evaluate("document.scrollingElement.scrollWidth") <= width
