"""Hostile clients at the doors of WHIP and WHEP."""

import asyncio
import os
from urllib.parse import quote, urlsplit

import pytest

from rostra.model.token import PublishToken, StreamPattern
from rostra.server import http, resources
from tests.server.harness import OFFERS, PUBLISH_OFFER, Server
from tests.server.whip_client import FRAGMENT, ROLLED, SDP, fragment, patch, validation, whep, whip

SIMULCAST = (OFFERS / "chromium-publish-simulcast.sdp").read_text()


async def raw(server: Server, head: str, body: bytes = b"") -> tuple[int, bytes]:
    """Send bytes and nothing more; the status, and everything until the server closes or is silent."""
    address = urlsplit(server.http)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(head.replace("\n", "\r\n").encode() + body)
    received = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
    writer.close()
    return int(received.split()[1]), received


async def test_other_peoples_sessions_cannot_be_touched(server: Server) -> None:
    other = PublishToken(server.account.id, "q" * 64, "other", (StreamPattern("*"),))
    await server.store.add_publish_token(other)
    made = await whip(server)
    location, etag = made.headers["location"], made.headers["etag"]
    for token in (other.value, server.subscribe_token, "0" * 64, "'; --"):
        headers = {"Authorization": f"Bearer {token}"}
        assert (await server.client.delete(location, headers=headers)).status_code == 403
        assert (await patch(server, location, fragment(ROLLED), etag="*", token=token)).status_code == 403
        assert (await server.client.get(location, headers=headers)).status_code == 403
        assert (await server.client.delete(f"{location}?auth={quote(token)}")).status_code == 403
    assert (await patch(server, location, etag=etag)).status_code == 204


async def test_a_viewer_with_a_token_is_as_safe(server: Server) -> None:
    async with server.publisher():
        location = (await whep(server, token=server.subscribe_token)).headers["location"]
        wrong = {"Authorization": f"Bearer {server.publish_token}"}
        for method, path in (("DELETE", ""), ("POST", "/sse"), ("POST", "/layer"), ("DELETE", "/layer")):
            reply = await server.client.request(method, location + path, json=None, headers=wrong)
            assert reply.status_code == 403
        assert (await server.client.delete(location)).status_code == 200


@pytest.mark.parametrize("name", ["", "x", "..", "1", "%00", "demo", "a" * 5000, "../whip/demo", "*"])
async def test_an_id_that_is_none_is_not_found_whatever_the_token(server: Server, name: str) -> None:
    await whip(server)
    for door in ("whip", "whep"):
        for headers in ({}, {"Authorization": f"Bearer {server.publish_token}"}):
            url = f"/api/{door}/resource/{name}"
            assert (await server.client.delete(url, headers=headers)).status_code in (404, 405)
    assert server.engine.transports()


async def test_who_changes_a_session_at_the_same_time_wins_once(server: Server) -> None:
    """A race for one tag: one restart happens, the others see that the state is not theirs."""
    made = await whip(server)
    location, etag = made.headers["location"], made.headers["etag"]
    bodies = [fragment(f"a=ice-ufrag:fresh{place}\r\na=ice-pwd:{'p' * 24}\r\n") for place in range(8)]
    replies = await asyncio.gather(*(patch(server, location, body, etag=etag) for body in bodies))
    assert sorted(reply.status_code for reply in replies) == [200, *[412] * 7]


@pytest.mark.parametrize("stream", ["a>; rel=x", 'a"b', "a, <b>", "naïve", "a/b", "resource"])
async def test_names_break_out_of_no_header(server: Server, stream: str) -> None:
    """Any printable name is one, and none is found in a header of the reply."""
    async with server.publisher(stream):
        for reply in (
            await whip(server, stream=quote(stream, safe=""), query=f"?sourceId={quote(stream)}"),
            await whep(server, stream=quote(stream, safe="")),
        ):
            assert reply.status_code == 201, reply.text
            for line in reply.headers.get_list("link"):
                assert line.count("<") == line.count(">") == 1
            told = " ".join(value for name, value in reply.headers.items() if name in ("location", "link", "etag"))
            assert stream not in told.replace("/api/whep/resource/", "").replace("/api/whip/resource/", "")


