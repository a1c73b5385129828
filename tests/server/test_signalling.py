"""The signalling sockets."""

import asyncio
import base64
import json
import os
import socket
import struct
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from rostra.config import SignallingConfig
from rostra.model.media import (
    AddVoice,
    BandwidthSpec,
    CloseReason,
    Codec,
    EncodingReport,
    Kind,
    LayerChoice,
    Mid,
    PlayoutDelay,
    Priority,
    Speaker,
    Strategy,
    TrackId,
    TransportId,
)
from rostra.protocol import sdp
from tests.server.harness import (
    ALL,
    LISTEN_OFFER,
    PUBLISH_OFFER,
    VIEW_OFFER,
    Publisher,
    Server,
    Socket,
    configured,
    running,
)


async def test_publish_is_answered_with_the_codec_that_was_asked_for(server: Server) -> None:
    async with server.socket("publish") as publisher:
        answer = await publisher.command("publish", sdp=PUBLISH_OFFER, codec="vp9", name="ignored")
        data = answer["data"]
        assert set(data) == {"sdp", "publisherId", "clusterId", "feedId", "streamId"}
        assert (data["clusterId"], data["streamId"]) == ("local", f"{server.account.id}/demo")
        answered = sdp.parse(data["sdp"])
        names = {one.name for media in answered.media for one in media.rtpmaps if media.kind == "video"}
        assert names == {"VP9", "rtx"}
        (transport,) = server.engine.transports()
        specs = server.engine.transport_spec(transport).receive
        assert {codec.codec for spec in specs for codec in spec.codecs} == {Codec.VP9, Codec.OPUS}


async def test_view_is_answered_then_told_what_is_live_the_main_source_first(server: Server) -> None:
    async with server.publisher(sourceId="cam"), server.publisher() as main, server.socket("subscribe") as viewer:
        answer = await viewer.command("view", sdp=VIEW_OFFER, streamId="demo", events=ALL)
        assert set(answer["data"]) == {"sdp", "subscriberId", "clusterId", "streamViewId", "streamId"}
        assert viewer.events == []
        first, second = await viewer.event("active"), await viewer.event("active")
        assert first == {
            "streamId": f"{server.account.id}/demo",
            "sourceId": None,
            "tracks": [{"trackId": "audio", "media": "audio"}, {"trackId": "video", "media": "video"}],
        }
        assert second["sourceId"] == "cam"
        (transport,) = server.engine.transports() - {main.transport} - publishers(server)
        assert set(server.engine.slots(transport).values()) == set(main.tracks)


def publishers(server: Server) -> set[object]:
    return {one for one in server.engine.transports() if server.engine.transport_spec(one).receive}


async def test_a_source_is_projected_onto_a_line_that_no_offer_had(server: Server) -> None:
    async with server.publisher(), server.publisher(sourceId="cam") as cam, server.socket("subscribe") as viewer:
        transport = await server.viewed(viewer)
        layer = {"encodingId": "0", "simulcastIdx": 0, "spatialLayerId": 255, "temporalLayerId": 255, "bitrate": 1}
        mapping = [{"media": "video", "mediaId": 2, "trackId": "gone", "layer": layer, "promote": True}]
        answer = await viewer.command("project", sourceId="cam", mapping=mapping)
        assert answer == {"type": "response", "transId": 1}
        video = next(t for t in cam.tracks if t == server.engine.slots(transport)[Mid("2")])
        assert video in cam.tracks
        assert server.engine.choice(transport, Mid("2")) == LayerChoice(encoding=0)
        assert server.engine.priority(transport, Mid("2")) is Priority.PROMOTED
        assert await viewer.command("unproject", mediaIds=["2", None, 17, "0"]) == {"type": "response", "transId": 2}
        assert server.engine.slots(transport)[Mid("2")] is None


