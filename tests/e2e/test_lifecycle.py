"""Beginnings and ends: of the server, of sockets, of tabs. And what Python's own troubles do to the media."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import Popen
from time import perf_counter

import httpx
import pytest
from playwright.async_api import Browser, Page, expect

from .conftest import Server, _ready, open_page, start_server, stop_server
from .test_link import THROUGH, relay
from .test_page import Site, main_of, plays, publish

BUSY_SERVER = Path(__file__).with_name("busy_server.py")
WAIT_S = 20

opened = asynccontextmanager(open_page)

# Publishes red as the main source.
PUBLISH = """async (stream) => { window.p = await t.publish(settings, { stream, picture: { colour: "red", sound: true } }); }"""

# A viewer that plays. Leaves `w` on the window.
WATCH = """async (stream) => {
  window.w = new t.Watcher(settings, stream);
  await t.until(() => w.connect().then(() => true, () => w.view.stop() && false), "the stream to be live");
  await t.untilColour(w, 0, "red");
}"""

# Waits for the last `viewercount` that `w` was told.
COUNTED = """(wanted) => t.until(
  () => w.events.filter((e) => e.name === "viewercount").at(-1)?.data.viewercount === wanted, `viewercount ${wanted}`)"""


INACTIVE = """() => t.until(() => w.count("inactive", null) === 1, "inactive")"""


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Server]:
    """A server of this test's own, which it may end."""
    running = start_server(tmp_path)
    yield running
    stop_server(running)


