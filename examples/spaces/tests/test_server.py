"""Pages at a running server: what is told to whom, what the server refuses, and what it does to the media."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from spaces_site import Page, Site, serving
from starlette.websockets import WebSocket
from websockets.exceptions import ConnectionClosed, InvalidStatus

from spaces.director import Director
from spaces.gate import TICKET_S, NotAllowed, bound
from spaces.messages import RoomId, UserId
from spaces.server import Server, _Socket


async def talk(site: Site, *names: str) -> tuple[str, list[Page]]:
    """A room of the first of these people, with all of them in it."""
    pages = [await site.enter(name) for name in names]
    room: str = await pages[0].ask("create-room", name="Talk")
    for page in pages:
        await page.ask("join-room", roomId=room)
    return room, pages


async def test_who_comes_in_learns_of_rooms_and_people(site: Site) -> None:
    room, (ada, ben) = await talk(site, "Ada", "Ben")
    welcome = await (await site.open()).enter("Cleo")
    assert welcome["user"]["username"] == "Cleo"
    (shown,) = welcome["rooms"]
    assert shown["id"] == room
    assert shown["ownerId"] == ada.id
    assert [one["username"] for one in shown["participants"]] == ["Ada", "Ben"]
    assert shown["speakers"] == [ada.id]
    assert (await ada.event("user-joined"))["user"]["id"] == ada.id
    assert (await ada.event("user-joined"))["user"] == {"id": ben.id, "username": "Ben"}


async def test_nothing_is_done_for_nobody(site: Site) -> None:
    page = await site.open()
    assert await page.refused("create-room", name="Talk") == ("Not authenticated", 401)
    assert await page.refused("authenticate", username=" ") == ("A name has 1 to 32 letters. Enter one.", 400)
    await page.enter("Ada")
    assert await page.refused("authenticate", username="Other") == ("Already authenticated", 400)
    assert await page.refused("resume", userId=page.id, secret=page.secret) == ("Already authenticated", 400)


async def test_bad_messages_are_answered_and_harm_nobody(site: Site) -> None:
    page = await site.enter("Ada")
    await page.connection.send("{}")
    assert (await page.receive())["error"].startswith("Not a command")
    await page.connection.send(b"\xff")
    assert (await page.receive())["error"].startswith("Not a command")
    await page.connection.send("x" * 5000)
    assert (await page.receive())["error"] == "Message too long"
    await page.ask("create-room", name="Talk")


async def test_a_listener_gets_no_publish_token_and_a_stranger_none_at_all(site: Site) -> None:
    room, (_, ben) = await talk(site, "Ada", "Ben")
    cleo = await site.enter("Cleo")
    asked = len(site.rostra.asked)
    assert await ben.refused("publisher-token", roomId=room) == ("participant is not a speaker", 403)
    assert await cleo.refused("publisher-token", roomId=room) == ("participant does not exist in room", 403)
    assert await cleo.refused("viewer-token", roomId=room) == ("participant does not exist in room", 403)
    assert len(site.rostra.asked) == asked


async def test_tokens_come_with_joining_and_anew_whenever_they_are_asked_for(site: Site) -> None:
    ada = await site.enter("Ada")
    room = await ada.ask("create-room", name="Talk")
    tokens = await ada.ask("join-room", roomId=room)
    assert tokens["viewerToken"]["urls"] == ["gate/view"]
    assert tokens["publisherToken"]["urls"] == ["gate/publish"]
    again = await ada.ask("publisher-token", roomId=room)
    assert again["jwt"] != tokens["publisherToken"]["jwt"]
    assert site.rostra.asked[-1] == ("publish", room, "Bearer publishing")
    assert ("subscribe", room, "Bearer subscribing") in site.rostra.asked
    ben = await site.enter("Ben")
    assert "publisherToken" not in await ben.ask("join-room", roomId=room)


async def test_a_director_that_refuses_is_told_with_its_status(site: Site) -> None:
    room, (ada, ben) = await talk(site, "Ada", "Ben")
    site.rostra.refusal = (400, "stream not being published")
    assert await ben.refused("viewer-token", roomId=room) == ("stream not being published", 400)
    await ben.ask("leave-room", roomId=room)
    joined = await ben.ask("join-room", roomId=room)
    assert joined.keys() == {"room"}
    assert [one["id"] for one in joined["room"]["participants"]] == [ada.id, ben.id]
    site.rostra.refusal = (401, "Unauthorized: Invalid token")
    assert await ada.refused("publisher-token", roomId=room) == ("Unauthorized: Invalid token", 401)


async def test_a_token_is_not_given_to_who_was_demoted_meanwhile(site: Site) -> None:
    room, (ada, ben) = await talk(site, "Ada", "Ben")
    await ben.ask("raise-hand", roomId=room, raised=True)
    await ada.ask("promote-user", roomId=room, userId=ben.id, promoted=True)
    site.rostra.before_answer.clear()
    site.rostra.was_asked.clear()
    asking = asyncio.create_task(ben.refused("publisher-token", roomId=room))
    await site.rostra.was_asked.wait()
    await ada.ask("promote-user", roomId=room, userId=ben.id, promoted=False)
    site.rostra.before_answer.set()
    assert await asking == ("participant is not a speaker", 403)


async def test_the_page_publishes_as_nobody_else(site: Site) -> None:
    room, (ada, _) = await talk(site, "Ada", "Ben")
    through = await site.through(await ada.ask("publisher-token", roomId=room))
    assert await site.rostra.next() == ("publish", f"jwt-{len(site.rostra.asked)}")
    wrong = {"sdp": "v=0", "sourceId": "somebody else", "name": "elsewhere", "priority": 9, "record": True}
    await through.send(json.dumps({"type": "cmd", "transId": 0, "name": "publish", "data": wrong}))
    assert (await site.rostra.next())["data"] == {"sdp": "v=0", "sourceId": ada.id, "name": room}
    assert json.loads(await through.recv()) == {"type": "response", "transId": 0}
    await through.send(json.dumps({"type": "cmd", "transId": 1, "name": "record"}))
    assert json.loads(await through.recv()) == {"type": "error", "transId": 1, "data": "Not for speakers: record"}
    await through.send(b"\xff")
    assert json.loads(await through.recv()) == {"type": "error", "transId": None, "data": "Not a command"}
    await site.rostra.sockets[-1].send_text("an event")
    assert await through.recv() == "an event"


async def test_a_view_passes_as_it_is(site: Site) -> None:
    room, (_, ben) = await talk(site, "Ada", "Ben")
    through = await site.through(await ben.ask("viewer-token", roomId=room))
    assert (await site.rostra.next())[0] == "subscribe"
    command = {"type": "cmd", "transId": 0, "name": "view", "data": {"excludedSourceIds": [ben.id]}}
    await through.send(json.dumps(command))
    assert await site.rostra.next() == command


async def test_a_token_opens_one_connection_through_its_own_door_for_a_while(site: Site) -> None:
    room, (ada, _) = await talk(site, "Ada", "Ben")

    async def is_refused(token: dict[str, object]) -> bool:
        with pytest.raises(InvalidStatus) as caught:
            await site.through(token)
        return caught.value.response.status_code == 401

    first = await ada.ask("publisher-token", roomId=room)
    token = await ada.ask("publisher-token", roomId=room)
    assert await is_refused(first)
    assert await is_refused(token | {"urls": ["gate/view"]})
    assert await is_refused(token | {"jwt": token["jwt"][:-4] + "AAAA"})
    assert await is_refused(token | {"jwt": ""})
    await site.through(token)
    assert await is_refused(token)
    late = await ada.ask("publisher-token", roomId=room)
    site.clock[0] += TICKET_S
    assert await is_refused(late)


async def test_demotion_ends_the_feed_at_the_media_server(site: Site) -> None:
    room, (ada, ben) = await talk(site, "Ada", "Ben")
    await ben.ask("raise-hand", roomId=room, raised=True)
    await ada.ask("promote-user", roomId=room, userId=ben.id, promoted=True)
    await ben.event("promoted")
    through = await site.through(await ben.ask("publisher-token", roomId=room))
    await site.rostra.next()
    unused = await ben.ask("publisher-token", roomId=room)
    await ada.ask("promote-user", roomId=room, userId=ben.id, promoted=False)
    # In order: that is what ends a feed at once.
    assert await site.rostra.next() == 1000
    with pytest.raises(ConnectionClosed):
        await through.recv()
    assert through.close_code == 1000
    assert await ben.event("demoted") == {"roomId": room}
    with pytest.raises(InvalidStatus):
        await site.through(unused)


async def test_a_host_that_leaves_with_its_media_open_is_no_error(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(10):
        host = await site.enter(f"Host {number}")
        room = await host.ask("create-room", name="Talk", audioOnly=True)
        joined = await host.ask("join-room", roomId=room)
        media = [await site.through(joined[f"{door}Token"]) for door in ("viewer", "publisher")]
        # As the page does it: media and room at once, so that both sides close the same sockets.
        await host.connection.send(json.dumps({"id": 99, "do": "leave-room", "roomId": room}))
        await asyncio.gather(*(one.close() for one in media))
        await host.connection.close()
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_who_is_sent_out_neither_sends_nor_receives(site: Site) -> None:
    room, (ada, ben) = await talk(site, "Ada", "Ben")
    await site.through(await ben.ask("viewer-token", roomId=room))
    await site.rostra.next()
    await ada.ask("kick-user", roomId=room, userId=ben.id)
    assert await site.rostra.next() == 1000
    assert await ben.event("kicked") == {"roomId": room}
    assert await ada.event("user-left") == {"roomId": room, "userId": ben.id}


async def test_a_page_that_breaks_takes_its_feed_along(site: Site) -> None:
    room, (ada, _) = await talk(site, "Ada", "Ben")
    through = await site.through(await ada.ask("publisher-token", roomId=room))
    await site.rostra.next()
    # Otherwise a speaker could shed the one handle by which its feed can be ended.
    through.transport.abort()
    assert await site.rostra.next() == 1000


async def test_the_newest_connection_of_a_person_is_the_one(site: Site) -> None:
    room, (ada, _) = await talk(site, "Ada", "Ben")
    first = await site.through(await ada.ask("publisher-token", roomId=room))
    await site.rostra.next()
    await site.through(await ada.ask("publisher-token", roomId=room))
    assert {type(await site.rostra.next()), type(await site.rostra.next())} == {tuple, int}
    await first.wait_closed()
    assert first.close_code == 1000


async def test_the_page_learns_how_the_media_server_ended_it(site: Site) -> None:
    room, (ada, _) = await talk(site, "Ada", "Ben")
    through = await site.through(await ada.ask("publisher-token", roomId=room))
    await site.rostra.next()
    await site.rostra.sockets[-1].close(1001)
    await through.wait_closed()
    assert through.close_code == 1001
    assert await site.rostra.next() == 1001
    through = await site.through(await ada.ask("publisher-token", roomId=room))
    await site.rostra.next()
    await site.rostra.sockets[-1].close(1011)
    await through.wait_closed()
    # Broken for the page too: its client makes a new connection then, and only then.
    assert through.close_code == 1006


async def test_a_media_server_that_does_not_open_is_a_broken_connection(site: Site) -> None:
    room, (ada, _) = await talk(site, "Ada", "Ben")
    site.rostra.http = "http://127.0.0.1:1"
    through = await site.through(await ada.ask("publisher-token", roomId=room))
    await through.wait_closed()
    assert through.close_code == 1006


async def test_a_director_that_is_not_there_is_said_so(site: Site) -> None:
    room, (ada, _) = await talk(site, "Ada", "Ben")
    await site.rostra_serves.aclose()
    assert await ada.refused("publisher-token", roomId=room) == ("The media server cannot be reached", 503)


async def test_a_lost_page_is_away_and_comes_back_by_its_secret(site: Site) -> None:
    room, (ada, ben) = await talk(site, "Ada", "Ben")
    ada.connection.transport.abort()
    assert await ben.event("user-away") == {"roomId": room, "userId": ada.id, "away": True}
    back = await site.open()
    assert await back.refused("resume", userId=ada.id, secret="wrong") == ("Not authenticated", 401)
    welcome = await back.ask("resume", userId=ada.id, secret=ada.secret)
    assert welcome["user"] == {"id": ada.id, "username": "Ada"}
    assert welcome["rooms"][0]["speakers"] == [ada.id]
    assert await ben.event("user-away") == {"roomId": room, "userId": ada.id, "away": False}
    await back.ask("promote-user", roomId=room, userId=ben.id, promoted=True)


async def test_a_second_tab_takes_the_place_of_the_first(site: Site) -> None:
    room, (ada, ben) = await talk(site, "Ada", "Ben")
    second = await site.open()
    await second.ask("resume", userId=ada.id, secret=ada.secret)
    assert await ada.closed() == 4000
    await ben.ask("raise-hand", roomId=room, raised=True)
    for promoted in (True, False):
        await second.ask("promote-user", roomId=room, userId=ben.id, promoted=promoted)
        assert (await second.event("user-promoted"))["promoted"] is promoted
    assert "user-away" not in [event["event"] for event in ben.events]


async def test_who_signs_out_may_be_somebody_else(site: Site) -> None:
    room, (_, ben) = await talk(site, "Ada", "Ben")
    await ben.ask("sign-out")
    assert await ben.refused("leave-room", roomId=room) == ("Not authenticated", 401)
    await ben.enter("Ben")
    await ben.ask("join-room", roomId=room)


async def test_every_event_reaches_those_whom_it_is_for(site: Site) -> None:
    room, (ada, ben) = await talk(site, "Ada", "Ben")
    cleo = await site.enter("Cleo")
    await ben.ask("raise-hand", roomId=room, raised=True)
    assert await ada.event("user-raised-hand") == {"roomId": room, "userId": ben.id, "raised": True}
    await ada.ask("promote-user", roomId=room, userId=ben.id, promoted=True)
    assert await ben.event("promoted") == {"roomId": room}
    assert await cleo.event("user-promoted") == {"roomId": room, "userId": ben.id, "promoted": True}
    await ada.ask("mute-speaker", roomId=room, userId=ben.id)
    assert await ben.event("muted") == {"roomId": room}
    assert await ben.event("user-muted") == {"roomId": room, "userId": ben.id, "muted": True}
    await ben.ask("mute", roomId=room, muted=False)
    for _ in range(2):
        heard = await ada.event("user-muted")
    assert heard == {"roomId": room, "userId": ben.id, "muted": False}
    await ada.ask("leave-room", roomId=room)
    await ben.ask("leave-room", roomId=room)
    assert await cleo.event("room-deleted") == {"roomId": room}
    other = await cleo.ask("create-room", name="Other", audioOnly=True)
    assert (await ada.event("room-created"))["room"]["id"] != other
    assert (await ada.event("room-created"))["room"]["audioOnly"] is True
    # What is the room's business was not told to who is elsewhere.
    assert {event["event"] for event in cleo.events} <= {"user-promoted", "user-left", "room-created"}


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("{", {"transId": None, "data": "Not a command"}),
        ("[1]", {"transId": None, "data": "Not a command"}),
        ('{"transId": 2, "name": "view"}', {"transId": 2, "data": "Not for speakers: view"}),
        ('{"transId": 3, "name": ["publish"], "data": {}}', {"transId": 3, "data": "Not for speakers: ['publish']"}),
        ('{"transId": 4, "name": "publish", "data": "v=0"}', {"transId": 4, "data": "Not a command"}),
    ],
)
def test_a_speaker_sends_nothing_but_its_feed(text: str, answer: dict[str, object]) -> None:
    with pytest.raises(NotAllowed) as caught:
        bound(text, UserId("u"), RoomId("r"))
    assert json.loads(caught.value.answer) == {"type": "error", **answer}


async def test_the_page_is_served_with_headers_that_keep_others_out(tmp_path: Path) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<p>page")
    (tmp_path / "assets" / "index-1a2b.js").write_text("1")
    director = Director("http://127.0.0.1:1", publish_token="p", subscribe_token="s")
    async with (
        serving(Server(director, static=tmp_path).app()) as http,
        httpx.AsyncClient(base_url=http, trust_env=False) as client,
    ):
        page = await client.get("/")
        assert page.text == "<p>page"
        assert page.headers["cache-control"] == "no-cache"
        assert "default-src 'self'" in page.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
        asset = await client.get("/assets/index-1a2b.js")
        assert "immutable" in asset.headers["cache-control"]
        assert (await client.get("/healthz")).text == "ok"
        assert (await client.get("/missing")).status_code == 404


async def test_a_page_that_reads_too_slowly_is_cut_off_after_what_it_has_coming() -> None:
    sent: list[Any] = []
    reads = asyncio.Event()

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        await reads.wait()
        sent.append(message)

    websocket = WebSocket({"type": "websocket", "headers": []}, receive, send)
    reads.set()
    await websocket.accept()
    reads.clear()
    socket = _Socket(websocket)
    for number in range(1000):
        socket.post(str(number))
    reads.set()
    await socket.write()
    texts = [message["text"] for message in sent if message["type"] == "websocket.send"]
    assert texts == [str(number) for number in range(256)]
    assert sent[-1] == {"type": "websocket.close", "code": 1013, "reason": ""}
