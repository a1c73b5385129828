"""Whatever JSON, or what claims to be some, comes to whichever entrance: an answer, never an exception."""

import base64
import contextlib
import itertools
import json
from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rostra.config import Config
from rostra.hub import Hub
from rostra.media.fake import FakeEngine
from rostra.model.ids import AccountId, ServerId, StreamKey, StreamName
from rostra.model.media import Mid
from rostra.model.refused import InvalidToken
from rostra.model.token import PublishGrant, SubscribeGrant
from rostra.protocol import director, ingest, jwt, signal, sse, whep
from rostra.protocol.director import ValidationFailed
from rostra.protocol.json import DecodeError
from rostra.protocol.wishes import FieldError
from rostra.server.clients import Client
from rostra.server.context import Context
from rostra.server.signalling import _Socket
from tests.server.harness import PUBLISH_OFFER, VIEW_OFFER, Server
from tests.server.test_whep import links
from tests.server.whip_client import validation
from tests.server.whip_client import whep as whep_session

DEEP: Final = b"[" * 100_000 + b"]" * 100_000
HUGE: Final = b"9" * 400
HUGER: Final = b"9" * 5000
KEYS: Final = st.sampled_from(
    [
        "streamName",
        "streamType",
        "streamAccountId",
        "sdp",
        "codec",
        "sourceId",
        "priority",
        "events",
        "pinnedSourceId",
        "vad",
        "excludedSourceIds",
        "layer",
        "maxWidth",
        "maxHeight",
        "abr",
        "forceSmooth",
        "maxBitrate",
        "customKeys",
        "forcePlayoutDelay",
        "mapping",
        "media",
        "mediaId",
        "mediaIds",
        "trackId",
        "promote",
        "encodingId",
        "rid",
        "spatialLayerId",
        "temporalLayerId",
        "min",
        "max",
        "metadata",
        "bitrate",
        "strategy",
        "initialBitrate",
        "connection",
        "stream",
        "token",
        "audio",
        "video",
        "profile",
        "code",
        "text",
        "interval_ms",
        "reason",
        "type",
        "transId",
        "name",
        "data",
    ]
)
NUMBERS: Final = (
    st.integers()
    | st.sampled_from([10**30, -(10**399), 10**399, 10**4299, 2**53, 2**63, 2**64, -1, 0, 1])
    | st.floats()  # NaN and infinities are written as JSON does not have them
)
TEXTS: Final = st.text(max_size=20) | st.sampled_from(["\ud800", "\x00", "9" * 17, "9" * 5000, "0", "true"])
VALUES: Final = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS | st.text(max_size=8), inner, max_size=6),
    max_leaves=12,
)


def deep(times: int) -> bytes:
    return b'{"layer":{"mediaId":' + b"[" * times + b"]" * times + b"}}"


JSON: Final = VALUES.map(lambda value: json.dumps(value).encode())
BODIES: Final = (
    JSON
    | st.binary(max_size=60)
    | st.builds(lambda text, cut: text[: cut % (len(text) + 1)], JSON, st.integers(0))
    | st.integers(1, 1100).map(deep)
    | st.sampled_from([DEEP, HUGE, HUGER, b"1e400", b"NaN", b'"\xff"', b'"\\ud800"', b'{"a":' * 3000])
)


def refusal(call: Callable[[], object], *allowed: type[Exception]) -> None:
    with contextlib.suppress(*allowed):
        call()


# --- Properties ----------------------------------------------------------------------------------------------------


@given(body=BODIES)
def test_the_director_reads_any_body_or_says_what_is_wrong(body: bytes) -> None:
    refusal(lambda: director.decode_publish(body), ValidationFailed)
    refusal(lambda: director.decode_subscribe(body), ValidationFailed)


@given(body=BODIES)
def test_whep_reads_any_body_of_its_extensions_or_says_what_is_wrong(body: bytes) -> None:
    refusal(lambda: whep.decode_layer(body, main=Mid("0"), place=0), FieldError)
    refusal(lambda: whep.decode_layer(body, main=None, place=None), FieldError)
    refusal(lambda: sse.decode_names(body), sse.UnknownEventError)


@given(body=BODIES)
def test_the_channel_of_the_rtmp_worker_reads_any_message_or_says_that_it_is_none(body: bytes) -> None:
    for decode in (ingest.decode_from_worker, ingest.decode_from_server):
        with contextlib.suppress(DecodeError):
            assert ingest.encode(decode(body))  # what was read can be written again


@pytest.mark.parametrize("kind", ["Authorise", "Open", "Problem", "KeyFrames", "Ended"])
@given(fields=st.dictionaries(KEYS, VALUES, max_size=8))
def test_the_channel_reads_any_fields_of_any_message(kind: str, fields: dict[str, Any]) -> None:
    body = json.dumps({"connection": 1, "reason": "x", "stream": "s", "token": "t", **fields, "type": kind}).encode()
    with contextlib.suppress(DecodeError):
        assert ingest.encode(ingest.decode_from_worker(body))


class Nobody:
    """A connection that is closed for nobody."""

    def protect(self) -> None:
        """It is safe."""

    def expose(self) -> None:
        """It is safe all the same."""


