"""WHEP: the rules of Millicast's reference, of the draft and its extensions (docs/protocol/whep.md)."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from rostra.config import Config, HttpConfig, SignallingConfig
from rostra.model.description import Direction
from rostra.model.media import BindSlot, EncodingReport, Kind, LayerChoice, Mid, TrackId, TransportId
from rostra.model.token import PublishToken, StreamPattern
from rostra.protocol import sdp
from rostra.server import resources
from rostra.server.outbox import Outbox
from rostra.server.resources import EventStream
from rostra.server.whep import Listening
from tests.server.harness import OFFERS, Server, configured, running
from tests.server.whip_client import FRAGMENT, ROLLED, SDP, WHEP_OFFER, fragment, patch, validation, whep

WAITING = configured(signalling=SignallingConfig(allow_offline_subscribe=True))


def links(reply: httpx.Response) -> dict[str, tuple[str, str]]:
    """Extensions by the last part of their name: path and attributes."""
    found = {}
    for text in reply.headers.get_list("link"):
        target, rel, rest = re.fullmatch(
            r'<(http[^>]*)>; rel="urn:ietf:params:whep:ext:core:([a-z-]+)"(.*)', text
        ).groups()  # type: ignore[union-attr]
        found[rel] = (target, rest)
    return found


async def viewer_of(server: Server, reply: httpx.Response) -> TransportId:
    assert reply.status_code == 201, reply.text
    return max(server.engine.transports())


@asynccontextmanager
async def events(server: Server, url: str) -> AsyncIterator[AsyncIterator[tuple[str, Any]]]:
    """Events as a browser reads them; comments are none."""

    async def read(lines: AsyncIterator[str]) -> AsyncIterator[tuple[str, Any]]:
        name = ""
        async for line in lines:
            field, _, value = line.partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                yield name, json.loads(value)

    async with server.client.stream("GET", url) as reply:
        assert reply.status_code == 200
        assert reply.headers["content-type"].startswith("text/event-stream")
        yield read(reply.aiter_lines())


def video_of(server: Server, transport: TransportId) -> TrackId:
    return next(one.track for one in server.engine.transport_spec(transport).receive if one.kind is Kind.VIDEO)


async def listened(server: Server, reply: httpx.Response, *names: str) -> str:
    """The URL of a stream of these events."""
    made = await server.client.post(links(reply)["server-sent-events"][0], json=list(names))
    assert (made.status_code, made.content) == (201, b"")
    return made.headers["location"]


# --- Sessions ---------------------------------------------------------------------------------------------------


async def test_an_offer_makes_a_session_that_shows_the_stream(server: Server) -> None:
    async with server.publisher() as publisher:
        reply = await whep(server)
        viewer = await viewer_of(server, reply)
        assert reply.headers["content-type"] == SDP
        assert re.fullmatch(r"/api/whep/resource/[A-Za-z0-9_-]{32}", reply.headers["location"])
        assert re.fullmatch(r'"[0-9a-f]{24}"', reply.headers["etag"])
        answer = sdp.parse(reply.text)
        assert {media.direction for media in answer.media} == {Direction.SENDONLY}
        assert all(media.rtcp_mux_only for media in answer.media)
        assert set(server.engine.slots(viewer).values()) == set(publisher.tracks)


@pytest.mark.parametrize("direction", ["recvonly", "sendrecv"])
async def test_both_directions_of_a_viewer_are_answered_with_sendonly(server: Server, direction: str) -> None:
    async with server.publisher():
        answer = sdp.parse((await whep(server, WHEP_OFFER.replace("a=recvonly", f"a={direction}"))).text)
        assert {media.direction for media in answer.media} == {Direction.SENDONLY}


async def test_both_orders_and_single_kinds_are_answered(server: Server) -> None:
    head, *sections = re.split(r"(?=^m=)", WHEP_OFFER, flags=re.MULTILINE)
    assert len(sections) == 2
    turned = head.replace("BUNDLE 0 1", "BUNDLE 1 0") + sections[1] + sections[0]
    sound = (OFFERS / "chromium-view-audio-only.sdp").read_text()
    async with server.publisher():
        for offer, kinds in ((turned, ["audio", "video"]), (sound, ["audio"])):
            answer = sdp.parse((await whep(server, offer)).text)
            assert [media.kind for media in answer.media] == kinds
            assert all(media.direction is Direction.SENDONLY for media in answer.media)


async def test_an_offline_stream_is_not_found(server: Server) -> None:
    for account, token in ((None, None), (None, server.subscribe_token), ("nobody", None)):
        reply = await whep(server, account=account, token=token)
        assert (reply.status_code, reply.text) == (409, "Stream not found")
        assert reply.headers["content-type"] == "text/plain; charset=utf-8"


async def test_viewers_may_wait_where_that_is_allowed(tmp_path: Path) -> None:
    async with running(tmp_path, WAITING) as server:
        viewer = await viewer_of(server, await whep(server))
        async with server.publisher() as publisher:
            assert set(server.engine.slots(viewer).values()) == set(publisher.tracks)


async def test_a_source_that_is_named_is_the_one_that_is_shown(server: Server) -> None:
    async with server.publisher(), server.publisher(sourceId="cam") as cam:
        viewer = await viewer_of(server, await whep(server, query="?sourceId=cam"))
        assert set(server.engine.slots(viewer).values()) == set(cam.tracks)
        reply = await whep(server, query="?sourceId=other")
        assert (reply.status_code, reply.text) == (409, "Stream not found")


async def test_without_a_name_it_is_the_main_source_and_else_the_one_that_is_live_longest(server: Server) -> None:
    async with server.publisher(sourceId="first") as first, server.publisher(sourceId="second"):
        viewer = await viewer_of(server, await whep(server))
        assert set(server.engine.slots(viewer).values()) == set(first.tracks)
        async with server.publisher() as main:
            viewer = await viewer_of(server, await whep(server))
            assert set(server.engine.slots(viewer).values()) == set(main.tracks)


async def test_without_a_name_it_comes_to_the_main_source_when_that_is_live(server: Server) -> None:
    """Of the reference: what is named by nobody is the main source; another one is better than nothing until then."""
    async with server.publisher(sourceId="cam") as cam:
        unnamed = await viewer_of(server, await whep(server))
        named = await viewer_of(server, await whep(server, query="?sourceId=cam"))
        async with server.publisher() as main:
            assert set(server.engine.slots(unnamed).values()) == set(main.tracks)
            assert set(server.engine.slots(named).values()) == set(cam.tracks)


async def test_a_publisher_that_never_connects_hides_nothing(server: Server) -> None:
    async with server.publisher(sourceId="cam") as cam, server.socket("publish") as socket:
        await server.published(socket)
        viewer = await viewer_of(server, await whep(server))
        assert set(server.engine.slots(viewer).values()) == set(cam.tracks)


async def test_a_stream_that_needs_a_token_is_closed_to_the_public(server: Server) -> None:
    private = PublishToken(server.account.id, "q" * 64, "", (StreamPattern("demo"),), subscribe_requires_auth=True)
    await server.store.add_publish_token(private)
    async with replace(server, publish_token=private.value).publisher():
        for token in (None, "0" * 64, private.value):
            reply = await whep(server, token=token)
            assert (reply.status_code, reply.headers["www-authenticate"]) == (401, "Bearer")
            assert reply.text.startswith("Unauthorized")
        assert (await whep(server, token=server.subscribe_token)).status_code == 201
        other = await whep(server, account="other1", token=server.subscribe_token)
        assert (other.status_code, other.text) == (401, "Unauthorized")


async def test_a_viewer_counts(server: Server) -> None:
    async with server.socket("publish") as socket:
        publisher = await server.published(socket, events=["active", "inactive", "viewercount"])
        await server.start(publisher)
        reply = await whep(server)
        assert (await socket.event("viewercount"))["viewercount"] == 1
        assert (await server.client.delete(reply.headers["location"])).status_code == 200
        assert (await socket.event("viewercount"))["viewercount"] == 0


async def test_the_endpoint_says_what_it_is(server: Server) -> None:
    """Of the draft: HEAD tells players that a URL is one for WHEP; a preflight needs no token."""
    url = f"/api/whep/{server.account.id}/demo"
    for method in ("GET", "HEAD"):
        reply = await server.client.request(method, url)
        assert (reply.status_code, reply.content, reply.headers["content-type"]) == (200, b"", SDP)
    preflight = await server.client.options(url)
    assert (preflight.status_code, preflight.headers["accept-post"]) == (200, SDP)
    assert (await server.client.put(url)).headers["allow"] == "GET, HEAD, POST, OPTIONS"


async def test_a_session_follows_the_rules_of_whip(server: Server) -> None:
    async with server.publisher():
        made = await whep(server)
        location, etag = made.headers["location"], made.headers["etag"]
        viewer = await viewer_of(server, made)
        assert (await patch(server, location, etag=etag)).status_code == 204
        assert (await patch(server, location, fragment())).status_code == 204, "candidates change nothing"
        assert (await patch(server, location, fragment(ROLLED))).status_code == 428, "a restart does"
        assert (await patch(server, location, etag='"old"')).status_code == 412
        assert (await patch(server, location, etag=etag, content_type=SDP)).status_code == 415
        restarted = await patch(server, location, fragment(ROLLED), etag="*")
        assert (restarted.status_code, restarted.headers["content-type"]) == (200, FRAGMENT)
        server.engine.check(viewer)
        assert server.engine.transport_spec(viewer).remote_ufrag == "fresh"
        assert (await server.client.get(location)).status_code == 204
        assert (await server.client.delete(location, headers={"If-Match": '"old"'})).status_code == 200
        assert (await server.client.delete(location)).status_code == 404


async def test_a_session_of_one_door_does_not_exist_at_the_other(server: Server) -> None:
    async with server.publisher():
        location = (await whep(server)).headers["location"]
        assert (await server.client.delete(location.replace("whep", "whip"))).status_code == 404
        assert (await server.client.delete(location)).status_code == 200


async def test_an_offer_that_receives_nothing_and_a_bad_source_are_refused(server: Server) -> None:
    async with server.publisher():
        (line,) = validation(await whep(server, WHEP_OFFER.replace("a=recvonly", "a=sendonly")))
        assert "receives" in line
        (line,) = validation(await whep(server, query="?sourceId=%00"))
        assert line.startswith("sourceId: ")


# --- Extensions -------------------------------------------------------------------------------------------------


async def test_extensions_are_announced_with_absolute_urls(tmp_path: Path) -> None:
    config = Config(dev=True, http=HttpConfig(trusted_proxies=("127.0.0.1",)))
    async with running(tmp_path, config) as server, server.publisher():
        proxied = {"X-Forwarded-Host": "live.example.org", "X-Forwarded-Proto": "https"}
        for headers, base in (({}, server.http), (proxied, "https://live.example.org")):
            reply = await whep(server, headers=headers)
            below = base + reply.headers["location"]
            assert links(reply) == {
                "server-sent-events": (f"{below}/sse", '; events="active,inactive,layers,viewercount"'),
                "layer": (f"{below}/layer", ""),
            }


async def test_a_page_hears_what_there_is_and_then_what_changes(server: Server) -> None:
    async with server.publisher() as publisher:
        reply = await whep(server)
        async with events(server, await listened(server, reply, "active", "inactive", "viewercount")) as told:
            name, data = await anext(told)
            assert (name, data["streamId"], data["sourceId"]) == ("active", f"{server.account.id}/demo", None)
            assert await anext(told) == ("viewercount", {"viewercount": 1})
            async with server.publisher(sourceId="cam"):
                assert (await anext(told))[1]["sourceId"] == "cam"
            name, data = await anext(told)
            assert (name, data["sourceId"]) == ("inactive", "cam")
            await server.client.delete(reply.headers["location"])
            assert [one async for one in told] == []
        assert publisher.transport in server.engine.transports()


async def test_there_is_no_initial_inactive(tmp_path: Path) -> None:
    async with running(tmp_path, WAITING) as server:
        reply = await whep(server)
        async with events(server, await listened(server, reply, "active", "inactive")) as told:
            async with server.publisher():
                assert (await anext(told))[0] == "active"
            assert (await anext(told))[0] == "inactive"


async def test_only_events_that_were_asked_for_are_heard(server: Server) -> None:
    async with server.publisher():
        reply = await whep(server)
        async with events(server, await listened(server, reply, "inactive")) as told:
            async with server.publisher(sourceId="cam"):
                pass
            assert (await anext(told))[0] == "inactive"


async def test_events_wait_for_their_reader(server: Server) -> None:
    """Of the draft: what happens before the stream is opened, or between two readers, is enqueued."""
    async with server.publisher():
        reply = await whep(server)
        url = await listened(server, reply, "active", "inactive")
        for _ in range(2):
            async with server.publisher(sourceId="cam"):
                pass
            await server.until(lambda: len(server.engine.transports()) == 2)
        async with events(server, url) as told:
            heard = [(name, data["sourceId"]) for name, data in [await anext(told) for _ in range(5)]]
        assert heard == [("active", None), *[("active", "cam"), ("inactive", "cam")] * 2]


async def test_layers_are_by_place_of_the_m_line_and_below_medias(server: Server) -> None:
    """Both shapes: the draft's, and the one that its best known client reads."""
    head, *sections = re.split(r"(?=^m=)", WHEP_OFFER, flags=re.MULTILINE)
    renamed = (head + sections[1] + sections[0]).replace("BUNDLE 0 1", "BUNDLE snd pic")
    renamed = renamed.replace("a=mid:0", "a=mid:pic").replace("a=mid:1", "a=mid:snd")
    async with server.publisher() as publisher:
        reply = await whep(server, renamed)
        async with events(server, await listened(server, reply, "layers")) as told:
            video = video_of(server, publisher.transport)
            server.engine.flow(video, EncodingReport(active=True, bitrate_bps=1000, width=320, height=180))
            name, data = await anext(told)
        assert name == "layers"
        assert set(data) == {"medias", "1"}
        assert data["medias"] == {"1": data["1"]}
        assert data["1"]["active"][0]["width"] == 320