@pytest.mark.parametrize("stream", ["", "%00", "a%0dSet-Cookie:%20x", "%ff", "%7f", "x" * 129, "%E2%80%A8"])
async def test_names_that_are_none_are_refused(server: Server, stream: str) -> None:
    for reply in (await whip(server, stream=stream), await whep(server, stream=stream)):
        validation(reply)
        assert "set-cookie" not in reply.headers
    assert server.engine.commands == []


@pytest.mark.parametrize("host", ["evil.example>; rel=x", "a b", "a,<b>", '"', "a/b"])
async def test_a_host_breaks_out_of_no_header(server: Server, host: str) -> None:
    async with server.publisher():
        assert (await whep(server, headers={"Host": host})).status_code == 400


async def test_a_body_that_is_too_large_is_refused_before_it_is_read(server: Server) -> None:
    """By its length alone: of 1 MB and of 1 TB not a byte is waited for."""
    made = await whip(server)
    for method, url, content_type in (
        ("POST", "/api/whip/demo", SDP),
        ("POST", f"/api/whep/{server.account.id}/demo", SDP),
        ("PATCH", made.headers["location"], FRAGMENT),
    ):
        for length in (1_000_000, 10**12):
            head = f"{method} {url} HTTP/1.1\nHost: x\nIf-Match: *\nContent-Type: {content_type}\n"
            status, reply = await raw(server, f"{head}Content-Length: {length}\n\n")
            assert status == 413
            assert b"connection: close" in reply.lower()


async def test_a_body_without_a_length_ends_at_the_cap(server: Server) -> None:
    head = (
        f"POST /api/whip/demo HTTP/1.1\nHost: x\nContent-Type: {SDP}\nAuthorization: Bearer {server.publish_token}\n"
        "Transfer-Encoding: chunked\n\n"
    )
    chunk = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
    status, _ = await raw(server, head, chunk * 4)
    assert status == 413


async def test_a_stranger_is_refused_before_its_body_is_read(server: Server) -> None:
    """The token is in the header: nothing of the body has to come."""
    for token in ("", f"Authorization: Bearer {'0' * 64}\n"):
        head = f"POST /api/whip/demo HTTP/1.1\nHost: x\nContent-Type: {SDP}\n{token}Content-Length: 5000\n\n"
        assert (await raw(server, head))[0] == 401


async def test_a_body_that_does_not_come_is_not_waited_for_long(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "BODY_TIMEOUT_S", 0.1)
    made = await whip(server)
    own = f"Host: x\nAuthorization: Bearer {server.publish_token}\nContent-Length: 5000\n"
    for head in (
        f"POST /api/whip/demo HTTP/1.1\n{own}Content-Type: {SDP}\n\n",
        f"PATCH {made.headers['location']} HTTP/1.1\n{own}Content-Type: {FRAGMENT}\nIf-Match: *\n\n",
    ):
        status, reply = await raw(server, head, b"v=0\r\n")
        assert (status, b"connection: close" in reply.lower()) == (408, True)


async def test_so_many_sessions_there_are_and_no_more(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "MAX_RESOURCES", 2)
    made = [await whip(server, query=f"?sourceId={place}") for place in range(3)]
    assert [reply.status_code for reply in made] == [201, 201, 503]
    await server.client.delete(made[0].headers["location"])
    assert (await whip(server)).status_code == 201


@pytest.mark.parametrize(
    "offer",
    [
        PUBLISH_OFFER.replace("v=0", "v=0\0", 1),
        PUBLISH_OFFER + "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n" * 1000,
        PUBLISH_OFFER + "a=" + "x" * 9000,
        PUBLISH_OFFER.replace("a=mid:1", "a=mid:0"),
        PUBLISH_OFFER + "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n" * 1000,
        PUBLISH_OFFER.encode() + b"\xc3\x28",
        os.urandom(4096),
    ],
    ids=["nul", "m-lines", "line", "mids", "candidates", "utf-8", "noise"],
)
async def test_nonsense_is_refused_with_a_text_and_opens_nothing(server: Server, offer: str | bytes) -> None:
    (line,) = validation(await whip(server, offer))
    assert len(line) < 300
    assert line.isprintable()
    assert server.engine.commands == []


async def test_ten_thousand_m_lines_are_too_many_bytes(server: Server) -> None:
    reply = await whip(server, PUBLISH_OFFER + "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n" * 10_000)
    assert reply.status_code == 413
    reply = await whip(server, "v=0\r\n" * 200_000)
    assert reply.status_code == 413


