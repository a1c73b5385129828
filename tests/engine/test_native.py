"""The real media plane behind the port, on loopback."""

import dataclasses
import inspect
import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rostra.media.engine import Candidate, Engine, Overloaded
from rostra.media.native import NativeEngine
from rostra.model import media
from rostra.model.media import (
    AddSlot,
    BindSlot,
    CloseReason,
    CloseTransport,
    Codec,
    CodecSpec,
    Command,
    DtlsRole,
    EncodingSpec,
    Event,
    Extension,
    ExtensionKind,
    Fingerprint,
    Kind,
    MediaStats,
    Mid,
    OpenTransport,
    ReceiveSpec,
    RefusalCode,
    Rejected,
    RestartIce,
    SlotSpec,
    TrackId,
    TransportClosed,
    TransportId,
    TransportSpec,
    UnbindSlot,
)

from . import stun_client

PWD = "a-password-of-22-chars"


@pytest.fixture
def engine() -> Iterator[NativeEngine]:
    engine = NativeEngine("127.0.0.1", 0)
    yield engine
    engine.close()


def a_spec(ufrag: str = "local") -> TransportSpec:
    codecs = (CodecSpec(96, Codec.VP8, rtx_payload_type=97), CodecSpec(102, Codec.H264, None, 0x42E01F, 1))
    return TransportSpec(
        local_ufrag=ufrag,
        local_pwd=PWD,
        remote_ufrag="peer",
        remote_pwd="another-password-of-22",
        fingerprints=(Fingerprint("sha-256", bytes(32)),),
        dtls_role=DtlsRole.PASSIVE,
        extensions=(Extension(4, ExtensionKind.MID), Extension(3, ExtensionKind.TRANSPORT_CC)),
        cname="cname",
        receive=(
            ReceiveSpec(Mid("0"), TrackId(1), Kind.VIDEO, codecs, (EncodingSpec(rid="l"), EncodingSpec(rid="h"))),
        ),
        slots=(SlotSpec(Mid("1"), Kind.VIDEO, 11, 12, codecs),),
    )


def wait_until(engine: Engine, wanted: type[Event], seconds: float = 5) -> list[Event]:
    """Events up to the first of the wanted class; totals are left out unless they are wanted."""
    end = time.monotonic() + seconds
    found: list[Event] = []
    while (left := end - time.monotonic()) > 0:
        select.select([engine.fileno()], [], [], left)
        for event in engine.drain():
            if isinstance(event, wanted):
                return [*found, event]
            if not isinstance(event, MediaStats):
                found.append(event)
    raise AssertionError(f"no {wanted.__name__} within {seconds} s, but {found}")


def wait_for(engine: Engine, wanted: type[Event]) -> Event:
    """The next event of a class; whatever comes before it is dropped."""
    return wait_until(engine, wanted)[-1]


def is_readable(engine: Engine) -> bool:
    return bool(select.select([engine.fileno()], [], [], 0)[0])


def test_the_engine_says_where_and_who_it_is(engine: NativeEngine) -> None:
    (candidate,) = engine.candidates
    assert candidate == Candidate("127.0.0.1", candidate.port, "udp")
    assert candidate.port > 0
    assert len(bytes.fromhex(engine.fingerprint.replace(":", ""))) == 32
    assert engine.fingerprint == engine.fingerprint.upper()
    assert engine.fingerprint.count(":") == 31


def test_public_addresses_are_offered_first() -> None:
    engine = NativeEngine("127.0.0.1", 0, public_addresses=("203.0.113.7", "203.0.113.8:700"))
    try:
        port = engine.candidates[-1].port
        assert [(c.ip, c.port) for c in engine.candidates] == [
            ("203.0.113.7", port),
            ("203.0.113.8", 700),
            ("127.0.0.1", port),
        ]
    finally:
        engine.close()