async def test_the_url_of_a_stream_of_events_needs_no_token(server: Server) -> None:
    """A browser's reader cannot send one; the URL has 192 bits of its own."""
    async with server.publisher():
        reply = await whep(server, token=server.subscribe_token)
        target = links(reply)["server-sent-events"][0]
        bearer = {"Authorization": f"Bearer {server.subscribe_token}"}
        made = await server.client.post(target, json=["active"], headers=bearer)
        assert re.fullmatch(r".*/sse/[A-Za-z0-9_-]{32}", made.headers["location"])
        async with events(server, made.headers["location"]) as told:
            assert (await anext(told))[0] == "active"


async def test_a_deleted_stream_of_events_ends_and_is_gone(server: Server) -> None:
    async with server.publisher():
        url = await listened(server, await whep(server), "active")
        async with events(server, url) as told:
            await anext(told)
            assert (await server.client.delete(url)).status_code == 200
            assert [one async for one in told] == []
        assert (await server.client.get(url)).status_code == 404
        assert (await server.client.delete(url)).status_code == 404


async def test_the_newest_reader_takes_the_place_of_an_older_one(server: Server) -> None:
    async with server.publisher():
        url = await listened(server, await whep(server), "active")
        async with events(server, url) as old:
            await anext(old)
            async with events(server, url) as new:
                assert [one async for one in old] == []
                async with server.publisher(sourceId="cam"):
                    assert (await anext(new))[1]["sourceId"] == "cam"


