"""The page as people use it: publish with the form, watch, choose among the sources."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from urllib.parse import urlencode, urlsplit

import pytest
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, expect
from playwright.async_api import TimeoutError as PageTimeoutError

from .conftest import Server

NOT_LIVE = "the server responded with a status of 400"
"""What Chromium itself writes into the console when a director refuses; a page cannot prevent it."""

# The mean colour of a strip at the left edge of a <video>, where a test picture has nothing but its ground.
COLOUR = """(video) => {
  if (!video.videoWidth) return null;
  const canvas = new OffscreenCanvas(4, 4);
  const context = canvas.getContext("2d");
  context.drawImage(video, 0, video.videoHeight * 0.7, video.videoWidth * 0.03, video.videoHeight * 0.1, 0, 0, 4, 4);
  return [...context.getImageData(2, 2, 1, 1).data].slice(0, 3);
}"""

COUNT = """(video) => {
  video.shown = -1;
  const next = () => { video.shown += 1; if (video.shown < 10) video.requestVideoFrameCallback(next); };
  next();
}"""

FOCUSED = """() => {
  let element = document.activeElement;
  while (element?.shadowRoot?.activeElement) element = element.shadowRoot.activeElement;
  // The controls of a <video> are the browser's, and so are their rings.
  const ring = element?.tagName === "VIDEO" || (element !== document.body && getComputedStyle(element).outlineStyle !== "none");
  return { text: element.textContent.trim(), name: element.name ?? "", ring, strip: !!element.closest(".strip") };
}"""


class Site:
    """Tabs of one person. Nothing may leave the server's origin, and nothing may go wrong unsaid."""

    def __init__(self, context: BrowserContext, origin: str) -> None:
        self._context = context
        self._origin = origin
        self.requests: list[str] = []
        self.errors: list[str] = []

    async def open(self, *watch: str, width: int = 1280, height: int = 900, hidden: str = "") -> Page:
        """A tab with the page; ``watch`` names the streams in its address, ``hidden`` what the server does not tell it."""
        page = await self._context.new_page()
        if hidden:
            await page.route(hidden, lambda route: route.fulfill(status=404))
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("websocket", lambda socket: self.requests.append(socket.url.replace("ws", "http", 1)))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._said)
        await page.set_viewport_size({"width": width, "height": height})
        query = urlencode([("watch", name) for name in watch])
        await page.goto(f"{self._origin}/{'?' + query if query else ''}")
        return page

    def foreign(self) -> list[str]:
        """Requests to anywhere else; ``blob:`` and ``data:`` are the page itself."""
        own = urlsplit(self._origin)
        parts = [(url, urlsplit(url)) for url in self.requests if not url.startswith(("blob:", "data:"))]
        return [url for url, part in parts if (part.scheme, part.netloc) != (own.scheme, own.netloc)]

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.errors.append(message.text)


@pytest.fixture
async def site(browser: Browser, server: Server) -> AsyncIterator[Site]:
    """Fails the test when the page asked anybody else, or its console shows an error or a warning."""
    context = await browser.new_context()
    site = Site(context, server.http)
    yield site
    await context.close()
    assert site.requests
    assert site.foreign() == []
    assert site.errors == []


async def publish(page: Page, stream: str, source: str = "", *, codec: str = "vp8") -> Locator:
    """Start a test picture with the form, and wait until it is live: its card."""
    form = page.locator("publish-view form")
    await form.locator("input[name=stream]").fill(stream)
    await form.locator("input[name=source]").fill(source)
    await form.locator("select[name=size]").select_option("320x180")
    await form.locator("select[name=fps]").select_option("15")
    await form.locator("select[name=codec]").select_option(codec)
    await form.get_by_role("button", name="Start").click()
    card = page.get_by_role("article", name=f"{stream}, {source or 'Main source'}", exact=True)
    await expect(card.get_by_role("status")).to_have_text("Live", timeout=15_000)
    return card


async def untils(page: Page, locator: Locator, condition: str, what: str) -> None:
    """Wait until ``condition``, a JavaScript function of the element, holds."""
    try:
        await page.wait_for_function(condition, arg=await locator.element_handle(), timeout=20_000)
    except PageTimeoutError as error:
        raise AssertionError(f"waited for {what}") from error


