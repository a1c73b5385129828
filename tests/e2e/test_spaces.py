"""The example Spaces as people use it: a host, four listeners, and one who tries what is not allowed."""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, BrowserContext, Locator, Page, WebSocketRoute, expect
from playwright.async_api import WebSocket as PageSocket
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from .conftest import Server

EXAMPLE = Path(__file__).parents[2] / "examples" / "spaces"
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 800}

PLAYS = """(video) => new Promise((resolve) => {
  let shown = 0;
  const next = () => { shown += 1; if (shown < 10) video.requestVideoFrameCallback(next); else resolve(true); };
  video.requestVideoFrameCallback(next);
})"""


@pytest.fixture(autouse=True)
def patience() -> Iterator[None]:
    """Five pages with cameras are much for a small machine."""
    expect.set_options(timeout=20_000)
    yield
    expect.set_options(timeout=5_000)


@pytest.fixture
async def site(server: Server) -> AsyncIterator[str]:
    """The address of Spaces, on the Rostra of the other tests."""
    tokens = {
        "SPACES_PUBLISH_TOKEN": server.settings["publish_token"],
        "SPACES_SUBSCRIBE_TOKEN": server.settings["subscribe_token"],
    }
    path = os.pathsep.join(filter(None, [str(EXAMPLE), os.environ.get("PYTHONPATH")]))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "spaces", "--listen", "127.0.0.1:0", "--rostra", server.http),
        env=os.environ | tokens | {"PYTHONPATH": path},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(30):
        while not (found := re.search(r"http://\S+", (await process.stdout.readline()).decode())):
            assert process.returncode is None
    yield found[0]
    process.terminate()
    await process.wait()


@dataclass
class Person:
    """Somebody at a page of its own, and what its sockets heard."""

    name: str
    page: Page
    id: str = ""
    room: str = ""
    heard: list[dict[str, Any]] = field(default_factory=list)
    """Events of Rostra."""
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name)

    def face(self, person: "Person") -> Locator:
        """Where somebody is shown in this page."""
        return self.page.locator(f".person[data-name='{person.name}']")

    def speakers(self) -> Locator:
        return self.page.get_by_role("region", name="Speakers").locator(".person")

    def listeners(self) -> Locator:
        return self.page.get_by_role("region", name="Listeners").locator(".person")

    def voices_of(self, person: "Person") -> list[str]:
        """The m-lines that ever played somebody."""
        return [e["data"]["mediaId"] for e in self.heard if e["name"] == "vad" and e["data"]["sourceId"] == person.id]

    async def hears(self, person: "Person") -> None:
        """Wait until the page shows that somebody talks: by the sound that it received, and whose it said that is."""
        await expect(self.face(person)).to_have_attribute("data-talks", "yes")

    async def sees_the_host(self) -> None:
        """Wait until ten more frames of the host's picture were shown."""
        video = self.page.locator(".picture video")
        await expect(video).to_be_visible(timeout=20_000)
        async with asyncio.timeout(20):
            assert await video.evaluate(PLAYS)

    async def heard_event(self, name: str, person: "Person", since: int) -> None:
        """Wait for an event of Rostra about somebody, later than the first ``since`` ones."""
        async with asyncio.timeout(20):
            while not any(e["name"] == name and e["data"]["sourceId"] == person.id for e in self.heard[since:]):
                await self.arrived.wait()
                self.arrived.clear()

    def watch(self) -> None:
        """Keep what goes by."""
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("websocket", self._socket)

    def _socket(self, socket: PageSocket) -> None:
        self.requests.append(socket.url)
        is_rostra = "/gate/" in socket.url
        socket.on("framereceived", lambda text: self._frame(text, is_rostra=is_rostra))

    def _frame(self, text: str | bytes, *, is_rostra: bool) -> None:
        message = json.loads(text)
        if is_rostra:
            if message["type"] == "event":
                self.heard.append(message)
                self.arrived.set()
        elif "answer" in message and isinstance(message.get("data"), dict):
            data = message["data"]
            self.id = data["user"]["id"] if "user" in data else self.id
            self.room = data["room"]["id"] if "room" in data else self.room


@dataclass
class People:
    """All that are at the site. Nothing may go wrong unsaid, and nobody's page talks to anybody but its own server."""

    browser: Browser
    site: str
    all: list[Person] = field(default_factory=list)
    contexts: list[BrowserContext] = field(default_factory=list)

    async def enter(self, name: str, viewport: dict[str, int]) -> Person:
        context = await self.browser.new_context(
            viewport={"width": viewport["width"], "height": viewport["height"]}, permissions=["microphone", "camera"]
        )
        self.contexts.append(context)
        person = Person(name, await context.new_page())
        self.all.append(person)
        person.watch()
        return person

    async def come_in(self, person: Person) -> None:
        await person.page.goto(self.site)
        await person.page.get_by_label("Your name").fill(person.name)
        await person.button("Come in").click()
        await expect(person.button("Open a room")).to_be_visible()

    def foreign(self) -> list[str]:
        own = urlsplit(self.site).netloc
        return [url for one in self.all for url in one.requests if urlsplit(url).netloc != own]