@pytest.mark.parametrize("body", ['["scte35"]', '["active", "ACTIVE"]', '"active"', "{", "[1]", "null"])
async def test_unknown_events_make_no_stream(server: Server, body: str) -> None:
    async with server.publisher():
        target = links(await whep(server))["server-sent-events"][0]
        reply = await server.client.post(target, content=body, headers={"Content-Type": "application/json"})
        validation(reply)
        assert (await server.client.get(target)).status_code == 405


async def test_event_streams_that_nobody_reads_make_room_for_new_ones(server: Server) -> None:
    async with server.publisher():
        reply = await whep(server)
        urls = [await listened(server, reply, "active") for _ in range(6)]
        found = [(await server.client.options(url)).status_code for url in urls]
        assert found == [200] * 6
        assert [(await server.client.delete(url)).status_code for url in urls] == [404, 404, 200, 200, 200, 200]


async def chosen(server: Server, target: str, wish: object | None, viewer: TransportId) -> LayerChoice:
    reply = await (server.client.delete(target) if wish is None else server.client.post(target, json=wish))
    assert (reply.status_code, reply.content) == (200, b"")
    return server.engine.choice(viewer, Mid("0"))


async def test_a_layer_can_be_chosen_and_given_back(server: Server) -> None:
    async with server.publisher():
        reply = await whep(server)
        viewer, target = await viewer_of(server, reply), links(reply)["layer"][0]
        layer = {"encodingId": "0", "maxTemporalLayerId": 1, "mediaId": "0", "width": 320}
        assert await chosen(server, target, layer, viewer) == LayerChoice(encoding=0, max_temporal=1)
        assert await chosen(server, target, {}, viewer) == LayerChoice()
        assert await chosen(server, target, {"rid": "0", "mediaId": 0}, viewer) == LayerChoice(encoding=0)
        assert await chosen(server, target, None, viewer) == LayerChoice()