async def test_a_layer_is_chosen_with_the_view_and_by_select(server: Server) -> None:
    async with server.publisher() as main, server.socket("subscribe") as viewer:
        transport = await server.viewed(
            viewer,
            layer={"maxHeight": 360},
            abr={"strategy": "quality", "initialBitrate": 1_000_000},
            customKeys={"maxBitrate": 2_000_000},
            forcePlayoutDelay={"min": 0, "max": 400},
        )
        spec = server.engine.transport_spec(transport)
        assert spec.bandwidth == BandwidthSpec(1_000_000, 2_000_000, Strategy.QUALITY)
        assert spec.playout_delay == PlayoutDelay(0, 400)
        mid = next(mid for mid, track in server.engine.slots(transport).items() if track in main.tracks)
        mids = [slot.mid for slot in spec.slots if slot.kind is Kind.VIDEO]
        assert mid in mids
        assert server.engine.choice(transport, mid) == LayerChoice(max_height=360)
        chosen = await viewer.command("select", layer={"encodingId": "0", "temporalLayerId": "1", "more": []})
        assert chosen == {"type": "response", "transId": 1}
        assert server.engine.choice(transport, mid) == LayerChoice(encoding=0, temporal=1)
        for layer, reason in (("high", "Invalid layer"), ({"maxWidth": "wide"}, "Invalid layer: maxWidth")):
            refused = await viewer.command("select", layer=layer)
            assert (refused["type"], refused["data"]) == ("error", reason)
            mapping = [{"media": "video"}, {"media": "audio", "layer": layer}]
            assert (await viewer.command("project", mapping=mapping))["data"] == reason
        assert server.engine.choice(transport, mid) == LayerChoice(encoding=0, temporal=1)
        assert (await viewer.command("select", layer={}))["type"] == "response"
        assert server.engine.choice(transport, mid) == LayerChoice()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"layer": "high"}, "Invalid layer"),
        ({"maxWidth": -1}, "Invalid layer: maxWidth"),
        ({"abr": {"strategy": "best"}}, "Invalid abr: strategy"),
        ({"maxBitrate": "much"}, "Invalid maxBitrate"),
        ({"forceSmooth": []}, "Invalid forceSmooth"),
        ({"forcePlayoutDelay": 100}, "Invalid forcePlayoutDelay"),
    ],
)
async def test_a_view_that_wants_what_cannot_be_is_refused(
    server: Server, data: dict[str, object], reason: str
) -> None:
    async with server.publisher() as main, server.socket("subscribe") as viewer:
        answer = await viewer.command("view", sdp=VIEW_OFFER, **data)
        assert (answer["type"], answer["data"]) == ("error", reason)
        assert server.engine.transports() == {main.transport}
        await server.viewed(viewer)


async def test_layers_are_told_to_those_who_ask(server: Server) -> None:
    async with server.publisher() as main, server.socket("subscribe") as viewer, server.socket("subscribe") as other:
        await viewer.command("view", sdp=VIEW_OFFER, events=["layers"])
        await server.viewed(other)
        kinds = {one.track: one.kind for one in server.engine.transport_spec(main.transport).receive}
        picture = next(track for track in main.tracks if kinds[track] is Kind.VIDEO)
        server.engine.flow(picture, EncodingReport(active=True, bitrate_bps=1000, width=640, height=360))
        told = await viewer.event("layers")
        assert told["streamId"] == f"{server.account.id}/demo"
        assert list(told["medias"]) == ["0"]
        assert [one["id"] for one in told["medias"]["0"]["active"]] == ["0"]
        await other.command("select", layer={})
        assert "layers" not in [name for name, _ in other.events]


def sound(publisher: Publisher) -> TrackId:
    receive = publisher.server.engine.transport_spec(publisher.transport).receive
    return next(one.track for one in receive if one.kind is Kind.AUDIO)


async def listening(server: Server, socket: Socket, **data: object) -> TransportId:
    known = server.engine.transports()
    await socket.command("view", sdp=LISTEN_OFFER, vad=True, **data)
    return (server.engine.transports() - known).pop()


async def test_a_listener_is_told_whose_voice_each_line_plays(server: Server) -> None:
    async with (
        server.publisher(sourceId="alice") as alice,
        server.publisher(sourceId="me"),
        server.publisher(),
        server.socket("subscribe") as viewer,
        server.socket("subscribe") as other,
    ):
        await listening(server, viewer, events=["vad"], excludedSourceIds=["me"], pinnedSourceId="host")
        deaf = await listening(server, other, events=["active"])
        assert await viewer.event("vad") == {"mediaId": "2", "sourceId": "alice"}
        assert await viewer.event("vad") == {"mediaId": "3", "sourceId": None, "main": True}
        await alice.socket.command("unpublish")
        assert await viewer.event("vad") == {"mediaId": "2", "sourceId": None}
        # The other one hears voices, too, and is told of none.
        assert server.engine.slots(deaf)[Mid("3")] is not None
        await other.command("select", layer={})
        assert "vad" not in [name for name, _ in other.events]