@pytest.fixture
async def people(browser: Browser, site: str) -> AsyncIterator[People]:
    people = People(browser, site)
    yield people
    for context in people.contexts:
        await context.close()
    assert [error for one in people.all for error in one.errors] == []
    assert people.foreign() == []


@asynccontextmanager
async def by_hand(site: str, name: str) -> AsyncIterator["Hand"]:
    """Somebody without a page."""
    async with connect(f"{site.replace('http', 'ws', 1)}socket", proxy=None) as connection:
        hand = Hand(connection)
        await hand.ask("authenticate", username=name)
        yield hand


@dataclass
class Hand:
    """Commands by hand; events are passed over."""

    connection: ClientConnection

    async def ask(self, do: str, /, **arguments: object) -> dict[str, Any]:
        """The answer, refused or not."""
        await self.connection.send(json.dumps({"id": 1, "do": do, **arguments}))
        async with asyncio.timeout(10):
            while "event" in (message := json.loads(await self.connection.recv())):
                pass
        answer: dict[str, Any] = message
        return answer


async def is_let_in(address: str) -> bool:
    try:
        async with connect(address, proxy=None):
            return True
    except InvalidStatus:
        return False


async def opened(people: People, name: str) -> Person:
    """A host with a room."""
    host = await people.enter(name, DESKTOP)
    await people.come_in(host)
    await host.button("Open a room").click()
    await host.page.get_by_label("What is it about?").fill(f"{name} talks")
    await host.button("Open it").click()
    await expect(host.speakers()).to_have_count(1)
    return host


async def joined(people: People, host: Person, listener: Person) -> None:
    await people.come_in(listener)
    await listener.button(f"{host.name} talks").click()
    await expect(listener.button("Raise hand")).to_be_visible()


async def test_a_host_and_four_listeners_talk(people: People, server: Server) -> None:
    ada = await opened(people, "Ada")
    ben, cleo, dora, emil = [await people.enter(name, PHONE) for name in ("Ben", "Cleo", "Dora", "Emil")]
    for listener in (ben, cleo, dora, emil):
        await joined(people, ada, listener)
    await expect(ada.listeners()).to_have_count(4)
    for listener in (ben, cleo, dora, emil):
        await listener.sees_the_host()
        await listener.hears(ada)

    # Who only listens gets no right to publish, whatever it asks, and whatever it does with the rights that it has.
    async with by_hand(people.site, "Eve") as eve:
        ws = people.site.replace("http", "ws", 1)
        refused = {"answer": 1, "error": "participant does not exist in room", "status": 403}
        assert await eve.ask("publisher-token", roomId=ada.room) == refused
        token = (await eve.ask("join-room", roomId=ada.room))["data"]["viewerToken"]
        assert await eve.ask("publisher-token", roomId=ada.room) == {
            "answer": 1,
            "error": "participant is not a speaker",
            "status": 403,
        }
        promoting = {"roomId": ada.room, "userId": ben.id, "promoted": True}
        assert (await eve.ask("promote-user", **promoting))["error"] == "You are not the owner of the room"
        assert not await is_let_in(f"{ws}gate/publish?token={token['jwt']}")
        rostra = server.http.replace("http", "ws", 1)
        assert not await is_let_in(f"{rostra}/ws/v2/pub/{'0' * 32}?token={token['jwt']}")
        assert await is_let_in(f"{ws}gate/view?token={token['jwt']}")
        await eve.ask("sign-out")
    await expect(ada.listeners()).to_have_count(4)

    # Raise, promote, speak.
    await cleo.button("Raise hand").click()
    await ada.button("Let Cleo speak").click()
    await expect(cleo.button("Mute")).to_be_visible(timeout=15_000)
    await expect(ben.speakers()).to_have_count(2)
    for one in (ada, ben, dora, emil):
        await one.hears(cleo)
        assert one.voices_of(cleo)
    # Neither one's own voice nor the host's, which everybody has already, comes among the others.
    assert cleo.voices_of(cleo) == []
    assert ben.voices_of(ada) == []
    await cleo.hears(ada)

    # Muted by the host, and back by oneself.
    await ada.face(cleo).click()
    await ada.button("Mute").last.click()
    await expect(cleo.button("Unmute")).to_be_visible()
    await expect(ben.face(cleo)).to_contain_text("muted")
    await cleo.button("Unmute").click()
    await ben.hears(cleo)

    # Demote.
    before = len(ben.heard)
    await ada.face(cleo).click()
    await ada.button("Make a listener").click()
    await expect(cleo.button("Raise hand")).to_be_visible()
    await expect(ben.speakers()).to_have_count(1)
    await ben.heard_event("inactive", cleo, before)

    # Leave.
    await emil.button("Leave the room").click()
    await expect(emil.button("Open a room")).to_be_visible()
    await expect(ada.listeners()).to_have_count(3)

    # The host reconnects: everybody stays, and the rights are the host's again.
    await ada.page.reload()
    await expect(ada.page.get_by_role("heading", name="Ada talks")).to_be_visible()
    await expect(ada.listeners()).to_have_count(3)
    for listener in (ben, cleo, dora):
        await listener.sees_the_host()
        await listener.hears(ada)
    await dora.button("Raise hand").click()
    await ada.button("Let Dora speak").click()
    await ben.hears(dora)
    await ada.hears(dora)

    await ada.face(ben).click()
    await ada.button("Send out").click()
    await expect(ben.button("Open a room")).to_be_visible()