@pytest.mark.parametrize("body", ['{"mediaId": "1"}', '{"mediaId": [1]}', '{"spatialLayerId": -1}', "[]", "", '"x"'])
async def test_a_layer_that_cannot_be_is_refused(server: Server, body: str) -> None:
    async with server.publisher():
        target = links(await whep(server))["layer"][0]
        bound = [command for command in server.engine.commands if isinstance(command, BindSlot)]
        reply = await server.client.post(target, content=body, headers={"Content-Type": "application/json"})
        (line,) = validation(reply)
        assert line.startswith("body: Invalid layer")
        assert bound == [command for command in server.engine.commands if isinstance(command, BindSlot)]


async def test_layers_and_event_streams_change_at_a_measured_rate(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "CHANGES", (3, 0.0))
    async with server.publisher():
        reply = await whep(server)
        viewer, below = await viewer_of(server, reply), links(reply)
        assert await chosen(server, below["layer"][0], {"encodingId": "0"}, viewer) == LayerChoice(encoding=0)
        assert await chosen(server, below["layer"][0], None, viewer) == LayerChoice()
        await listened(server, reply, "layers")
        for refused in (
            await server.client.post(below["layer"][0], json={"encodingId": "0"}),
            await server.client.delete(below["layer"][0]),
            await server.client.post(below["server-sent-events"][0], json=["layers"]),
        ):
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert server.engine.choice(viewer, Mid("0")) == LayerChoice()


