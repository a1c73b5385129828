"""How one transport does, for the owner of its stream."""

from pathlib import Path
from typing import Any

import pytest

from rostra.config import HttpConfig
from rostra.model.media import (
    EncodingReport,
    LayerReport,
    Mid,
    ShownLayer,
    SlotReport,
    TrackLayers,
    TransportId,
    TransportReport,
    Waiting,
)
from rostra.server import debug
from tests.server.harness import ALL, PUBLISH_OFFER, VIEW_OFFER, Server, configured, running

PATH = "/api/debug/transports"


async def asked(server: Server, name: object, *, secret: str | None = None) -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"Bearer {secret or server.account.api_secret}"}
    reply = await server.client.get(f"{PATH}/{name}", headers=headers)
    body: dict[str, Any] = reply.json()
    return reply.status_code, body


async def test_a_viewer_is_told_by_every_name_that_its_client_knows(server: Server) -> None:
    async with server.publisher() as main, server.socket("subscribe") as viewer:
        answer = await viewer.command("view", sdp=VIEW_OFFER, events=ALL)
        (transport,) = server.engine.transports() - {main.transport}
        picture = next(track for mid, track in server.engine.slots(transport).items() if mid == "0")
        assert picture is not None
        layers = TrackLayers(picture, (EncodingReport(active=True, layers=(LayerReport(0, 0, 5, 640, 360),)),))
        report = TransportReport(
            age_us=5_000_000,
            ice_us=20_100,
            dtls_us=45_000,
            first_packet_us=60_000,
            first_key_frame_us=60_000,
            first_bound_us=59_900,
            estimate_bps=2_000_000,
            sent_bps=1_500_000,
            wanted_bps=3_000_000,
            fraction_lost=64,
            rtt_us=12_340,
            via="tcp",
            tracks=(layers,),
            slots=(
                SlotReport(Mid("0"), picture, ShownLayer(0, 255, 1), None),
                SlotReport(Mid("7"), picture, None, Waiting.BANDWIDTH),
            ),
        )
        server.engine.answer(transport, report)
        told = [
            await asked(server, name)
            for name in (transport, answer["data"]["subscriberId"], answer["data"]["streamViewId"])
        ]
        assert told[0] == told[1] == told[2]
        status, body = told[0]
        assert status == 200
        slots, tracks = body.pop("slots"), body.pop("tracks")
        assert body == {
            "transport": transport,
            "stream_id": f"{server.account.id}/demo",
            "role": "viewer",
            "via": "tcp",
            "age_ms": 5000.0,
            "timeline": [
                {"step": "offer", "ms": 0.0},
                {"step": "ice", "ms": 20.1},
                {"step": "dtls", "ms": 45.0},
                {"step": "first_packet", "ms": 60.0},
                {"step": "first_key_frame", "ms": 60.0},
                {"step": "first_bound_slot", "ms": 59.9},
            ],
            "stalled_at": None,
            "estimate_bps": 2_000_000,
            "sent_bps": 1_500_000,
            "wanted_bps": 3_000_000,
            "loss": 0.25,
            "rtt_ms": 12.3,
        }
        assert slots[0] == {
            "mid": "0",
            "track": picture,
            "shown": {"encoding": "0", "spatial": 255, "temporal": 1},
            "waiting": None,
            "text": None,
        }
        assert (slots[1]["shown"], slots[1]["waiting"]) == (None, "bandwidth")
        assert "lowest layer" in slots[1]["text"]
        assert tracks[0]["encodings"][0]["layers"] == [
            {"spatial": 0, "temporal": 0, "bitrate_bps": 5, "width": 640, "height": 360}
        ]


async def test_a_publisher_that_nothing_arrives_from_is_told_what_to_look_at(server: Server) -> None:
    async with server.socket("publish") as publisher:
        answer = await publisher.command("publish", sdp=PUBLISH_OFFER, codec="vp8")
        for name in (answer["data"]["publisherId"], answer["data"]["feedId"]):
            status, body = await asked(server, name)
            assert (status, body["role"], body["rtt_ms"]) == (200, "publisher", None)
            assert body["stalled_at"]["step"] == "ice"
            assert body["stalled_at"]["reason"] == "no_ice_check"
            assert "UDP 127.0.0.1:8081" in body["stalled_at"]["text"]


async def test_only_the_owner_of_the_stream_is_told(server: Server) -> None:
    async with server.publisher() as main:
        other = await server.store.add_account()
        assert (await asked(server, main.transport, secret=other.api_secret))[0] == 404
        for secret in ("x", server.publish_token, server.account.api_secret[:-1] + "x"):
            status, body = await asked(server, main.transport, secret=secret)
            assert (status, body) == (401, {"status": "fail", "data": {"message": "Unauthorized"}})
        assert (await server.client.get(f"{PATH}/{main.transport}")).status_code == 401
        assert (await server.client.post(f"{PATH}/{main.transport}")).status_code == 405


