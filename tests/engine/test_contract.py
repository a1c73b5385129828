"""What every media plane promises (docs/seam.md): the same tests for the one in memory and for the real one."""

import importlib.util
import os
import re
import select
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rostra.media.engine import Engine, Overloaded
from rostra.media.fake import FakeEngine
from rostra.model.media import (
    AddSlot,
    AddVoice,
    BandwidthSpec,
    BindSlot,
    CloseReason,
    CloseTransport,
    Codec,
    CodecSpec,
    Command,
    EncodingSpec,
    Event,
    Fingerprint,
    GroupId,
    Inspect,
    Inspected,
    Kind,
    LayerChoice,
    Listen,
    LocalFeedSpec,
    MediaStats,
    Mid,
    OpenLocalFeed,
    OpenTransport,
    PlayoutDelay,
    Priority,
    ReceiveSpec,
    RefusalCode,
    Rejected,
    RemoveVoice,
    RestartIce,
    SlotReport,
    SlotSpec,
    SlotVoice,
    SourceKey,
    Speaker,
    Speakers,
    Strategy,
    TrackId,
    TransportClosed,
    TransportConnected,
    TransportId,
    UnbindSlot,
    Waiting,
)
from tests.scene import AUDIO_CODECS, VIDEO_CODECS, slot_spec, transport_spec

TIMEOUT_S = 10
PUBLISHER, VIEWER, STRANGER, MARK = TransportId(1), TransportId(2), TransportId(3), TransportId(1000)
VIDEO_TRACK, AUDIO_TRACK = TrackId(11), TrackId(12)
VIDEO_MID, AUDIO_MID = Mid("0"), Mid("1")
VP8 = CodecSpec(96, Codec.VP8, 97)
GROUP, ALICE, BOB = GroupId(5), SourceKey(51), SourceKey(52)


def open_native() -> Engine:
    from rostra.media.native import NativeEngine

    return NativeEngine("127.0.0.1", 0)


ENGINES: dict[str, Callable[[], Engine]] = {"fake": FakeEngine}
if importlib.util.find_spec("rostra._media") is not None:
    ENGINES["native"] = open_native


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    engine = ENGINES[request.param]()
    yield engine
    engine.close()


def publisher() -> OpenTransport:
    receive = (
        ReceiveSpec(VIDEO_MID, VIDEO_TRACK, Kind.VIDEO, (VP8,), (EncodingSpec(ssrc=71, rtx_ssrc=72),)),
        ReceiveSpec(AUDIO_MID, AUDIO_TRACK, Kind.AUDIO, AUDIO_CODECS),
    )
    return OpenTransport(PUBLISHER, transport_spec(PUBLISHER, receive=receive))


def viewer() -> OpenTransport:
    slots = (
        slot_spec("0", Kind.VIDEO),
        slot_spec("1", Kind.AUDIO),
        slot_spec("2", Kind.VIDEO, (CodecSpec(35, Codec.AV1),)),
    )
    return OpenTransport(VIEWER, transport_spec(VIEWER, slots=slots))


def told(engine: Engine, *commands: Command) -> list[Event]:
    """What the engine says about these commands, up to the end of a transport opened and closed after them."""
    engine.submit(*commands, OpenTransport(MARK, transport_spec(MARK)), CloseTransport(MARK))
    events: list[Event] = []
    end = TransportClosed(MARK, CloseReason.CLOSED)
    while end not in events:
        assert select.select([engine.fileno()], [], [], TIMEOUT_S)[0], events
        events += [event for event in engine.drain() if not isinstance(event, MediaStats)]
    assert events.pop() == end
    return events


def test_it_has_a_fingerprint_and_an_address(engine: Engine) -> None:
    assert re.fullmatch(r"[0-9A-F]{2}(:[0-9A-F]{2}){31}", engine.fingerprint)
    assert engine.candidates[0].port > 0


def test_nothing_is_readable_before_something_happened(engine: Engine) -> None:
    assert engine.drain() == []