async def test_a_page_that_ignores_its_demotion_is_heard_no_more(people: People) -> None:
    ada = await opened(people, "Ada")
    ben = await people.enter("Ben", PHONE)
    mallory = await people.enter("Mallory", PHONE)

    def deaf(socket: WebSocketRoute) -> None:
        """Keeps from the page that it is no speaker any more."""
        upstream = socket.connect_to_server()
        is_news = re.compile(r'"demoted"|"user-promoted".*"promoted":false')
        upstream.on_message(lambda text: None if is_news.search(str(text)) else socket.send(text))

    await mallory.page.route_web_socket(re.compile(r"/socket$"), deaf)
    await joined(people, ada, ben)
    await joined(people, ada, mallory)
    await mallory.button("Raise hand").click()
    await ada.button("Let Mallory speak").click()
    await expect(mallory.button("Mute")).to_be_visible(timeout=15_000)
    await expect(ben.face(mallory)).to_have_attribute("data-talks", "yes")
    mallory.id = next(e["data"]["sourceId"] for e in ben.heard if e["name"] == "vad" and e["data"]["sourceId"])

    before = len(ben.heard)
    await ada.face(mallory).click()
    await ada.button("Make a listener").click()
    await ben.heard_event("inactive", mallory, before)
    # The client of the page asks for another token, is refused, and gives up.
    await expect(mallory.page.get_by_text("You are not heard any more")).to_be_visible(timeout=20_000)


async def test_whose_connections_are_lost_is_back_in_the_same_place(people: People) -> None:
    ada = await opened(people, "Ada")
    ben = await people.enter("Ben", PHONE)
    is_cut = False
    sides: list[WebSocketRoute] = []

    async def line(socket: WebSocketRoute) -> None:
        if is_cut:
            await socket.close(code=3000)
        else:
            sides.extend((socket, socket.connect_to_server()))

    await ben.page.route_web_socket(re.compile(r"/(socket|gate/\w+\?.*)$"), line)
    await joined(people, ada, ben)
    await ben.button("Raise hand").click()
    await ada.button("Let Ben speak").click()
    await ada.hears(ben)

    before = len(ada.heard)
    is_cut = True
    for side in sides:
        await side.close(code=3000)
    await expect(ada.face(ben)).to_contain_text("reconnecting")
    await expect(ben.page.get_by_text("Connection lost")).to_be_visible()
    await ada.heard_event("inactive", ben, before)
    is_cut = False
    await expect(ben.page.get_by_text("Connection lost")).to_have_count(0)
    await expect(ada.face(ben)).not_to_contain_text("reconnecting")
    await expect(ada.speakers()).to_have_count(2)
    # Media comes back by itself, by new tokens.
    await ada.heard_event("active", ben, before)
    await ada.hears(ben)
    await ben.hears(ada)
    await ben.sees_the_host()


async def test_a_speaker_is_invited_before_its_microphone_is_on(people: People) -> None:
    ada = await opened(people, "Ada")
    ben = await people.enter("Ben", PHONE)
    await joined(people, ada, ben)
    await ada.face(ben).click()
    await ada.button("Invite to speak").click()
    await expect(ben.page.get_by_text("The host invites you to speak.")).to_be_visible()
    # Before it accepts it is no speaker to anybody.
    await expect(ada.face(ben)).to_contain_text("invited")
    await expect(ada.speakers()).to_have_count(1)
    await expect(ada.listeners()).to_have_count(1)
    assert not any(e["name"] == "active" and e["data"]["sourceId"] == ben.id for e in ada.heard)
    await ben.button("Not now").click()
    await expect(ben.button("Raise hand")).to_be_visible()
    await expect(ada.speakers()).to_have_count(1)

    await ada.face(ben).click()
    await ada.button("Invite to speak").click()
    await ben.button("Start talking").click()
    await ada.hears(ben)
    # One's own place, by one's own choice.
    await ben.button("Be a listener again").click()
    await expect(ada.speakers()).to_have_count(1)


