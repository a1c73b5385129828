"""What the control plane knows of an encoder's feed, for the page."""

from rostra.hub import Hub
from rostra.model.ids import StreamKey, StreamName
from rostra.model.stream import Door, Feed
from tests.ingest.conftest import Place
from tests.ingest.test_worker import send

B_FRAMES = {"preset": "ultrafast", "x264-params": "scenecut=0:bframes=2:b-adapt=0:keyint=10"}


def feeds(hub: Hub, ingest: Place) -> list[Feed]:
    return list(hub.stream(StreamKey(ingest.account, StreamName("demo"))).feeds)


async def test_a_feed_knows_its_door_and_its_problems_and_how_far_apart_its_key_frames_are(ingest: Place) -> None:
    client = await ingest.publisher(videoOnly="1")
    send(client, options=B_FRAMES)
    await ingest.feed()
    await ingest.until(lambda: any(one.key_frame_ms is not None and one.problems for one in feeds(ingest.hub, ingest)))
    (feed,) = feeds(ingest.hub, ingest)
    assert feed.door is Door.RTMP
    assert feed.key_frame_ms is not None
    assert 300 <= feed.key_frame_ms <= 400  # ten pictures, thirty a second
    assert [one.code for one in feed.problems] == ["b_frames"]