async def plays(page: Page, video: Locator) -> None:
    """Wait until ten more frames were shown: counted by the compositor, as people see them."""
    await untils(page, video, "(video) => video.videoWidth > 0", "a picture")
    await video.evaluate(COUNT)
    await untils(page, video, "(video) => video.shown >= 10", "a moving picture")


async def shows(page: Page, video: Locator, colour: list[int]) -> None:
    """Wait until a picture has this colour, as far as an encoder leaves it."""
    near = f"(([r, g, b]) => Math.hypot(r - {colour[0]}, g - {colour[1]}, b - {colour[2]}) < 40)"
    await untils(page, video, f"(video) => {{ const c = ({COLOUR})(video); return c && {near}(c); }}", "its colour")


def main_of(player: Locator) -> Locator:
    return player.locator("video.main")


def distance(one: list[int], other: list[int]) -> float:
    return float(sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) ** 0.5)


async def test_published_sources_are_watched_and_a_click_swaps_them(site: Site) -> None:
    studio = await site.open()
    await publish(studio, "swap")
    # After the main source the form proposes a name of its own, so that a second start is a second source.
    await expect(studio.locator("input[name=source]")).not_to_have_value("")
    second = await publish(studio, "swap", "Slides")
    page = await site.open("swap")
    player = page.locator("watch-player")
    main, strip = main_of(player), player.locator(".strip button")
    await plays(page, main)
    await expect(strip).to_have_count(1)
    await expect(strip).to_have_text("Slides")
    await expect(player.locator(".stage .name")).to_have_text("Main source")
    await plays(page, strip.locator("video"))
    before: dict[str, list[int]] = {
        "main": await main.evaluate(COLOUR),
        "slides": await strip.locator("video").evaluate(COLOUR),
    }
    assert distance(before["main"], before["slides"]) > 60

    await strip.click()
    await expect(player.locator(".stage .name")).to_have_text("Slides")
    await expect(strip).to_have_text("Main source")
    await shows(page, main, before["slides"])
    await shows(page, strip.locator("video"), before["main"])

    await strip.click()
    await shows(page, main, before["main"])
    await expect(strip).to_have_text("Slides")
    # A source that leaves takes its place in the strip with it; the publisher sees how many watch.
    await expect(second).to_contain_text("1 viewer")
    await second.get_by_role("button", name="Stop").click()
    await expect(strip).to_have_count(0)
    await plays(page, main)


async def test_state_delay_and_rates_are_shown(site: Site) -> None:
    studio = await site.open()
    await publish(studio, "figures")
    page = await site.open("figures")
    player = page.locator("watch-player")
    await plays(page, main_of(player))
    facts = player.locator(".facts")
    await expect(facts.get_by_role("status")).to_have_text("Connected")
    # Read from the clock in the picture: drawn, encoded, carried, decoded and shown.
    await untils(
        page,
        facts,
        "(f) => { const ms = parseInt(f.querySelector('.delay')?.textContent.slice(6)); return ms > 0 && ms < 1000; }",
        "the delay",
    )
    await untils(page, facts, "(f) => parseInt(f.querySelector('.rate')?.textContent) > 10", "the rate")
    await expect(facts).to_contain_text("320×180")
    await expect(facts).to_contain_text("VP8")
    await expect(facts.locator(".dropped")).to_have_text(re.compile(r"^(1 frame|\d+ frames) dropped$"))


async def test_a_picture_that_plays_is_not_started_anew_by_the_figures_beside_it(site: Site) -> None:
    studio = await site.open()
    card = await publish(studio, "steady")
    await publish(studio, "steady", "Slides")
    page = await site.open("steady")
    player = page.locator("watch-player")
    await plays(page, main_of(player))
    await plays(page, player.locator(".strip video"))
    videos = [(page, main_of(player)), (page, player.locator(".strip video")), (studio, card.locator("video"))]
    for _, video in videos:
        await video.evaluate(
            "(v) => { v.emptiedTimes = 0; v.addEventListener('emptied', () => { v.emptiedTimes += 1; }); }"
        )
    for tab, facts in ((page, player.locator(".facts")), (studio, card.locator(".facts"))):
        await facts.evaluate("(f) => { f.texts = new Set(); setInterval(() => f.texts.add(f.textContent), 50); }")
        await untils(tab, facts, "(f) => f.texts.size > 3", "new figures")
    assert [await video.evaluate("(v) => v.emptiedTimes") for _, video in videos] == [0, 0, 0]