async def test_a_projection_onto_a_line_of_the_pool_ends_its_voice_and_unproject_gives_it_back(server: Server) -> None:
    async with server.publisher(sourceId="alice") as alice, server.socket("subscribe") as viewer:
        transport = await listening(server, viewer, events=["vad"])
        assert await viewer.event("vad") == {"mediaId": "2", "sourceId": "alice"}
        await viewer.command("project", sourceId="alice", mapping=[{"media": "audio", "mediaId": "2"}])
        assert await viewer.event("vad") == {"mediaId": "2", "sourceId": None}
        assert server.engine.slots(transport) | {Mid("2"): sound(alice)} == server.engine.slots(transport)
        await viewer.command("unproject", mediaIds=["2"])
        assert await viewer.event("vad") == {"mediaId": "2", "sourceId": "alice"}


async def test_who_speaks_and_how_loud_is_told_to_those_who_ask(server: Server) -> None:
    async with (
        server.publisher(sourceId="alice", events=["speakers"]) as alice,
        server.publisher() as main,
        server.socket("subscribe") as viewer,
        server.socket("subscribe") as other,
        server.socket("subscribe") as late,
    ):
        await viewer.command("view", sdp=VIEW_OFFER, events=["speakers"])
        await server.viewed(other)
        group = next(one.group for one in server.engine.commands if isinstance(one, AddVoice))
        server.engine.speak(group, Speaker(sound(alice), 23), Speaker(sound(main), 40), Speaker(TrackId(999), 50))
        told = {"speakers": [{"sourceId": "alice", "level": -23}, {"sourceId": None, "level": -40}]}
        assert await viewer.event("speakers") == await alice.socket.event("speakers") == told
        # Who comes later need not wait for a change.
        await late.command("view", sdp=VIEW_OFFER, events=["speakers"])
        assert await late.event("speakers") == told
        server.engine.speak(group)
        assert await viewer.event("speakers") == {"speakers": []}
        await other.command("select", layer={})
        assert "speakers" not in [name for name, _ in other.events]


async def test_inactive_comes_when_the_publisher_closes_and_its_return_resumes(server: Server) -> None:
    async with server.socket("publish") as publisher:
        transport = await server.published(publisher, sourceId="cam")
        await server.start(transport)
        async with server.socket("subscribe") as viewer:
            viewing = await server.viewed(viewer, pinnedSourceId="cam")
            assert (await viewer.event("active"))["sourceId"] == "cam"
            await publisher.connection.close()
            assert (await viewer.event("inactive"))["sourceId"] == "cam"
            assert set(server.engine.slots(viewing).values()) == {None}
            async with server.publisher(sourceId="cam") as again:
                assert (await viewer.event("active"))["sourceId"] == "cam"
                assert set(server.engine.slots(viewing).values()) == set(again.tracks)


async def test_a_broken_socket_leaves_media_alive_until_it_stalls(server: Server) -> None:
    async with server.socket("publish") as publisher:
        transport = await server.published(publisher)
        await server.start(transport)
        async with server.socket("subscribe") as viewer:
            await server.viewed(viewer)
            await viewer.event("active")
            publisher.connection.transport.abort()
            await publisher.connection.wait_closed()
            assert (await viewer.command("select", layer={}))["type"] == "response"
            assert transport in server.engine.transports()
            server.engine.stall(transport)
            await viewer.event("inactive")
            assert transport not in server.engine.transports()


async def test_unpublish_and_unview_keep_the_socket(server: Server) -> None:
    async with server.socket("publish") as publisher:
        assert (await publisher.command("unpublish"))["data"] == "Not publishing"
        await server.start(await server.published(publisher))
        async with server.socket("subscribe") as viewer:
            for name in ("unview", "unsubscribe"):
                assert (await viewer.command(name))["data"] == "Not viewing"
                transport = await server.viewed(viewer)
                assert (await viewer.command(name))["type"] == "response"
                assert transport not in server.engine.transports()
        assert (await publisher.send({"type": "cmd", "transId": 9, "name": "unpublish"})) == {
            "type": "response",
            "transId": 9,
        }
        assert server.engine.transports() == set()
        await server.published(publisher)


async def test_viewers_are_counted(server: Server) -> None:
    async with server.publisher(events=["active", "inactive", "viewercount"]) as publisher:
        async with server.socket("subscribe") as viewer:
            await server.viewed(viewer)
            assert await viewer.event("viewercount") == {"viewercount": 1}
            assert await publisher.socket.event("active") == {"streamId": f"{server.account.id}/demo"}
            async with server.socket("subscribe") as second:
                await server.viewed(second)
                assert await viewer.event("viewercount") == {"viewercount": 2}
        await publisher.socket.event("inactive")