async def test_wrong_secrets_of_one_address_are_limited_and_shut_out_nobody_else(tmp_path: Path) -> None:
    http = HttpConfig(trusted_proxies=("127.0.0.1",))
    async with running(tmp_path, configured(http=http)) as server:

        async def shown(secret: str, address: str) -> int:
            headers = {"Authorization": f"Bearer {secret}", "X-Forwarded-For": address}
            for path in (f"{PATH}/1", f"{STREAMS}/{server.account.id}/demo"):
                reply = await server.client.get(path, headers=headers)
            if reply.status_code == 429:
                assert reply.headers["retry-after"] == "1"
                assert reply.json()["data"]["message"].startswith("Too many wrong API secrets from this address")
            return reply.status_code

        assert await shown(server.account.api_secret, "192.0.2.1") == 200
        other = await server.store.add_account()
        assert 429 in [await shown("x", "192.0.2.1") for _ in range(40)]
        assert await shown(server.account.api_secret, "192.0.2.1") == 200  # it was right before
        assert await shown(server.account.api_secret, "192.0.2.2") == 200
        assert await shown("x", "2001:db8::1") == 401
        assert await shown(other.api_secret, "192.0.2.2") == 404


@pytest.mark.parametrize("name", ["0", "99", "-1", "x", "1" * 400, "٣", "1.5", " 1"])
async def test_what_is_not_there_is_not_found(server: Server, name: str) -> None:
    assert (await asked(server, name))[0] == 404


async def test_who_left_is_not_found(server: Server) -> None:
    async with server.socket("publish") as publisher:
        answer = await publisher.command("publish", sdp=PUBLISH_OFFER, codec="vp8")
        assert (await asked(server, answer["data"]["feedId"]))[0] == 200
        await publisher.command("unpublish")
        assert (await asked(server, answer["data"]["feedId"]))[0] == 404


async def test_a_media_plane_that_does_not_answer_is_not_waited_for(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(debug, "DEADLINE_S", 0.01)
    async with server.publisher() as main:
        server.engine.is_silent = True
        status, body = await asked(server, main.transport)
        assert (status, body["data"]["message"]) == (503, "timeout")
        server.engine.is_silent = False
        assert (await asked(server, main.transport))[0] == 200


async def test_a_busy_media_plane_is_not_asked(server: Server) -> None:
    async with server.publisher() as main:
        server.engine.capacity = 0
        status, body = await asked(server, TransportId(main.transport))
        assert (status, body["data"]["message"]) == (503, "Server overloaded")
        server.engine.capacity = 1000


STREAMS = "/api/debug/streams"


async def incoming(server: Server, stream: str = "demo") -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {server.account.api_secret}"}
    reply = await server.client.get(f"{STREAMS}/{server.account.id}/{stream}", headers=headers)
    assert reply.status_code == 200
    assert reply.headers["cache-control"] == "no-store"
    body: dict[str, Any] = reply.json()
    return body


async def test_the_owner_of_a_stream_is_told_what_comes_in_and_what_is_wrong_with_it(server: Server) -> None:
    async with server.publisher() as main:
        report = TransportReport(
            age_us=12_000_000, ice_us=1, dtls_us=2, first_packet_us=1_000_000, first_key_frame_us=None
        )
        server.engine.answer(main.transport, report)
        told = await incoming(server)
        assert told["stream_id"] == f"{server.account.id}/demo"
        (feed,) = told["feeds"]
        assert (feed["transport"], feed["source_id"], feed["door"]) == (main.transport, None, "websocket")
        assert (feed["state"], feed["leads"], feed["audio"]) == ("live", True, {"codec": "opus"})
        assert feed["video"]["key_frame_ms"] is None
        (problem,) = feed["problems"]
        assert problem.pop("text").startswith("No key frame for 10 seconds")
        assert problem == {"code": "no_key_frame", "hint": False, "since_ms": 0}


async def test_what_the_media_plane_cannot_tell_now_is_left_out(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(debug, "DEADLINE_S", 0.01)
    async with server.publisher():
        server.engine.is_silent = True
        assert len((await incoming(server))["feeds"]) == 1
        server.engine.is_silent = False
        server.engine.capacity = 0
        assert len((await incoming(server))["feeds"]) == 1
        server.engine.capacity = 1000


async def test_a_stream_that_is_not_there_has_no_feeds(server: Server) -> None:
    told = await incoming(server, "no/such%20stream")
    assert (told["feeds"], told["viewers"], told["turned_away"]) == ([], 0, [])
    assert told["stream_id"] == f"{server.account.id}/no/such stream"


async def test_only_the_owner_is_told_what_comes_in(server: Server) -> None:
    other = await server.store.add_account()
    path = f"{STREAMS}/{server.account.id}/demo"
    for secret, status in ((other.api_secret, 404), ("x", 401), (server.publish_token, 401)):
        reply = await server.client.get(path, headers={"Authorization": f"Bearer {secret}"})
        assert reply.status_code == status
    assert (await server.client.get(path)).status_code == 401
    assert (await server.client.post(path)).status_code == 405


async def test_a_report_asks_only_so_many_feeds_and_shows_all(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debug, "MAX_ASKED", 1)
    async with server.publisher() as main, server.publisher(sourceId="cam") as cam:
        for transport in (main.transport, cam.transport):
            server.engine.answer(transport, TransportReport(age_us=1, ice_us=1, dtls_us=2))
        feeds = (await incoming(server))["feeds"]
        assert {feed["transport"] for feed in feeds} == {main.transport, cam.transport}