async def test_a_stream_that_nobody_publishes_is_waited_for_in_plain_words(site: Site) -> None:
    page = await site.open("later")
    player = page.locator("watch-player")
    await expect(player.locator(".message")).to_contain_text("Nobody is publishing this stream yet.")
    panel = player.locator("line-panel")
    await panel.get_by_text("Why is there no picture?").click()
    await expect(panel).to_contain_text("Start a publisher, or check the names of stream and account.")
    studio = await site.open()
    await publish(studio, "later")
    await plays(page, main_of(player))
    await expect(player.locator(".message")).to_have_count(0)
    assert site.errors
    assert all(NOT_LIVE in error for error in site.errors)
    site.errors.clear()


async def test_a_main_source_that_stops_makes_room_for_another_until_it_is_back(site: Site) -> None:
    studio = await site.open()
    first = await publish(studio, "stops")
    await publish(studio, "stops", "Slides")
    page = await site.open("stops")
    player = page.locator("watch-player")
    await plays(page, player.locator(".strip video"))
    slides: list[int] = await player.locator(".strip video").evaluate(COLOUR)
    await first.get_by_role("button", name="Stop").click()
    await expect(player.locator(".stage .name")).to_have_text("Slides")
    await shows(page, main_of(player), slides)
    await expect(player.locator(".message")).to_have_count(0)
    await expect(player.locator(".strip button")).to_have_count(0)
    await publish(studio, "stops")
    await expect(player.locator(".stage .name")).to_have_text("Main source")
    await expect(player.locator(".strip button")).to_have_text("Slides")
    await plays(page, main_of(player))

    # Without any source there is nothing to measure, and nothing to be glad of.
    await expect(player.locator(".delay")).to_be_visible()
    for _ in range(await studio.locator("publish-card").count()):
        await studio.get_by_role("button", name="Stop").first.click()
    state = player.locator(".facts").get_by_role("status")
    await expect(state).to_have_text("Waiting for a source")
    await expect(player.locator(".delay, .rate")).to_have_count(0)