def test_what_is_fine_is_not_answered(engine: Engine) -> None:
    commands = (
        publisher(),
        viewer(),
        AddSlot(VIEWER, slot_spec("7", Kind.AUDIO)),
        BindSlot(VIEWER, VIDEO_MID, VIDEO_TRACK),
        BindSlot(VIEWER, Mid("7"), AUDIO_TRACK),
        UnbindSlot(VIEWER, VIDEO_MID),
        UnbindSlot(VIEWER, VIDEO_MID),
        CloseTransport(STRANGER),
    )
    assert told(engine, *commands) == []


def test_a_transport_ends_once(engine: Engine) -> None:
    closed = TransportClosed(PUBLISHER, CloseReason.CLOSED)
    assert told(engine, publisher(), CloseTransport(PUBLISHER), CloseTransport(PUBLISHER)) == [closed]
    assert told(engine, CloseTransport(PUBLISHER)) == []


REFUSED: dict[str, tuple[Command, RefusalCode]] = {
    "transport twice": (publisher(), RefusalCode.DUPLICATE),
    "ufrag twice": (OpenTransport(STRANGER, transport_spec(PUBLISHER)), RefusalCode.DUPLICATE),
    "track twice": (
        OpenTransport(
            STRANGER, transport_spec(STRANGER, receive=(ReceiveSpec(VIDEO_MID, VIDEO_TRACK, Kind.VIDEO, (VP8,)),))
        ),
        RefusalCode.DUPLICATE,
    ),
    "mid twice in a spec": (
        OpenTransport(
            STRANGER,
            transport_spec(
                STRANGER, slots=(slot_spec("0", Kind.VIDEO), replace(slot_spec("5", Kind.AUDIO), mid=Mid("0")))
            ),
        ),
        RefusalCode.DUPLICATE,
    ),
    "ssrc twice in a spec": (
        OpenTransport(
            STRANGER,
            transport_spec(
                STRANGER, slots=(slot_spec("0", Kind.VIDEO), replace(slot_spec("0", Kind.AUDIO), mid=Mid("5")))
            ),
        ),
        RefusalCode.DUPLICATE,
    ),
    "no fingerprint": (
        OpenTransport(STRANGER, replace(transport_spec(STRANGER), fingerprints=())),
        RefusalCode.INVALID,
    ),
    "too many fingerprints": (
        OpenTransport(
            STRANGER, replace(transport_spec(STRANGER), fingerprints=(Fingerprint("sha-256", bytes(32)),) * 17)
        ),
        RefusalCode.TOO_MANY,
    ),
    "no password": (OpenTransport(STRANGER, replace(transport_spec(STRANGER), remote_pwd="")), RefusalCode.INVALID),
    "restart of nobody": (RestartIce(STRANGER, "fresh", "p" * 24, "peer2", "q" * 24), RefusalCode.UNKNOWN_TRANSPORT),
    "restart with a fragment in use": (
        RestartIce(VIEWER, transport_spec(PUBLISHER).local_ufrag, "p" * 24, "peer2", "q" * 24),
        RefusalCode.DUPLICATE,
    ),
    "restart with the same fragment": (
        RestartIce(VIEWER, transport_spec(VIEWER).local_ufrag, "p" * 24, "peer2", "q" * 24),
        RefusalCode.DUPLICATE,
    ),
    "restart without our fragment": (RestartIce(VIEWER, "", "p" * 24, "peer2", "q" * 24), RefusalCode.INVALID),
    "restart without our password": (RestartIce(VIEWER, "fresh", "", "peer2", "q" * 24), RefusalCode.INVALID),
    "restart without their fragment": (RestartIce(VIEWER, "fresh", "p" * 24, "", "q" * 24), RefusalCode.INVALID),
    "restart without their password": (RestartIce(VIEWER, "fresh", "p" * 24, "peer2", ""), RefusalCode.INVALID),
    "restart with a fragment that is too long": (
        RestartIce(VIEWER, "fresh", "p" * 24, "q" * 257, "q" * 24),
        RefusalCode.INVALID,
    ),
    "no name": (OpenTransport(STRANGER, replace(transport_spec(STRANGER), cname="")), RefusalCode.INVALID),
    "no encoding": (
        OpenTransport(
            STRANGER, transport_spec(STRANGER, receive=(ReceiveSpec(VIDEO_MID, TrackId(99), Kind.VIDEO, (VP8,), ()),))
        ),
        RefusalCode.INVALID,
    ),
    "audio codec for video": (
        OpenTransport(STRANGER, transport_spec(STRANGER, slots=(slot_spec("0", Kind.VIDEO, AUDIO_CODECS),))),
        RefusalCode.KIND_MISMATCH,
    ),
    "too many codecs": (
        OpenTransport(STRANGER, transport_spec(STRANGER, slots=(slot_spec("0", Kind.VIDEO, (VP8,) * 33),))),
        RefusalCode.TOO_MANY,
    ),
    "payload type out of range": (
        OpenTransport(
            STRANGER, transport_spec(STRANGER, slots=(slot_spec("0", Kind.VIDEO, (CodecSpec(128, Codec.VP8),)),))
        ),
        RefusalCode.INVALID,
    ),
    "slot of nobody": (AddSlot(STRANGER, slot_spec("7", Kind.VIDEO)), RefusalCode.UNKNOWN_TRANSPORT),
    "slot twice": (AddSlot(VIEWER, replace(slot_spec("7", Kind.VIDEO), mid=VIDEO_MID)), RefusalCode.DUPLICATE),
    "slot with a taken ssrc": (
        AddSlot(VIEWER, replace(slot_spec("0", Kind.VIDEO), mid=Mid("7"))),
        RefusalCode.DUPLICATE,
    ),
    "slot with one ssrc": (AddSlot(VIEWER, SlotSpec(Mid("7"), Kind.VIDEO, 5, 5, VIDEO_CODECS)), RefusalCode.DUPLICATE),
    "slot with codecs of the other kind": (
        AddSlot(VIEWER, slot_spec("7", Kind.AUDIO, VIDEO_CODECS)),
        RefusalCode.KIND_MISMATCH,
    ),
    "bind for nobody": (BindSlot(STRANGER, VIDEO_MID, VIDEO_TRACK), RefusalCode.UNKNOWN_TRANSPORT),
    "bind without slot": (BindSlot(VIEWER, Mid("9"), VIDEO_TRACK), RefusalCode.UNKNOWN_SLOT),
    "bind without track": (BindSlot(VIEWER, VIDEO_MID, TrackId(99)), RefusalCode.UNKNOWN_TRACK),
    "bind to the other kind": (BindSlot(VIEWER, AUDIO_MID, VIDEO_TRACK), RefusalCode.KIND_MISMATCH),
    "bind without codec": (BindSlot(VIEWER, Mid("2"), VIDEO_TRACK), RefusalCode.CODEC_NOT_NEGOTIATED),
    "voice of no track": (AddVoice(GROUP, TrackId(99), ALICE), RefusalCode.UNKNOWN_TRACK),
    "voice of a picture": (AddVoice(GROUP, VIDEO_TRACK, ALICE), RefusalCode.KIND_MISMATCH),
    "listening for nobody": (Listen(STRANGER, GROUP, (AUDIO_MID,)), RefusalCode.UNKNOWN_TRANSPORT),
    "unbind for nobody": (UnbindSlot(STRANGER, VIDEO_MID), RefusalCode.UNKNOWN_TRANSPORT),
    "unbind without slot": (UnbindSlot(VIEWER, Mid("9")), RefusalCode.UNKNOWN_SLOT),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_wrong_is_rejected_with_its_code(engine: Engine, case: str) -> None:
    command, code = REFUSED[case]
    mid = command.slot.mid if isinstance(command, AddSlot) else getattr(command, "mid", None)
    transport = getattr(command, "transport", None)
    assert told(engine, publisher(), viewer(), command) == [Rejected(transport, mid, code)]


def test_a_transport_that_was_refused_does_not_end(engine: Engine) -> None:
    refused = OpenTransport(STRANGER, replace(transport_spec(STRANGER), cname=""))
    events = told(engine, refused, CloseTransport(STRANGER))
    assert events == [Rejected(STRANGER, None, RefusalCode.INVALID)]


def test_a_slot_has_room_up_to_the_limit(engine: Engine) -> None:
    slots = [AddSlot(VIEWER, replace(slot_spec(str(mid), Kind.AUDIO), mid=Mid(f"m{mid}"))) for mid in range(10, 520)]
    events = told(engine, viewer(), *slots)
    assert events == [Rejected(VIEWER, Mid("m519"), RefusalCode.TOO_MANY)]


def test_a_track_is_unknown_after_its_publisher_left(engine: Engine) -> None:
    bind = BindSlot(VIEWER, VIDEO_MID, VIDEO_TRACK)
    events = told(engine, publisher(), viewer(), bind, CloseTransport(PUBLISHER), bind)
    assert events == [
        TransportClosed(PUBLISHER, CloseReason.CLOSED),
        Rejected(VIEWER, VIDEO_MID, RefusalCode.UNKNOWN_TRACK),
    ]


FEED = TransportId(7)
ENCODER = LocalFeedSpec(
    "encoder",
    (
        ReceiveSpec(VIDEO_MID, TrackId(71), Kind.VIDEO, (CodecSpec(96, Codec.H264),), (EncodingSpec(ssrc=711),)),
        ReceiveSpec(AUDIO_MID, TrackId(72), Kind.AUDIO, AUDIO_CODECS, (EncodingSpec(ssrc=721),)),
    ),
)


@pytest.fixture
def link() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.settimeout(TIMEOUT_S)
    with ours, theirs:
        yield ours, theirs


Link = tuple[socket.socket, socket.socket]


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def with_encoding(encoding: EncodingSpec) -> LocalFeedSpec:
    return replace(ENCODER, receive=(replace(ENCODER.receive[0], encodings=(encoding,)),))


def test_a_local_feed_is_connected_at_once_and_ends_once(engine: Engine, link: Link) -> None:
    before = descriptors()
    connected = TransportConnected(FEED, "local")
    assert told(engine, OpenLocalFeed(FEED, ENCODER, link[0].fileno())) == [connected]
    assert descriptors() == before + 1
    bind = BindSlot(VIEWER, VIDEO_MID, TrackId(71))
    assert told(engine, viewer(), bind) == []
    closed = TransportClosed(FEED, CloseReason.CLOSED)
    assert told(engine, CloseTransport(FEED), CloseTransport(FEED)) == [closed]
    assert descriptors() == before
    # What it was asked for comes first. That we still have a duplicate of the other end does not matter.
    while link[1].recv(2000):
        pass


def test_a_local_feed_leaves_no_descriptor_when_the_engine_closes(link: Link) -> None:
    for make in ENGINES.values():
        before = descriptors()
        engine = make()
        engine.submit(OpenLocalFeed(FEED, ENCODER, link[0].fileno()))
        engine.close()
        del engine
        assert descriptors() == before


FEEDS: dict[str, tuple[LocalFeedSpec, RefusalCode]] = {
    "no name": (replace(ENCODER, cname=""), RefusalCode.INVALID),
    "no encoding": (replace(ENCODER, receive=(replace(ENCODER.receive[0], encodings=()),)), RefusalCode.INVALID),
    "no ssrc": (with_encoding(EncodingSpec()), RefusalCode.INVALID),
    "retransmissions": (with_encoding(EncodingSpec(ssrc=711, rtx_ssrc=712)), RefusalCode.INVALID),
    "a payload type for retransmissions": (
        replace(ENCODER, receive=(replace(ENCODER.receive[0], codecs=(VP8,)),)),
        RefusalCode.INVALID,
    ),
    "codecs of the other kind": (
        replace(ENCODER, receive=(replace(ENCODER.receive[0], codecs=AUDIO_CODECS),)),
        RefusalCode.KIND_MISMATCH,
    ),
    "an ssrc twice": (
        replace(ENCODER, receive=(replace(ENCODER.receive[0], encodings=(EncodingSpec(ssrc=711),) * 2),)),
        RefusalCode.DUPLICATE,
    ),
    "too many tracks": (replace(ENCODER, receive=ENCODER.receive * 257), RefusalCode.TOO_MANY),
    "a track that is taken": (
        replace(ENCODER, receive=(replace(ENCODER.receive[0], track=VIDEO_TRACK),)),
        RefusalCode.DUPLICATE,
    ),
}


@pytest.mark.parametrize("case", FEEDS)
def test_a_local_feed_that_is_wrong_is_rejected_and_its_duplicate_closed(engine: Engine, link: Link, case: str) -> None:
    spec, code = FEEDS[case]
    before = descriptors()
    assert told(engine, publisher(), OpenLocalFeed(FEED, spec, link[0].fileno())) == [Rejected(FEED, None, code)]
    assert descriptors() == before


def test_a_local_feed_that_is_refused_because_of_its_id_leaves_the_one_that_has_it(engine: Engine, link: Link) -> None:
    opened = OpenLocalFeed(FEED, ENCODER, link[0].fileno())
    refused = Rejected(FEED, None, RefusalCode.DUPLICATE)
    before = descriptors()
    assert told(engine, opened, opened) == [TransportConnected(FEED, "local"), refused]
    assert told(engine, OpenTransport(FEED, transport_spec(FEED))) == [refused]
    assert descriptors() == before + 1
    assert told(engine, CloseTransport(FEED)) == [TransportClosed(FEED, CloseReason.CLOSED)]
    assert descriptors() == before


def test_a_local_feed_has_no_slots(engine: Engine, link: Link) -> None:
    slot = slot_spec("7", Kind.VIDEO)
    events = told(engine, OpenLocalFeed(FEED, ENCODER, link[0].fileno()), AddSlot(FEED, slot))
    assert events[1:] == [Rejected(FEED, slot.mid, RefusalCode.INVALID)]


def test_what_is_no_link_of_a_feed_is_an_error_at_once_and_nothing_is_taken(engine: Engine, link: Link) -> None:
    ours, _ = link
    stream, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    reader, writer = os.pipe()
    with stream, other, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        before = descriptors()
        for wrong in (stream.fileno(), udp.fileno(), reader, -1, 10**6, 2**40):
            with pytest.raises(ValueError, match="descriptor: "):
                engine.submit(
                    publisher(), OpenLocalFeed(FEED, ENCODER, ours.fileno()), OpenLocalFeed(FEED, ENCODER, wrong)
                )
        assert descriptors() == before
    os.close(reader)
    os.close(writer)
    assert told(engine, CloseTransport(PUBLISHER), CloseTransport(FEED)) == []


CHOICES = [
    LayerChoice(),
    LayerChoice(encoding=7),
    LayerChoice(255, 255, 255, 255, 255, 65_535, 65_535),
    LayerChoice(0, 0, 0, 0, 0, 1, 1),
]


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("priority", Priority)
def test_any_layer_may_be_chosen_again_and_again(engine: Engine, choice: LayerChoice, priority: Priority) -> None:
    bind = BindSlot(VIEWER, VIDEO_MID, VIDEO_TRACK, choice, priority)
    first = BindSlot(VIEWER, VIDEO_MID, VIDEO_TRACK)
    assert told(engine, publisher(), viewer(), first, bind, bind, first) == []


def test_a_viewer_may_say_what_its_line_takes(engine: Engine) -> None:
    opened = viewer()
    shares = [BandwidthSpec(10**9, 30_000, strategy, smooth=True) for strategy in Strategy]
    for share in shares:
        spec = replace(opened.spec, bandwidth=share, playout_delay=PlayoutDelay(0, 40_950))
        ended = TransportClosed(VIEWER, CloseReason.CLOSED)
        assert told(engine, OpenTransport(VIEWER, spec), CloseTransport(VIEWER)) == [ended]


def test_who_asks_how_a_transport_does_is_answered_whether_it_is_there_or_not(engine: Engine) -> None:
    binds = BindSlot(VIEWER, VIDEO_MID, VIDEO_TRACK), BindSlot(VIEWER, AUDIO_MID, AUDIO_TRACK)
    answers = told(engine, publisher(), viewer(), *binds, Inspect(VIEWER), Inspect(STRANGER))
    (told_of_viewer, told_of_stranger) = answers
    assert told_of_stranger == Inspected(STRANGER, None)
    assert isinstance(told_of_viewer, Inspected)
    report = told_of_viewer.report
    assert report is not None
    assert (report.ice_us, report.dtls_us, report.first_packet_us, report.first_bound_us) == (None,) * 4
    assert report.slots == (SlotReport(VIDEO_MID, VIDEO_TRACK, None, Waiting.TRANSPORT),), "pictures alone"


LISTENING: dict[str, tuple[tuple[str, ...], str, RefusalCode]] = {
    "slot that is not there": (("1", "9"), "9", RefusalCode.UNKNOWN_SLOT),
    "slot for pictures": (("1", "0"), "0", RefusalCode.KIND_MISMATCH),
    "slot twice": (("7", "1", "7"), "7", RefusalCode.DUPLICATE),
}


@pytest.mark.parametrize("case", LISTENING)
def test_listening_on_wrong_slots_is_rejected_and_names_the_slot(engine: Engine, case: str) -> None:
    mids, named, code = LISTENING[case]
    listen = Listen(VIEWER, GROUP, tuple(map(Mid, mids)))
    events = told(engine, viewer(), AddSlot(VIEWER, slot_spec("7", Kind.AUDIO)), listen)
    assert events == [Rejected(VIEWER, Mid(named), code)]


def test_a_track_is_a_voice_of_one_source_in_one_group(engine: Engine) -> None:
    add = AddVoice(GROUP, AUDIO_TRACK, ALICE)
    twice = Rejected(None, None, RefusalCode.DUPLICATE)
    assert told(engine, publisher(), add, add) == []
    assert told(engine, AddVoice(GROUP, AUDIO_TRACK, BOB)) == [twice]
    assert told(engine, AddVoice(GroupId(6), AUDIO_TRACK, ALICE)) == [twice]
    assert told(engine, RemoveVoice(AUDIO_TRACK), AddVoice(GroupId(6), AUDIO_TRACK, BOB)) == []


def test_a_voice_leaves_with_its_track(engine: Engine) -> None:
    add = AddVoice(GROUP, AUDIO_TRACK, ALICE)
    assert told(engine, publisher(), add, CloseTransport(PUBLISHER), add) == [
        TransportClosed(PUBLISHER, CloseReason.CLOSED),
        Rejected(None, None, RefusalCode.UNKNOWN_TRACK),
    ]


def test_removing_nobody_and_listening_to_nobody_are_no_errors(engine: Engine) -> None:
    listen, mute = Listen(VIEWER, GROUP, (AUDIO_MID,), frozenset({ALICE})), Listen(VIEWER, GROUP, ())
    commands = RemoveVoice(AUDIO_TRACK), RemoveVoice(TrackId(99)), listen, listen, mute, mute
    assert told(engine, publisher(), viewer(), *commands) == []


def test_a_slot_may_go_into_a_pool_and_out_again(engine: Engine) -> None:
    add, listen = AddVoice(GROUP, AUDIO_TRACK, ALICE), Listen(VIEWER, GROUP, (AUDIO_MID,))
    bind, unbind = BindSlot(VIEWER, AUDIO_MID, AUDIO_TRACK), UnbindSlot(VIEWER, AUDIO_MID)
    assert told(engine, publisher(), viewer(), bind, listen, add, bind, listen, unbind, unbind, listen) == []


def test_closing_ends_every_transport_and_takes_no_more_commands(engine: Engine) -> None:
    assert told(engine, publisher(), viewer()) == []
    engine.close()
    engine.close()
    ended = {event for event in engine.drain() if isinstance(event, TransportClosed)}
    assert ended == {TransportClosed(PUBLISHER, CloseReason.CLOSED), TransportClosed(VIEWER, CloseReason.CLOSED)}
    with pytest.raises(Overloaded):
        engine.submit(CloseTransport(PUBLISHER))


def test_the_memory_engine_takes_all_or_nothing() -> None:
    engine = FakeEngine(capacity=1)
    with pytest.raises(Overloaded):
        engine.submit(publisher(), viewer())
    assert engine.transports() == set()
    engine.submit(publisher())
    assert engine.transports() == {PUBLISHER}


def a_stage(*sources: int) -> FakeEngine:
    """Publishers of one voice each, all of them started, and a viewer with two slots for voices."""
    engine = FakeEngine()
    for number in sources:
        transport, track = TransportId(number), TrackId(number)
        receive = (ReceiveSpec(AUDIO_MID, track, Kind.AUDIO, AUDIO_CODECS),)
        engine.submit(OpenTransport(transport, transport_spec(number, receive=receive)))
        engine.submit(AddVoice(GROUP, track, SourceKey(number)))
        engine.start(track)
    slots = tuple(slot_spec(mid, Kind.AUDIO) for mid in ("1", "2", "3"))
    engine.submit(OpenTransport(VIEWER, transport_spec(VIEWER, slots=slots)))
    engine.drain()
    return engine


def played(mid: str, track: int | None) -> SlotVoice:
    return SlotVoice(VIEWER, Mid(mid), TrackId(track) if track is not None else None)


TWO_SLOTS = Mid("2"), Mid("3")


def test_in_memory_all_candidates_are_played_where_there_is_room() -> None:
    engine = a_stage(11, 12, 13)
    engine.submit(Listen(VIEWER, GROUP, TWO_SLOTS, frozenset({SourceKey(12)})))
    assert engine.drain() == [played("2", 11), played("3", 13)]
    engine.submit(CloseTransport(TransportId(11)))
    assert engine.drain() == [played("2", None), TransportClosed(TransportId(11), CloseReason.CLOSED)]
    engine.submit(Listen(VIEWER, GROUP, TWO_SLOTS))
    assert engine.drain() == [played("2", 12)]


def test_in_memory_who_speaks_is_played_and_keeps_its_slot() -> None:
    engine = a_stage(11, 12, 13)
    engine.submit(Listen(VIEWER, GROUP, TWO_SLOTS))
    assert engine.drain() == []
    one, two, three = (Speaker(TrackId(track), 30) for track in (11, 12, 13))
    engine.speak(GROUP, one)
    engine.speak(GROUP, two, one)
    engine.speak(GROUP, two, one)
    assert engine.drain() == [played("2", 11), Speakers(GROUP, (one,)), played("3", 12), Speakers(GROUP, (two, one))]
    engine.speak(GROUP)
    engine.speak(GROUP, three, two)
    assert engine.drain() == [Speakers(GROUP, ()), played("2", 13), Speakers(GROUP, (three, two))]


def test_in_memory_a_slot_that_leaves_its_pool_is_emptied() -> None:
    engine = a_stage(11, 12)
    engine.submit(Listen(VIEWER, GROUP, TWO_SLOTS))
    engine.drain()
    engine.submit(BindSlot(VIEWER, Mid("2"), TrackId(12)))
    assert (engine.pool(VIEWER), engine.slots(VIEWER)[Mid("2")]) == ((Mid("3"),), TrackId(12))
    assert [event for event in engine.drain() if isinstance(event, SlotVoice)] == [played("2", None)]
    engine.submit(Listen(VIEWER, GROUP, ()))
    assert (engine.pool(VIEWER), engine.drain()) == ((), [played("3", None)])