async def test_errors_of_a_door_are_text_and_are_not_sniffed(server: Server) -> None:
    for reply in (await whip(server, "<html>"), await server.client.get("/api/whip/a/b"), await whep(server)):
        assert reply.headers["content-type"] == "text/plain; charset=utf-8"
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["cache-control"] == "no-store"


# --- Parameters -------------------------------------------------------------------------------------------------


async def test_parameters_of_a_publisher_are_honoured(server: Server) -> None:
    reply = await whip(server, SIMULCAST, query="?codec=VP8&sourceId=cam&priority=-7&noAudio&noRecord&record=false")
    assert reply.status_code == 201
    assert "VP8/90000" in reply.text
    (transport,) = server.engine.transports()
    (spec,) = server.engine.transport_spec(transport).receive
    assert (spec.kind, len(spec.encodings)) == ("video", 3)


@pytest.mark.parametrize(
    ("query", "line"),
    [
        ("simulcastId", "simulcastId: Groups of feeds"),
        ("simulcastId=1&sourceId=1", "simulcastId: Groups of feeds"),
        ("codec=h265", "codec: Is not one of av1, h264, vp8, vp9"),
        ("codec=opus", "codec: Is not one of"),
        ("record", "record: This server does not record"),
        ("record=true", "record: This server does not record"),
        ("intraOnlyForwarding=1", "intraOnlyForwarding: "),
        ("enableUTCInsertion", "enableUTCInsertion: Is for RTMP only"),
        ("seiKeyFrameOnly=true", "seiKeyFrameOnly: Is for RTMP only"),
        ("extraLatency=100", "extraLatency: Is for RTMP only"),
        ("videoTargetBitrate=800", "videoTargetBitrate: "),
        ("priority=high", "priority: Is not a number"),
        ("priority=2147483648", "priority: Is not a number"),
        ("audioOnly&videoOnly", "audioOnly: Leaves nothing"),
        ("audioOnly=perhaps", "audioOnly: Is not true or false"),
        ("sourceId=%0a", "sourceId: Has to have"),
        ("streamName=other", "streamName: Is another one"),
        ("codec=vp8&codec=vp9", "codec: Is there twice"),
    ],
)
async def test_parameters_that_cannot_be_honoured_are_refused_by_name(server: Server, query: str, line: str) -> None:
    (found,) = validation(await whip(server, query=f"?{query}"))
    assert found.startswith(line)
    assert server.engine.commands == []


async def test_unknown_parameters_are_ignored(server: Server) -> None:
    assert (await whip(server, query="?streamName=demo&utm_source=x&utm_source=y&codec=&priority=")).status_code == 201


async def test_a_token_for_the_main_source_alone_publishes_no_other(server: Server) -> None:
    single = PublishToken(server.account.id, "q" * 64, "", (StreamPattern("demo"),), multisource=False)
    await server.store.add_publish_token(single)
    reply = await whip(server, token=single.value, query="?sourceId=cam")
    assert (reply.status_code, reply.text) == (403, "This token publishes the main source only")
    assert (await whip(server, token=single.value)).status_code == 201
    reply = await whip(server, token=single.value, stream="other")
    assert (reply.status_code, reply.text) == (401, "Unauthorized: StreamName is not valid for token")


async def test_the_newest_feed_of_a_source_wins_and_priority_before_that(server: Server) -> None:
    """As with feeds of sockets: both are the same thing behind the door."""
    async with server.publisher(priority=1) as socket, server.socket("subscribe") as viewer:
        transport = await server.viewed(viewer)

        async def shown() -> set[object]:
            await server.until(lambda: not server.engine.has_news)
            return set(server.engine.slots(transport).values())

        known = server.engine.transports()
        await whip(server)
        lower = (server.engine.transports() - known).pop()
        await server.start(lower)
        assert await shown() == set(socket.tracks)
        known = server.engine.transports()
        location = (await whip(server, query="?priority=1")).headers["location"]
        newest = (server.engine.transports() - known).pop()
        await server.start(newest)
        assert await shown() == set(server.engine.tracks(newest))
        await server.client.delete(location)
        assert await shown() == set(socket.tracks)