@contextlib.asynccontextmanager
async def encoder(server: Server, stream: str, *what: str) -> AsyncIterator[None]:
    """ffmpeg by RTMP; ``what``: its inputs and codecs."""
    key = f"{stream}?token={server.settings['publish_token']}"
    process = await asyncio.create_subprocess_exec(
        *["ffmpeg", "-hide_banner", "-loglevel", "error", "-re", "-f", "lavfi", *what],
        *["-f", "flv", f"rtmp://{server.settings['rtmp']}/v2/pub/{key}"],
        stdin=asyncio.subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.kill()
        await process.wait()


async def test_a_stream_of_audio_alone_plays_and_shows_its_level(site: Site, server: Server) -> None:
    async with encoder(server, "radio", "-i", "sine=frequency=440", "-c:a", "aac"):
        page = await site.open("radio")
        player = page.locator("watch-player")
        level = player.get_by_role("meter", name="Audio level")
        await expect(level).to_be_visible(timeout=20_000)
        await untils(page, level, "(level) => Number(level.getAttribute('aria-valuenow')) > 20", "a level")
        await untils(page, main_of(player), "(video) => !video.paused && video.currentTime > 1", "audio that plays")
        await expect(player.locator(".message")).to_have_count(0)
        panel = player.locator("line-panel")
        await panel.get_by_text("Line and timeline").click()
        await expect(panel.get_by_text("First packet")).to_be_visible()
        await expect(panel.locator(".stalled")).to_have_count(0)
    site.errors[:] = [error for error in site.errors if NOT_LIVE not in error]


async def test_the_owner_is_told_on_the_viewers_page_what_is_wrong_with_a_stream(site: Site, server: Server) -> None:
    picture = ["-i", "testsrc2=size=320x180:rate=30", "-c:v", "libx264", "-preset", "veryfast"]
    b_frames = ["-pix_fmt", "yuv420p", "-bf", "3", "-x264-params", "b-adapt=0", "-g", "60"]
    async with encoder(server, "jerks", *picture, *b_frames):
        page = await site.open("jerks")
        problem = page.locator("watch-problems [data-code=b_frames]")
        await expect(problem).to_contain_text("bframes=0", timeout=20_000)
    site.errors[:] = [error for error in site.errors if NOT_LIVE not in error]


async def test_the_figures_under_the_main_picture_are_its_own(site: Site) -> None:
    studio = await site.open()
    await publish(studio, "whose")
    form = studio.locator("publish-view form")
    await form.locator("select[name=size]").select_option("640x360")
    await form.locator("input[name=source]").fill("Large")
    await form.get_by_role("button", name="Start").click()
    page = await site.open("whose")
    player = page.locator("watch-player")
    await plays(page, player.locator(".strip video"))
    facts = player.locator(".facts")
    await expect(facts).to_contain_text("320×180")
    await player.locator(".strip button").click()
    await expect(facts).to_contain_text("640×360")


async def test_a_publisher_that_is_replaced_is_told_so(site: Site) -> None:
    studio, other = await site.open(), await site.open()
    first = await publish(studio, "twice")
    page = await site.open("twice")
    await plays(page, main_of(page.locator("watch-player")))
    await expect(first).to_contain_text("1 viewer")
    second = await publish(other, "twice")
    # Also a publisher that starts while somebody watches knows how many do.
    await expect(second).to_contain_text("1 viewer")
    await expect(first.get_by_role("status").first).to_have_text("In reserve")
    await expect(first).to_contain_text("Another publisher sends this source too")
    await expect(first).not_to_contain_text("1 viewer")
    await second.get_by_role("button", name="Stop").click()
    await expect(first.get_by_role("status")).to_have_text("Live")
    await expect(first).to_contain_text("1 viewer")


async def test_an_attempt_that_is_refused_can_be_made_again_and_keeps_no_name(site: Site, server: Server) -> None:
    page = await site.open(hidden="**/api/dev/settings")
    form = page.locator("publish-view form")
    await form.get_by_role("button", name="Start").click()
    card = page.locator("publish-card")
    await expect(card.get_by_role("alert")).to_have_text("No publish token is entered: enter one above.")
    await expect(form.locator("input[name=source]")).to_have_value("")
    await page.get_by_label("Publish token").fill("wrong")
    await page.get_by_label("Publish token").press("Tab")
    await card.get_by_role("button", name="Try again").click()
    await expect(card.get_by_role("alert")).to_contain_text("does not accept the publish token")
    await page.get_by_label("Publish token").fill(server.settings["publish_token"])
    await page.get_by_label("Publish token").press("Tab")
    await card.get_by_role("button", name="Try again").click()
    await expect(card.get_by_role("status")).to_have_text("Live", timeout=15_000)
    await expect(form.locator("input[name=source]")).to_have_value("source-2")
    site.errors[:] = [error for error in site.errors if "status of 40" not in error]


async def test_everything_can_be_done_with_the_keyboard(site: Site) -> None:
    page = await site.open()
    await page.wait_for_selector("publish-view form")

    async def tab_to(wanted: str) -> None:
        for _ in range(40):
            await page.keyboard.press("Tab")
            focused = await page.evaluate(FOCUSED)
            assert focused["ring"], f"no focus ring on {focused}"
            if wanted in (focused["text"], focused["name"]):
                return
        raise AssertionError(f"Tab does not reach {wanted}")

    await tab_to("stream")
    await page.keyboard.type("keys")  # what a field holds is selected when Tab enters it
    await tab_to("Start")
    await page.keyboard.press("Enter")
    await expect(page.locator("publish-card")).to_have_count(1)
    await tab_to("Stop")
    await page.keyboard.press("Shift+Tab")
    await page.keyboard.press("Space")
    await expect(page.locator("publish-card")).to_have_count(2)
    for card in await page.locator("publish-card").all():
        await expect(card.get_by_role("status")).to_have_text("Live", timeout=15_000)

    await page.locator("h1").click()  # the top of the page, as after a reload
    await tab_to("Watch")
    await page.keyboard.press("Enter")
    await expect(page.locator("watch-view form")).to_be_visible()
    await tab_to("stream")
    await page.keyboard.type("keys")
    await page.keyboard.press("Enter")
    player = page.locator("watch-player")
    await plays(page, main_of(player))
    await plays(page, player.locator(".strip video"))
    main: list[int] = await main_of(player).evaluate(COLOUR)
    other: list[int] = await player.locator(".strip video").evaluate(COLOUR)
    assert distance(main, other) > 60
    await tab_to("source-2")
    await page.keyboard.press("Enter")
    await shows(page, main_of(player), other)
    # The focus stays where it was: the same key swaps back.
    assert (await page.evaluate(FOCUSED))["strip"]
    await page.keyboard.press("Enter")
    await shows(page, main_of(player), main)


async def test_two_streams_play_side_by_side(site: Site) -> None:
    studio = await site.open()
    await publish(studio, "one")
    await publish(studio, "other", "Guest")
    page = await site.open("one", "other")
    players = page.locator("watch-player")
    await expect(players).to_have_count(2)
    colours, boxes = [], []
    for player in await players.all():
        await plays(page, main_of(player))
        colours.append(await main_of(player).evaluate(COLOUR))
        boxes.append(await player.bounding_box())
    assert distance(*colours) > 60
    one, other = boxes
    assert one is not None
    assert other is not None
    assert one["y"] == other["y"]
    assert one["x"] + one["width"] <= other["x"]
    # Closing one leaves the other alone, and the address names what is left.
    await players.first.get_by_role("button", name="Close").click()
    await expect(players).to_have_count(1)
    assert "watch=other" in page.url
    assert "watch=one" not in page.url
    await plays(page, main_of(players))


async def test_voices_behind_the_main_picture_are_played_and_named(site: Site) -> None:
    studio = await site.open()
    await publish(studio, "voices")
    page = await site.open("voices")
    player = page.locator("watch-player")
    talking = player.get_by_role("list", name="Talking")
    await plays(page, main_of(player))
    # With one source there is nobody to tell apart.
    await expect(talking).to_be_hidden()
    await publish(studio, "voices", "Guest")
    await expect(talking).to_be_visible()
    for name in ("Guest", "Main source"):
        await expect(talking.locator("li", has_text=name)).to_be_visible(timeout=15_000)
    await expect(player.locator(".strip .talks")).to_have_text("Guest")
    # By ear: the main picture has the beeps of one, a track behind it those of the other.
    sounds = """async (element) => {
      const context = new AudioContext();
      const ear = new AnalyserNode(context, { fftSize: 2048 });
      context.createMediaStreamSource(new MediaStream(element.srcObject.getAudioTracks())).connect(ear);
      const samples = new Float32Array(ear.fftSize);
      const loud = () => { ear.getFloatTimeDomainData(samples); return samples.some((one) => Math.abs(one) > 0.01); };
      const end = performance.now() + 5000;
      while (performance.now() < end && !loud()) await new Promise((resolve) => setTimeout(resolve, 10));
      return loud() && !element.paused && !element.muted;
    }"""
    voices = player.locator("watch-voices audio")
    await expect(voices).to_have_count(3)
    assert await main_of(player).evaluate(sounds)
    assert any([await voice.evaluate(sounds) for voice in await voices.all()])
    # The sound is turned off with that of the main picture.
    await main_of(player).evaluate("(video) => { video.muted = true; }")
    for voice in await voices.all():
        await untils(page, voice, "(voice) => voice.muted", "silence")


async def test_a_phone_shows_everything_without_scrolling_sideways(site: Site) -> None:
    studio = await site.open(width=390, height=844)
    for source in ("", "Slides", "A camera with a name that is too long for one line of a phone"):
        await publish(studio, "phone", source)
    page = await site.open("phone", width=390, height=844)
    player = page.locator("watch-player")
    await plays(page, main_of(player))
    await expect(player.locator(".strip video")).to_have_count(2)
    for tab in (studio, page):
        size = await tab.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert size[0] <= size[1] == 390
    for button in await player.locator(".strip button").all():
        box = await button.bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) >= 44  # a finger's size