async def test_a_room_has_a_link_and_its_host_is_asked_before_it_leaves(people: People) -> None:
    ada = await opened(people, "Ada")
    assert f"room={ada.room}" in ada.page.url
    ben = await people.enter("Ben", PHONE)
    await ben.page.goto(ada.page.url)
    # Somebody else's name: the refusal says what to do, beside the field and not over it.
    name = ben.page.get_by_label("Your name")
    await name.fill("Ada")
    await ben.button("Come in").click()
    alert = ben.page.get_by_role("alert")
    await expect(alert).to_have_text("Somebody here has this name already. Choose another one.")
    box, field = await alert.bounding_box(), await name.bounding_box()
    assert box is not None
    assert field is not None
    assert box["y"] >= field["y"] + field["height"]
    await name.fill("Ben")
    await ben.button("Come in").click()
    await expect(ben.page.get_by_role("heading", name="Ada talks")).to_be_visible()
    await expect(ada.listeners()).to_have_count(1)

    await ada.button("Leave the room").click()
    await ada.button("Stay").click()
    await expect(ada.listeners()).to_have_count(1)
    await ada.button("Leave the room").click()
    await ada.page.get_by_role("dialog").get_by_role("button", name="Leave", exact=True).click()
    await expect(ada.button("Open a room")).to_be_visible()
    assert "room=" not in ada.page.url
    # Nobody could let Ben speak.
    await expect(ben.page.get_by_text("Without its host nobody can be let speak here.")).to_be_visible()
    await expect(ben.button("Raise hand")).to_have_count(0)


async def test_a_host_without_a_camera_talks_and_one_without_a_microphone_opens_nothing(people: People) -> None:
    ada = await people.enter("Ada", DESKTOP)
    # As a browser answers that has no camera, and one whose person said no.
    await ada.page.add_init_script(
        """
        const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
        navigator.mediaDevices.getUserMedia = async (wanted) => {
          if (window.saysNo) throw new DOMException("", "NotAllowedError");
          if (wanted.video) throw new DOMException("", "NotFoundError");
          return ask(wanted);
        };"""
    )
    await people.come_in(ada)
    await ada.page.evaluate("window.saysNo = true")
    await ada.button("Open a room").click()
    await ada.button("Open it").click()
    notice = "Your browser does not allow this page to use the microphone or camera"
    await expect(ada.page.get_by_text(notice)).to_be_visible()
    await expect(ada.page.get_by_text("It is quiet here")).to_be_visible()

    await ada.page.evaluate("window.saysNo = false")
    await ada.button("Open a room").click()
    await ada.page.get_by_label("What is it about?").fill("Ada talks")
    await ada.button("Open it").click()
    await expect(ada.page.get_by_text("You are without a camera")).to_be_visible()
    ben = await people.enter("Ben", PHONE)
    await joined(people, ada, ben)
    await expect(ben.page.get_by_text("Ada is without a camera")).to_be_visible()
    await ben.hears(ada)


async def test_a_room_of_voices_works_by_keyboard_alone(people: People) -> None:
    ada = await people.enter("Ada", DESKTOP)
    await people.come_in(ada)
    keys = ada.page.keyboard
    await ada.button("Open a room").focus()
    await keys.press("Enter")
    await ada.page.get_by_label("What is it about?").fill("Ada talks")
    await keys.press("Tab")
    await keys.press("ArrowRight")
    await expect(ada.page.get_by_label("Voices only")).to_be_checked()
    await keys.press("Enter")
    await expect(ada.speakers()).to_have_count(1)
    await expect(ada.page.locator("video")).to_have_count(0)
    ben = await people.enter("Ben", PHONE)
    await joined(people, ada, ben)
    await ben.hears(ada)
    await ada.face(ben).focus()
    await keys.press("Enter")
    await expect(ada.page.get_by_role("dialog", name="Ben")).to_be_visible()
    await keys.press("Escape")
    await expect(ada.page.get_by_role("dialog")).to_have_count(0)
    await expect(ada.face(ben)).to_be_focused()
    # Everything that is tapped is large enough for a thumb, and nothing is wider than the phone.
    for person in (ada, ben):
        sizes = await person.page.get_by_role("button").evaluate_all(
            "(all) => all.map((one) => [one.clientWidth, one.clientHeight])"
        )
        assert all(width >= 44 and height >= 44 for width, height in sizes), sizes
    assert await ben.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