async def test_sound_has_no_layers(server: Server) -> None:
    async with server.publisher():
        reply = await whep(server, (OFFERS / "chromium-view-audio-only.sdp").read_text())
        refused = await server.client.post(links(reply)["layer"][0], json={})
        assert (refused.status_code, refused.text) == (400, "No video was negotiated")


async def test_extensions_answer_preflights_and_name_their_methods(server: Server) -> None:
    async with server.publisher():
        reply = await whep(server)
        url = await listened(server, reply, "active")
        for target, methods in (
            (links(reply)["server-sent-events"][0], "POST, OPTIONS"),
            (links(reply)["layer"][0], "POST, DELETE, OPTIONS"),
            (url, "GET, DELETE, OPTIONS"),
        ):
            assert (await server.client.options(target)).status_code == 200
            assert (await server.client.put(target)).headers["allow"] == methods


async def test_a_reader_that_does_not_read_costs_what_fits_in_its_outbox(server: Server) -> None:
    """It loses the stream, and nothing else happens."""
    async with server.publisher():
        reply = await whep(server)
        url = await listened(server, reply, "active", "inactive")
        for _ in range(60):
            async with server.socket("publish") as socket:  # one alone would be over its budget
                for _ in range(5):
                    await server.start(await server.published(socket, sourceId="cam"))
                    await socket.command("unpublish")
        assert (await server.client.get(url)).status_code == 404
        assert (await server.client.get(reply.headers["location"])).status_code == 204


async def test_a_reply_begins_before_it_ends() -> None:
    """Whatever happens while the connection takes nothing: a stream that is over is an empty reply."""
    sent: list[str] = []
    gate = asyncio.Event()
    outbox = Outbox()
    outbox.overflowed.set()

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            await gate.wait()
        sent.append(message["type"])

    reply = asyncio.create_task(Listening(EventStream("x", frozenset(), outbox))({"type": "http"}, receive, send))
    for _ in range(20):
        await asyncio.sleep(0)
    gate.set()
    await reply
    assert sent[0] == "http.response.start"


async def test_everybody_hears_of_whep_viewers(server: Server) -> None:
    async with server.publisher(), server.socket("subscribe") as socket:
        await server.viewed(socket)
        await whep(server)
        while (await socket.event("viewercount"))["viewercount"] != 2:
            pass


async def test_a_session_whose_transport_has_ended_can_still_be_deleted(server: Server) -> None:
    """Clients close their peer connection first, and say good-bye then."""
    async with server.publisher():
        made = await whep(server)
        location = made.headers["location"]
        events = await server.client.post(f"{location}/sse", json=["active"])
        server.engine.drop(await viewer_of(server, made))
        await server.until(lambda: not server.engine.has_news)
        assert (await server.client.get(events.headers["location"])).status_code == 204, "the reader stays away"
        assert (await server.client.get(location)).status_code == 404
        assert (await server.client.delete(location)).status_code == 200
        assert (await server.client.delete(location)).status_code == 404