class Entrance:
    """A socket of a server without media, and what it answers."""

    def __init__(self, *, publishes: bool) -> None:
        engine = FakeEngine()
        context = Context(Config(), Hub(engine), None, lambda: 0.0)  # type: ignore[arg-type] — nobody asks the store
        key, server = StreamKey(AccountId("a"), StreamName("demo")), ServerId("0" * 32)
        grant = (
            PublishGrant(key, server, multisource=True, subscribe_requires_auth=False)
            if publishes
            else SubscribeGrant(key, server)
        )
        self.socket = _Socket(context, grant, Client("127.0.0.1", "test"), Nobody())
        self.numbers = itertools.count(1)

    def command(self, name: str, data: dict[str, Any]) -> dict[str, Any]:
        return self.send(json.dumps({"type": "cmd", "transId": next(self.numbers), "name": name, "data": data}))

    def send(self, message: str | bytes) -> dict[str, Any]:
        self.socket._outbox._messages.clear()
        self.socket._on_message(message)
        return next(one for one in map(json.loads, self.socket._outbox._messages) if one["type"] != "event")


COMMANDS: Final = ("publish", "view", "project", "unproject", "select", "unpublish", "unview")


@pytest.mark.parametrize("name", COMMANDS)
@settings(deadline=None)
@given(data=st.dictionaries(KEYS, VALUES, max_size=8))
@example({"maxBitrate": 10**399})
@example({"layer": {"encodingId": 10**4299}})
@example({"forcePlayoutDelay": {"min": 10**399}})
@example({"abr": {"initialBitrate": 10**399}})
@example({"mediaIds": [10**4299]})
@example({"mapping": [{"media": "video", "mediaId": 10**4299, "trackId": 10**4299}]})
def test_every_command_with_any_data_is_answered(name: str, data: dict[str, Any]) -> None:
    offer = {"sdp": PUBLISH_OFFER if name == "publish" else VIEW_OFFER}
    for begins in (False, True):
        entrance = Entrance(publishes=name in ("publish", "unpublish"))
        if begins and name != "publish":
            assert entrance.command("view" if name != "unpublish" else "publish", {"sdp": PUBLISH_OFFER})
        answer = entrance.command(name, {**offer, **data})
        assert answer["type"] in ("response", "error")


@settings(deadline=None)
@given(body=BODIES, number=st.integers(0, 9))
def test_every_message_of_a_socket_is_answered(body: bytes, number: int) -> None:
    entrance = Entrance(publishes=False)
    assert entrance.send(body)["type"] == "error"
    wrapped = b'{"type":"cmd","transId":%d,"name":"view","data":%s}' % (number, body)
    assert entrance.send(wrapped)["transId"] in (number, None)


def test_the_message_says_that_it_is_nested_too_deep() -> None:
    with pytest.raises(signal.SignalError, match="nested too deep"):
        signal.decode(b'{"type":"cmd","x":' + DEEP + b"}")


@pytest.mark.parametrize("part", ["header", "claims"])
def test_a_token_that_is_nested_too_deep_is_none(part: str) -> None:
    """Anybody may send one, and its header is read before its signature is checked."""
    key = b"k" * 32
    nested = jwt_part(b'{"alg":"HS256","a":' + b"[" * 1100 + b"]" * 1100 + b"}")
    plain = jwt_part(b'{"alg":"HS256"}')
    token = f"{nested}.e30.AAAA" if part == "header" else f"{plain}.{nested}.AAAA"
    with pytest.raises(InvalidToken):
        jwt.verify(token, key, now_s=0, grace_s=0)


def jwt_part(text: bytes) -> str:
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


# --- Over the wire -------------------------------------------------------------------------------------------------

MEDIA_TYPE: Final = {"Content-Type": "application/json"}


@pytest.mark.parametrize("action", ["publish", "subscribe"])
@pytest.mark.parametrize("body", [DEEP[:8_000], b'{"streamName":"demo","x":' + DEEP[:8_000], HUGER, b'"\xff"'])
async def test_the_director_answers_400_with_a_code(server: Server, action: str, body: bytes) -> None:
    headers = {**MEDIA_TYPE, "Authorization": f"Bearer {server.publish_token}"}
    reply = await server.client.post(f"/api/director/{action}", content=body, headers=headers)
    assert reply.status_code == 400, reply.text
    assert reply.json()["data"]["code"] == "validation_failed"


@pytest.mark.parametrize(
    "body", [b'{"maxWidth":' + HUGE + b"}", b'{"maxWidth":' + HUGE * 9 + b"}", DEEP[:3_000], b"\xff"]
)
async def test_whep_answers_400_with_a_code(server: Server, body: bytes) -> None:
    async with server.publisher():
        made = links(await whep_session(server))
        for extension in ("layer", "server-sent-events"):
            reply = await server.client.post(made[extension][0], content=body, headers=MEDIA_TYPE)
            assert validation(reply)


async def test_a_socket_answers_and_goes_on(server: Server) -> None:
    async with server.publisher(), server.socket("subscribe") as viewer:
        for body in (DEEP.decode(), '{"type":"cmd","transId":7,"name":"view","data":' + DEEP.decode() + "}"):
            assert (await viewer.send(body))["type"] == "error"
        answer = await viewer.send(
            '{"type":"cmd","transId":7,"name":"view","data":{"sdp":"","maxBitrate":' + HUGE.decode() + "}}"
        )
        assert (answer["type"], answer["transId"]) == ("error", 7)
        assert (await viewer.command("view", sdp=VIEW_OFFER))["type"] == "response"