@pytest.mark.parametrize(
    ("host", "public", "shards", "named"),
    [("localhost", (), 1, "host"), ("127.0.0.1", ("here",), 1, "public_addresses"), ("127.0.0.1", (), 2, "shards")],
)
def test_a_configuration_that_cannot_work_is_named(host: str, public: tuple[str, ...], shards: int, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        NativeEngine(host, 0, public_addresses=public, shards=shards)


def test_a_port_in_use_is_an_error_of_the_system(engine: NativeEngine) -> None:
    with pytest.raises(OSError, match=r"cannot listen on UDP 127\.0\.0\.1") as caught:
        NativeEngine("127.0.0.1", engine.candidates[0].port)
    assert caught.value.errno is not None


def test_a_closed_engine_frees_its_port_and_takes_no_orders() -> None:
    engine = NativeEngine("127.0.0.1", 0)
    engine.close()
    engine.close()
    with pytest.raises(Overloaded):
        engine.submit(CloseTransport(TransportId(1)))
    NativeEngine("127.0.0.1", engine.candidates[0].port).close()


def test_too_many_commands_are_refused_all_or_none() -> None:
    engine = NativeEngine("127.0.0.1", 0, command_capacity=3)
    unknown = [BindSlot(TransportId(i), Mid("1"), TrackId(1)) for i in range(1, 5)]
    try:
        with pytest.raises(Overloaded):
            engine.submit(*unknown)
        engine.submit(unknown[3])
        # Were one of the four taken, its refusal would come before this one.
        assert wait_for(engine, Rejected) == Rejected(TransportId(4), Mid("1"), RefusalCode.UNKNOWN_TRANSPORT)
    finally:
        engine.close()


def test_every_kind_of_command_is_understood_and_obeyed_in_order(engine: NativeEngine) -> None:
    one, two = TransportId(1), TransportId(2**63 - 1)
    mid = Mid("1")
    engine.submit(
        OpenTransport(one, a_spec()),
        AddSlot(one, dataclasses.replace(a_spec().slots[0], mid=Mid("2"), ssrc=21, rtx_ssrc=22)),
        BindSlot(one, mid, TrackId(99)),
        UnbindSlot(one, Mid("7")),
        UnbindSlot(one, mid),
        AddSlot(two, a_spec().slots[0]),
        CloseTransport(two),
        CloseTransport(one),
    )
    assert wait_until(engine, TransportClosed) == [
        Rejected(one, mid, RefusalCode.UNKNOWN_TRACK),
        Rejected(one, Mid("7"), RefusalCode.UNKNOWN_SLOT),
        Rejected(two, mid, RefusalCode.UNKNOWN_TRANSPORT),
        TransportClosed(one, CloseReason.CLOSED),
    ]


SLOT = a_spec().slots[0]
CODEC = SLOT.codecs[0]


def with_codec(**fields: object) -> TransportSpec:
    codec = dataclasses.replace(CODEC, **fields)  # type: ignore[arg-type]
    return dataclasses.replace(a_spec(), slots=(dataclasses.replace(SLOT, codecs=(CODEC, codec)),))


@pytest.mark.parametrize(
    ("command", "named"),
    [
        (CloseTransport(TransportId(0)), "transport: expected an integer from 1"),
        (CloseTransport(TransportId(2**63)), "transport: expected an integer from 1"),
        (CloseTransport("1"), "transport: expected an integer from 1"),  # type: ignore[arg-type]
        (UnbindSlot(TransportId(1), Mid("")), "mid: expected 1 to 16 bytes"),
        (UnbindSlot(TransportId(1), Mid("a" * 17)), "mid: expected 1 to 16 bytes"),
        (UnbindSlot(TransportId(1), Mid("\ud800")), "mid: "),
        (OpenTransport(TransportId(1), with_codec(payload_type=256)), r"spec\.slots\[0\]\.codecs\[1\]\.payload_type: "),
        (OpenTransport(TransportId(1), with_codec(payload_type=-1)), r"spec\.slots\[0\]\.codecs\[1\]\.payload_type: "),
        (OpenTransport(TransportId(1), with_codec(codec="h265")), r"codecs\[1\]\.codec: expected one of opus"),
        (
            OpenTransport(TransportId(1), dataclasses.replace(a_spec(), fingerprints=(Fingerprint("sha-1", b""),))),
            r"spec\.fingerprints\[0\]\.hash: expected one of sha-256",
        ),
        (
            OpenTransport(TransportId(1), dataclasses.replace(a_spec(), slots=(SLOT,) * 1025)),
            r"spec\.slots: more than 1024 items",
        ),
        (OpenTransport(TransportId(1), dataclasses.replace(a_spec(), cname="x" * 1025)), r"spec\.cname: longer than"),
        (OpenTransport(TransportId(1), None), r"spec\.local_ufrag: "),  # type: ignore[arg-type]
        (SLOT, "SlotSpec is no command"),
    ],
)
def test_a_command_that_does_not_convert_is_named_and_nothing_is_taken(
    engine: NativeEngine, command: Command, named: str
) -> None:
    before, after = (BindSlot(TransportId(i), Mid("1"), TrackId(1)) for i in (5, 6))
    with pytest.raises(ValueError, match=rf"commands\[1\]\.?.*{named}"):
        engine.submit(before, command)
    engine.submit(after)
    assert wait_for(engine, Rejected) == Rejected(TransportId(6), Mid("1"), RefusalCode.UNKNOWN_TRANSPORT)


def test_totals_arrive_by_themselves_and_have_every_field(engine: NativeEngine) -> None:
    stats = wait_for(engine, MediaStats)
    assert isinstance(stats, MediaStats)
    assert all(isinstance(getattr(stats, field.name), int) for field in dataclasses.fields(stats)[:-1])
    reasons = [reason for reason, _ in stats.dropped]
    assert "stun_unauthenticated" in reasons
    assert len(set(reasons)) == len(reasons)


def test_the_descriptor_is_readable_only_while_there_is_something(engine: NativeEngine) -> None:
    wait_for(engine, MediaStats)
    assert not is_readable(engine)
    engine.submit(BindSlot(TransportId(1), Mid("1"), TrackId(1)))
    assert select.select([engine.fileno()], [], [], 5)[0]
    assert engine.drain() == [Rejected(TransportId(1), Mid("1"), RefusalCode.UNKNOWN_TRANSPORT)]
    assert not is_readable(engine)
    assert engine.drain() == []


def test_every_event_of_the_model_can_be_rebuilt() -> None:
    from rostra.media.native import _EVENTS

    events = {name: cls for name, cls in inspect.getmembers(media, inspect.isclass) if cls in media.Event.__args__}
    assert set(_EVENTS) == set(events)


def test_close_ends_every_transport() -> None:
    engine = NativeEngine("127.0.0.1", 0)
    engine.submit(OpenTransport(TransportId(7), a_spec()))
    engine.close()
    assert TransportClosed(TransportId(7), CloseReason.CLOSED) in engine.drain()


def test_a_check_with_the_right_credentials_is_answered_at_once(engine: NativeEngine) -> None:
    engine.submit(OpenTransport(TransportId(1), a_spec()))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.settimeout(5)
        peer.connect(("127.0.0.1", engine.candidates[0].port))
        transaction = os.urandom(12)
        peer.send(stun_client.check(local_ufrag="local", remote_ufrag="peer", pwd=PWD, transaction=transaction))
        answer = stun_client.success(peer.recv(2048), PWD)
        assert answer == stun_client.Success(transaction, peer.getsockname())


def test_a_check_with_wrong_credentials_is_not_answered_and_counted(engine: NativeEngine) -> None:
    engine.submit(OpenTransport(TransportId(1), a_spec()))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.settimeout(5)
        peer.connect(("127.0.0.1", engine.candidates[0].port))
        for pwd, transaction in (("a-password-of-22-wrong", b"1" * 12), (PWD, b"2" * 12)):
            peer.send(stun_client.check(local_ufrag="local", remote_ufrag="peer", pwd=pwd, transaction=transaction))
        # The answer to the second is the first that comes.
        assert stun_client.success(peer.recv(2048), PWD).transaction == b"2" * 12
    stats = wait_for(engine, MediaStats)
    assert isinstance(stats, MediaStats)
    assert dict(stats.dropped)["stun_unauthenticated"] == 1


def test_after_a_restart_old_credentials_count_until_the_first_check_with_new_ones(engine: NativeEngine) -> None:
    fresh = "a-fresh-password-of-24-x"
    engine.submit(OpenTransport(TransportId(1), a_spec()), RestartIce(TransportId(1), "next", fresh, "peer2", "q" * 24))
    old, new = ("local", "peer", PWD), ("next", "peer2", fresh)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.settimeout(5)
        peer.connect(("127.0.0.1", engine.candidates[0].port))
        # The last but one is not answered, so that the answer to the last comes in its place.
        for number, (ours, theirs, pwd) in enumerate((old, new, old, new)):
            transaction = bytes([number]) * 12
            peer.send(stun_client.check(local_ufrag=ours, remote_ufrag=theirs, pwd=pwd, transaction=transaction))
            if number != 2:
                assert stun_client.success(peer.recv(2048), pwd).transaction == transaction
    stats = wait_for(engine, MediaStats)
    assert isinstance(stats, MediaStats)
    assert dict(stats.dropped)["stun_unknown_user"] == 1


def test_a_transport_that_ended_in_a_restart_leaves_no_fragment_behind(engine: NativeEngine) -> None:
    one, last = TransportId(1), TransportId(9)
    restarts = [RestartIce(one, ufrag, "p" * 24, "peer2", "q" * 24) for ufrag in ("unused", "next")]
    engine.submit(OpenTransport(one, a_spec()), *restarts, CloseTransport(one))
    for number, ufrag in enumerate(("local", "unused", "next"), start=2):
        free = dataclasses.replace(a_spec(ufrag), receive=(), slots=())
        engine.submit(OpenTransport(TransportId(number), free))
    # Were one of the three refused, it would be told before this one.
    engine.submit(UnbindSlot(last, Mid("1")))
    assert wait_for(engine, Rejected) == Rejected(last, Mid("1"), RefusalCode.UNKNOWN_TRANSPORT)


def test_a_busy_interpreter_does_not_delay_the_media_threads(engine: NativeEngine) -> None:
    """Another process sends checks while this one holds the GIL for 500 ms in pure Python."""
    engine.submit(OpenTransport(TransportId(1), a_spec()))
    port = str(engine.candidates[0].port)
    script = Path(stun_client.__file__)
    with subprocess.Popen(
        [sys.executable, script, port, "local", PWD, "1.5"], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        busy_from = time.monotonic()
        while (busy_to := time.monotonic()) < busy_from + 0.5:
            pass
        output, _ = child.communicate(timeout=10)
    during = [(sent, answered) for sent, answered in json.loads(output) if busy_from < sent < busy_to - 0.25]
    assert len(during) >= 5
    waits = [answered - sent if answered else float("inf") for sent, answered in during]
    # A thread that needed the GIL would answer none before the loop ends, which is 250 ms away at least.
    assert max(waits) < 0.25