async def test_a_publisher_is_told_how_many_watch_and_who_leads(server: Server) -> None:
    events = ["leading", "viewercount"]
    told = {"streamId": f"{server.account.id}/demo", "sourceId": None}
    async with server.publisher(sourceId="cam"), server.socket("subscribe") as viewer:
        await server.viewed(viewer)
        async with server.publisher(events=events) as first:
            assert await first.socket.event("viewercount") == {"viewercount": 1}
            async with server.publisher(events=events) as second:
                assert await second.socket.event("viewercount") == {"viewercount": 1}
                assert await first.socket.event("leading") == {**told, "leading": False}
            assert await first.socket.event("leading") == {**told, "leading": True}


async def test_a_transport_that_ends_closes_its_socket(server: Server) -> None:
    async with server.publisher() as publisher:
        server.engine.drop(publisher.transport, CloseReason.CONSENT_LOST)
        assert await publisher.socket.closed() == 1001


# --- Who may come in ------------------------------------------------------------------------------------------------


async def refused(url: str) -> tuple[int, str]:
    """The HTTP status and message of an upgrade that is refused."""
    with pytest.raises(InvalidStatus) as error:
        async with connect(url, proxy=None):
            pass
    response = error.value.response
    body = json.loads(response.body or b"{}")
    assert body["status"] == "fail"
    return response.status_code, body["data"]["message"]


def with_token(url: str, token: str) -> str:
    return f"{url.partition('?')[0]}?token={token}"


def claims_of(url: str) -> dict[str, object]:
    token = parse_qs(urlsplit(url).query)["token"][0]
    claims: dict[str, object] = jwt.decode(token, options={"verify_signature": False})
    return claims


async def test_the_token_says_what_clients_read(server: Server) -> None:
    claims = claims_of(await server.url("publish"))
    its = claims["millicast"]
    assert isinstance(its, dict)
    assert (its["type"], its["streamName"], its["streamAccountId"], its["record"]) == (
        "Publish",
        "demo",
        server.account.id,
        False,
    )


async def test_a25_an_upgrade_without_a_token_of_ours_is_unauthorized(server: Server) -> None:
    url = await server.url("publish")
    claims = claims_of(url)
    unsigned = jwt.encode(claims, None, algorithm="none")
    forged = [
        "",
        "nonsense",
        "a.b.c",
        "x" * 100_000,
        unsigned,
        unsigned.rstrip(".") + "." + base64.urlsafe_b64encode(b"x").decode(),
        jwt.encode(claims, "another key of thirty-two bytes..", algorithm="HS256"),
        jwt.encode(claims, "k" * 64, algorithm="HS512"),
        jwt.encode(claims, "\0" * 32, algorithm="HS256", headers={"kid": "../../../../dev/null"}),
        jwt.encode(claims, "\0" * 32, algorithm="HS256", headers={"kid": "x' UNION SELECT 'key"}),
    ]
    for token in forged[:3] + forged[4:]:
        assert await refused(with_token(url, token)) == (401, "Unauthorized: Invalid token")
    assert await refused(url.partition("?")[0]) == (401, "Unauthorized: Invalid token")


async def test_a25_an_expired_token_is_unauthorized_and_a_session_outlives_it(tmp_path: Path) -> None:
    config = configured(signalling=SignallingConfig(token_lifetime_s=0))
    async with running(tmp_path, config) as server:
        assert await refused(await server.url("publish")) == (401, "Unauthorized: Invalid token")


async def test_an_expired_token_is_good_for_the_grace(tmp_path: Path) -> None:
    config = configured(signalling=SignallingConfig(token_lifetime_s=0, token_grace_s=60))
    async with running(tmp_path, config) as server, server.socket("publish") as publisher:
        await server.published(publisher)


async def test_a25_a_token_is_bound_to_its_url_and_to_its_action(server: Server) -> None:
    url, other = await server.url("publish"), await server.url("publish", "other")
    assert await refused(with_token(other, parse_qs(urlsplit(url).query)["token"][0])) == (403, "Forbidden")
    assert await refused(url.replace("/pub/", "/sub/")) == (403, "Forbidden")
    async with server.publisher():
        viewing = await server.url("subscribe")
        assert await refused(viewing.replace("/sub/", "/pub/")) == (403, "Forbidden")


