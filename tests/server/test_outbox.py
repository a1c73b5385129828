"""What a socket still has to send."""

import asyncio
import json

from rostra.model.effects import Inactive, Layers, LayersOf, Speaking, Vad, ViewerCount
from rostra.model.media import EncodingReport, Mid, TrackId, TrackLayers
from rostra.server.outbox import MAX_CHARACTERS, MAX_MESSAGES, Outbox
from tests.scene import KEY, source


async def taken(outbox: Outbox) -> list[str]:
    """Everything that is there."""
    outbox.finish()
    texts: list[str] = []
    while (text := await outbox.next()) is not None:
        texts.append(text)
    return texts


async def test_messages_keep_their_order_and_the_count_goes_last() -> None:
    outbox = Outbox()
    outbox.tell(ViewerCount(KEY, 1))
    outbox.post("one")
    outbox.tell(Inactive(KEY, source("cam")))
    first, second, count = await taken(outbox)
    assert first == "one"
    assert json.loads(second)["data"] == {"streamId": str(KEY), "sourceId": "cam"}
    assert json.loads(count)["name"] == "viewercount"


async def test_only_the_latest_count_is_kept() -> None:
    outbox = Outbox()
    for viewers in range(10_000):
        outbox.tell(ViewerCount(KEY, viewers))
    assert not outbox.overflowed.is_set()
    (text,) = await taken(outbox)
    assert json.loads(text)["data"] == {"viewercount": 9999}


async def test_the_latest_events_of_a_transport_that_ended_are_forgotten() -> None:
    outbox = Outbox()
    outbox.post("an answer")
    outbox.tell(Vad(Mid("0"), source("cam")))
    outbox.tell(ViewerCount(KEY, 1))
    outbox.forget()
    assert await taken(outbox) == ["an answer"]


async def test_too_many_messages_overflow() -> None:
    outbox = Outbox()
    for _ in range(MAX_MESSAGES):
        outbox.post("x")
    assert not outbox.overflowed.is_set()
    outbox.post("x")
    assert outbox.overflowed.is_set()
    outbox.post("lost")
    assert len(await taken(outbox)) == MAX_MESSAGES


async def test_too_many_characters_overflow() -> None:
    outbox = Outbox()
    outbox.post("x" * MAX_CHARACTERS)
    assert not outbox.overflowed.is_set()
    outbox.post("x")
    assert outbox.overflowed.is_set()


async def test_what_was_taken_makes_room() -> None:
    outbox = Outbox()
    for _ in range(3):
        outbox.post("x" * MAX_CHARACTERS)
        assert await outbox.next() == "x" * MAX_CHARACTERS
    assert not outbox.overflowed.is_set()


async def test_a_reader_waits_for_the_next_message() -> None:
    outbox = Outbox()
    reading = asyncio.create_task(outbox.next())
    await asyncio.sleep(0)
    assert not reading.done()
    outbox.post("now")
    assert await reading == "now"


async def test_nothing_comes_after_the_end() -> None:
    outbox = Outbox()
    outbox.finish()
    outbox.post("late")
    assert await outbox.next() is None


async def test_of_layers_only_the_latest_is_kept_behind_everything_else() -> None:
    outbox = Outbox()
    for bitrate in range(1000):
        outbox.tell(layers(bitrate))
    outbox.tell(ViewerCount(KEY, 1))
    outbox.post("one")
    assert not outbox.overflowed.is_set()
    first, count, last = await taken(outbox)
    assert first == "one"
    assert json.loads(count)["name"] == "viewercount"
    assert json.loads(last)["data"]["medias"]["0"]["active"][0]["bitrate"] == 999


async def test_layers_that_were_sent_are_not_sent_again() -> None:
    outbox = Outbox()
    outbox.tell(layers(1))
    assert await outbox.next() is not None
    assert await taken(outbox) == []


async def test_of_each_line_only_the_latest_voice_is_kept() -> None:
    outbox = Outbox()
    for number in range(1000):
        outbox.tell(Vad(Mid("2"), source(f"guest{number}")))
        outbox.tell(Vad(Mid("3"), None, heard=number < 999))
    outbox.post("one")
    assert not outbox.overflowed.is_set()
    first, *voices = await taken(outbox)
    assert first == "one"
    assert [json.loads(text)["data"] for text in voices] == [
        {"mediaId": "2", "sourceId": "guest999"},
        {"mediaId": "3", "sourceId": None},
    ]


async def test_of_who_speaks_only_the_latest_is_kept() -> None:
    outbox = Outbox()
    for level in range(100):
        outbox.tell(Speaking(((source("alice"), -level),)))
    (text,) = await taken(outbox)
    assert json.loads(text)["data"] == {"speakers": [{"sourceId": "alice", "level": -99}]}


async def test_voices_wake_a_reader_that_waits() -> None:
    outbox = Outbox()
    for event in (Vad(Mid("2"), source("alice")), Speaking(())):
        reader = asyncio.create_task(outbox.next())
        await asyncio.sleep(0)
        outbox.tell(event)
        assert json.loads(await reader or "")["name"] == event.name


def layers(bitrate: int) -> Layers:
    track = TrackLayers(TrackId(1), (EncodingReport(active=True, bitrate_bps=bitrate),))
    return Layers(KEY, (LayersOf(Mid("0"), track, ("0",)),))