class Wire:
    """A TCP relay in front of the HTTP port, to cut."""

    def __init__(self, to: int) -> None:
        self._to = to
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0

    @asynccontextmanager
    async def laid(self) -> AsyncIterator["Wire"]:
        server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            self.cut()
            server.close()

    def cut(self) -> int:
        """Break every connection, as a pulled cable and a rebooted router do: no good-bye. How many those were."""
        count = len(self._writers)
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()
        return count

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection("127.0.0.1", self._to)
        self._writers |= {writer, there[1]}
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_copy(reader, there[1]))
            tasks.create_task(_copy(there[0], writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass  # cut
    finally:
        writer.close()


async def test_ctrl_c_tells_viewers_and_ends_cleanly(browser: Browser, own: Server) -> None:
    async with opened(browser, own) as page:
        await page.evaluate(PUBLISH, "ends")
        await page.evaluate(WATCH, "ends")
        own.process.send_signal(signal.SIGINT)
        await page.evaluate("""() => t.until(() => w.events.some(({ name }) => name === "stopped"), "stopped")""")
        assert await asyncio.to_thread(own.process.wait, WAIT_S) == 0


async def test_after_a_restart_the_pages_go_on_with_the_tokens_they_had(
    browser: Browser, own: Server, tmp_path: Path
) -> None:
    site = Site(await browser.new_context(), own.http)
    studio = await site.open()
    card = await publish(studio, "again")
    page = await site.open("again")
    player = page.locator("watch-player")
    await plays(page, main_of(player))
    assert await asyncio.to_thread(stop_server, own) == 0
    # An orderly end of the socket is no reason to reconnect; that the media stopped is noticed by ICE, after 7 or 8 s.
    gone = "The server cannot be reached."
    await expect(player.locator(".message")).to_contain_text(gone, timeout=20_000)
    await expect(card.get_by_role("alert")).to_have_text(gone, timeout=20_000)
    ports = ("--http", own.http.removeprefix("http://"), "--media", own.settings["media"])
    ports += ("--rtmp", own.settings["rtmp"])
    second = await asyncio.to_thread(start_server, tmp_path, *ports)
    try:
        assert second.settings == own.settings
        await expect(card.get_by_role("status")).to_have_text("Live", timeout=20_000)
        await expect(player.locator(".message")).to_have_count(0, timeout=20_000)
        await plays(page, main_of(player))
    finally:
        assert await asyncio.to_thread(stop_server, second) == 0


async def test_a_second_server_on_the_same_ports_says_so_in_a_line(own: Server, tmp_path: Path) -> None:
    data = tmp_path / "second"
    taken = {
        "--http": own.http.removeprefix("http://"),
        "--media": own.settings["media"],
        "--rtmp": own.settings["rtmp"],
    }
    for option, address in taken.items():
        addresses = {**dict.fromkeys(taken, "127.0.0.1:0"), option: address}
        arguments = [part for pair in addresses.items() for part in pair]
        command = [str(Path(sys.executable).with_name("rostra")), "dev", *arguments, "--data", str(data)]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
        out, err = await asyncio.wait_for(process.communicate(), WAIT_S)
        assert process.returncode == 2
        assert out == b""
        line = err.decode()
        assert line.count("\n") == 1
        assert all(part in line for part in (option, address, "in use")), line


async def test_viewers_are_counted_and_a_lost_socket_alone_does_not_end_one(page: Page, server: Server) -> None:
    async with Wire(int(server.http.rpartition(":")[2])).laid() as wire:
        await page.evaluate(PUBLISH, "wire")
        await page.evaluate(WATCH, "wire")
        await page.evaluate(COUNTED, 1)
        # A second viewer, whose socket alone goes through the wire, and who does not reconnect by itself.
        await page.evaluate(
            """async ([stream, port]) => {
          window.far = new t.Watcher(settings, stream);
          const ask = async () => {
            const way = await t.Director.getSubscriber({
              streamName: stream, streamAccountId: settings.account_id, subscriberToken: settings.subscribe_token });
            return { ...way, urls: way.urls.map((url) => url.replace(/:\\d+\\//, `:${port}/`)) };
          };
          far.view = new t.View(ask, null, false);
          far.view.on("track", ({ track, transceiver }) => track.kind === "video" && far.show(track, transceiver.mid));
          await far.connect();
          await t.untilColour(far, 0, "red");
        }""",
            ["wire", wire.port],
        )
        await page.evaluate(COUNTED, 2)
        told = await page.evaluate("() => w.events.length")
        assert wire.cut() == 2
        seen = await page.evaluate("() => t.observe(far, 0, 4000)")
        print("after the socket was cut:", seen)
        assert seen["frames"] > 40
        assert seen["standstill"] < 1000
        assert await page.evaluate("() => w.events.length") == told
        # Its connection closes: that is a good-bye, although the socket is gone. The other one's clean end is one too.
        await page.evaluate("() => far.pc.close()")
        await page.evaluate(COUNTED, 1)
        await page.evaluate("async () => { window.first = w; }")
        await page.evaluate(WATCH, "wire")
        await page.evaluate(COUNTED, 2)
        await page.evaluate("() => first.view.stop()")
        await page.evaluate(COUNTED, 1)


async def test_a_publishers_tab_that_is_closed_takes_its_source_with_it(
    browser: Browser, page: Page, server: Server
) -> None:
    async with opened(browser, server) as studio:
        await studio.evaluate(PUBLISH, "tab")
        await page.evaluate(WATCH, "tab")
    await page.evaluate(INACTIVE)


async def test_a_publisher_that_is_unplugged_is_missed_when_its_media_stops(page: Page, server: Server) -> None:
    async with Wire(int(server.http.rpartition(":")[2])).laid() as wire:
        with relay(server) as media:
            await page.evaluate(THROUGH)
            await page.evaluate(
                """async ([stream, socket, media]) => {
              window.through = media;
              const ask = async () => {
                const way = await t.Director.getPublisher({ token: settings.publish_token, streamName: stream });
                return { ...way, urls: way.urls.map((url) => url.replace(/:\\d+\\//, `:${socket}/`)) };
              };
              await new t.Publish(ask, false).connect({ mediaStream: t.testPicture({ colour: "red" }), codec: "vp8" });
              window.through = null;
            }""",
                ["unplugged", wire.port, media],
            )
            await page.evaluate(WATCH, "unplugged")
            # The socket alone may come and go: the picture stays.
            assert wire.cut() == 2
            seen = await page.evaluate("() => t.observe(w, 0, 3000)")
            assert seen["frames"] > 30
            assert await page.evaluate("() => w.count('inactive', null)") == 0
        begun = perf_counter()
        await page.evaluate(INACTIVE)
        print(f"inactive {perf_counter() - begun:.1f} s after the last packet")
        # After 5 s without a packet a feed is dead (TransportStalled, docs/seam.md).
        assert 3 < perf_counter() - begun < 9


async def test_forwarding_does_not_notice_a_busy_python(browser: Browser, tmp_path: Path) -> None:
    process = await asyncio.to_thread(Popen, [sys.executable, BUSY_SERVER, tmp_path])
    try:
        server = Server(process, await _ready(process, tmp_path / "dev.json"))
        answers: list[float] = []

        async def keep_busy() -> None:
            """SIGUSR1, and the time until the server answers the simplest request."""
            process.send_signal(signal.SIGUSR1)
            async with httpx.AsyncClient(base_url=server.http, trust_env=False) as client:
                begun = perf_counter()
                assert (await client.get("/healthz")).status_code == 200
                answers.append(perf_counter() - begun)

        async with opened(browser, server) as page:
            await page.expose_function("keepBusy", keep_busy)
            await page.evaluate(PUBLISH, "busy")
            await page.evaluate(WATCH, "busy")
            control = await page.evaluate("() => t.observe(w, 0, 3000)")
            busy = await page.evaluate("() => t.observe(w, 0, 3000, () => keepBusy())")
            print("control:", control, "busy:", busy, "answers after:", answers)
            assert answers[0] > 0.4  # Python was busy indeed
            assert busy["standstill"] <= 2 * control["standstill"] + 100
            assert busy["frames"] > 30
    finally:
        process.send_signal(signal.SIGINT)
        assert await asyncio.to_thread(process.wait, WAIT_S) == 0