async def test_a25_the_stream_is_that_of_the_token_whatever_the_command_says(server: Server) -> None:
    async with server.socket("publish", "mine") as publisher:
        answer = await publisher.command("publish", sdp=PUBLISH_OFFER, codec="vp8", name="yours", streamId="acc/yours")
        assert answer["data"]["streamId"] == f"{server.account.id}/mine"


async def test_a26_a_source_of_another_stream_cannot_be_projected(server: Server) -> None:
    async with (
        server.publisher("secret", sourceId="cam"),
        server.publisher("mine"),
        server.socket("subscribe", "mine") as viewer,
    ):
        transport = await server.viewed(viewer)
        before = server.engine.slots(transport)
        answer = await viewer.command("project", sourceId="cam", mapping=[{"media": "video", "mediaId": "0"}])
        assert (answer["type"], answer["data"]) == ("error", "The source is not live")
        assert server.engine.slots(transport) == before


# --- What they may say ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "trans_id"),
    [
        ("", None),
        ("nonsense", None),
        ("[1, 2]", None),
        ("null", None),
        ("[" * 5000, None),
        (b"\xff\x00", None),
        ({"type": "cmd", "name": "publish", "data": {}}, None),
        ({"type": "cmd", "transId": "1", "name": "publish"}, None),
        ({"type": "cmd", "transId": 2**70, "name": "publish"}, None),
        ({"type": "event", "transId": 5, "name": "active", "data": {}}, 5),
        ({"type": "cmd", "transId": 6}, 6),
        ({"type": "cmd", "transId": 7, "name": "record"}, 7),
        ({"type": "cmd", "transId": 8, "name": "x" * 10_000}, 8),
        ({"type": "cmd", "transId": 9, "name": "publish"}, 9),
        ({"type": "cmd", "transId": 10, "name": "publish", "data": None}, 10),
        ({"type": "cmd", "transId": 11, "name": "publish", "data": "sdp"}, 11),
        ({"type": "cmd", "transId": 12, "name": "publish", "data": {"sdp": 5}}, 12),
        ({"type": "cmd", "transId": 13, "name": "publish", "data": {"sdp": "v=0", "priority": 2**31}}, 13),
        ({"type": "cmd", "transId": 14, "name": "publish", "data": {"sdp": "nonsense"}}, 14),
        ({"type": "cmd", "transId": 15, "name": "publish", "data": {"sdp": PUBLISH_OFFER, "codec": "h265"}}, 15),
        ({"type": "cmd", "transId": 16, "name": "publish", "data": {"sdp": PUBLISH_OFFER, "codec": "opus"}}, 16),
        ({"type": "cmd", "transId": 17, "name": "publish", "data": {"sdp": PUBLISH_OFFER, "sourceId": "\u0000"}}, 17),
        ({"type": "cmd", "transId": 18, "name": "publish", "data": {"sdp": VIEW_OFFER, "codec": "vp8"}}, 18),
        ({"type": "cmd", "transId": 19, "name": "publish", "data": {"sdp": "v=0\r\n\u0000"}}, 19),
        ({"type": "cmd", "transId": 20, "name": "view", "data": {"sdp": VIEW_OFFER}}, 20),
        ({"type": "cmd", "transId": -21, "name": "unpublish"}, -21),
    ],
)
async def test_what_cannot_be_obeyed_is_answered_with_a_reason(
    server: Server, message: object, trans_id: int | None
) -> None:
    async with server.socket("publish") as publisher:
        answer = await publisher.send(message)
        assert (answer["type"], answer["transId"]) == ("error", trans_id)
        assert isinstance(answer["data"], str)
        assert 0 < len(answer["data"]) < 500
        assert server.engine.transports() == set()
        await server.published(publisher)


async def test_commands_of_viewers_need_a_view(server: Server) -> None:
    async with server.publisher() as publisher, server.socket("subscribe") as viewer:
        commands: list[tuple[str, dict[str, object]]] = [
            ("project", {"mapping": [{"media": "video"}]}),
            ("unproject", {"mediaIds": []}),
            ("select", {"layer": {}}),
        ]
        for name, data in commands:
            assert (await viewer.command(name, **data))["data"] == "Not viewing"
            assert (await publisher.socket.command(name, **data))["data"] == "This socket is for publishing"
        for name, data in (("publish", {"sdp": PUBLISH_OFFER}), ("unpublish", {})):
            assert (await viewer.command(name, **data))["data"] == "This socket is for viewing"


async def test_one_socket_is_one_publisher_or_one_viewer(server: Server) -> None:
    async with server.publisher() as publisher, server.socket("subscribe") as viewer:
        again = await publisher.socket.command("publish", sdp=PUBLISH_OFFER)
        assert again["data"] == "Already publishing"
        await server.viewed(viewer)
        assert (await viewer.command("view", sdp=VIEW_OFFER))["data"] == "Already viewing"


@pytest.mark.parametrize(
    ("mapping", "reason"),
    [
        ([{"mediaId": "0"}], "A mapping needs media or trackId"),
        ([{"media": "video", "mediaId": ""}], "Invalid mediaId"),
        ([{"media": "video", "mediaId": "x" * 17}], "Invalid mediaId"),
        ([{"media": "video", "mediaId": "a b"}], "Invalid mediaId"),
        ([{"media": "video", "mediaId": "1"}], "The media line 1 is for audio"),
        ([{"trackId": "nothing"}], "The source has no such track"),
    ],
)
async def test_a_mapping_that_cannot_be_is_refused_with_its_reason(
    server: Server, mapping: list[dict[str, str]], reason: str
) -> None:
    async with server.publisher(), server.socket("subscribe") as viewer:
        await server.viewed(viewer)
        assert (await viewer.command("project", mapping=mapping))["data"] == reason


async def test_a_mapping_has_a_most_of_entries(server: Server) -> None:
    async with server.publisher(), server.socket("subscribe") as viewer:
        await server.viewed(viewer)
        answer = await viewer.command("project", mapping=[{"media": "video", "mediaId": "0"}] * 513)
        assert answer["type"] == "error"
        assert (await viewer.command("unproject", mediaIds=["0"] * 513))["type"] == "error"


async def test_a_busy_media_plane_refuses_and_nothing_has_happened(server: Server) -> None:
    async with server.socket("publish") as publisher:
        server.engine.capacity = 0
        answer = await publisher.command("publish", sdp=PUBLISH_OFFER, codec="vp8")
        assert answer["data"] == "Server overloaded"
        server.engine.capacity = 100
        await server.published(publisher)


async def test_a_message_over_the_cap_closes_the_socket_and_nobody_else_notices(server: Server) -> None:
    async with server.publisher() as other, server.socket("publish", "big") as publisher:
        await publisher.connection.send("x" * (600 * 1024))
        assert await publisher.closed() == 1009
        assert (await other.socket.command("nonsense"))["type"] == "error"


async def test_a_reader_that_does_not_read_is_closed(server: Server) -> None:
    """By hand: client libraries read ahead. Each command is answered, and the answers are never taken."""
    url = urlsplit(await server.url("publish"))
    loop = asyncio.get_running_loop()
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        raw.setblocking(False)
        await loop.sock_connect(raw, (url.hostname, url.port))
        key = base64.b64encode(os.urandom(16)).decode()
        request = [f"GET {url.path}?{url.query} HTTP/1.1", f"Host: {url.netloc}", "Upgrade: websocket"]
        request += ["Connection: Upgrade", f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", "", ""]
        await loop.sock_sendall(raw, "\r\n".join(request).encode())
        assert (await loop.sock_recv(raw, 12)).endswith(b"101")
        text = b'{"type":"cmd","transId":1,"name":"' + b"n" * 64 + b'"}'
        frame = struct.pack("!BB", 0x81, 0x80 | len(text)) + bytes(4) + text
        assert len(text) < 126

        async def flood() -> None:
            while True:
                await loop.sock_sendall(raw, frame * 100)

        with pytest.raises(OSError, match=r"reset|pipe"):
            await asyncio.wait_for(flood(), 60)
    async with server.publisher():
        pass


async def test_an_event_list_is_a_filter(server: Server) -> None:
    async with server.publisher(), server.socket("subscribe") as viewer:
        await viewer.command("view", sdp=VIEW_OFFER, events=["viewercount", "unheard-of"])
        await viewer.event("viewercount")
        assert [name for name, _ in viewer.events] == ["active"]


async def test_a_socket_of_another_path_is_refused(server: Server) -> None:
    with pytest.raises(InvalidStatus):
        async with connect(f"{server.http.replace('http', 'ws')}/ws/v2/other/x", proxy=None):
            pass
