"""AAC to Opus: timestamps that stay with the encoder's, levels, broken frames."""

import array
import itertools
import math

import av
import pytest

from rostra.ingest.sound import FRAME, BrokenSound, Opus, Transcoder, level


def aac(rate: int, seconds: float, *, beep: bool = False) -> tuple[bytes, list[bytes]]:
    """Configuration and frames: a tone, or a beep in the first tenth of each second."""
    encoder = av.CodecContext.create("aac", "w")
    encoder.sample_rate, encoder.layout, encoder.format, encoder.bit_rate = rate, "stereo", "fltp", 96_000
    encoder.open()
    frames: list[bytes] = []
    for start in range(0, int(rate * seconds), 1024):
        values = array.array("f")
        for at in range(start, start + 1024):
            is_loud = not beep or at % rate < rate // 10
            values.append(0.5 * math.sin(2 * math.pi * 1000 * at / rate) if is_loud else 0.0)
        frame = av.AudioFrame(format="fltp", layout="stereo", samples=1024)
        frame.sample_rate = rate
        for plane in frame.planes:
            plane.update(values.tobytes())
        frame.pts = start
        frames.extend(bytes(packet) for packet in encoder.encode(frame))
    return bytes(encoder.extradata or b""), frames


@pytest.mark.parametrize("rate", [44_100, 48_000, 22_050])
def test_timestamps_go_on_without_a_step_for_minutes(rate: int) -> None:
    """Encoders round to milliseconds, and a frame of 44 100 Hz is no whole number of samples at 48 000."""
    config, frames = aac(rate, 1)
    transcoder = Transcoder(config)
    found: list[Opus] = []
    count = 100 * rate // 1024
    for number, data in zip(range(count), itertools.cycle(frames), strict=False):
        found += transcoder.feed(data, 2000 + number * 1024 * 1000 // rate)
    steps = {b.timestamp - a.timestamp for a, b in itertools.pairwise(found)}
    assert steps == {FRAME}
    assert abs(found[0].timestamp - 2000 * 48) <= 480


def test_a_beep_is_heard_when_it_was_made() -> None:
    config, frames = aac(44_100, 5, beep=True)
    transcoder = Transcoder(config)
    decoder = av.CodecContext.create("libopus", "r")
    decoder.sample_rate = 48_000
    decoder.layout = "stereo"
    onsets: list[int] = []
    was_loud = False
    for number, data in enumerate(frames):
        # The encoder's first frame is its own delay: FFmpeg puts it before the beginning.
        for packet in transcoder.feed(data, 2000 + (number - 1) * 1024 * 1000 // 44_100):
            for frame in decoder.decode(av.Packet(packet.data)):
                samples = array.array("h" if frame.format.name.startswith("s16") else "f", bytes(frame.planes[0]))
                scale = 32768 if frame.format.name.startswith("s16") else 1
                step = len(samples) // frame.samples
                for at in range(0, frame.samples, 48):
                    loud = max(map(abs, samples[at * step : (at + 48) * step])) > 0.1 * scale
                    if loud and not was_loud:
                        onsets.append(packet.timestamp + at - 2000 * 48)
                    if loud:
                        last = packet.timestamp + at
                    was_loud = loud or (was_loud and packet.timestamp + at - last < 4800)
    distances = [(onset + 24_000) % 48_000 - 24_000 for onset in onsets]
    assert len(onsets) == 5
    assert all(abs(distance) < 48 * 15 for distance in distances), [distance / 48 for distance in distances]


def test_a_pause_moves_the_timestamps_that_follow() -> None:
    config, frames = aac(48_000, 2)
    transcoder = Transcoder(config)
    found: list[Opus] = []
    for number, data in enumerate(frames):
        pause = 500 if number >= 40 else 0
        found += transcoder.feed(data, number * 1024 // 48 + pause)
    steps = [b.timestamp - a.timestamp for a, b in itertools.pairwise(found)]
    (leap,) = [step for step in steps if step != FRAME]
    assert abs(leap - FRAME - 500 * 48) < 48 * 3


def test_timestamps_never_go_back_when_the_encoders_do() -> None:
    config, frames = aac(48_000, 2)
    transcoder = Transcoder(config)
    times: list[int] = []
    for number, data in enumerate(frames):
        back = 60 if number >= 40 else 0
        times += [one.timestamp for one in transcoder.feed(data, 1000 + number * 1024 // 48 - back)]
    assert times == sorted(set(times))


def test_levels_are_those_of_the_samples() -> None:
    assert level(bytes(3840)) == 127
    assert level(array.array("h", [32767, -32768] * 960).tobytes()) == 0
    assert level(array.array("h", [3277, -3277] * 960).tobytes()) == 20
    config, frames = aac(48_000, 1)
    transcoder = Transcoder(config)
    levels = [one.level for number, data in enumerate(frames) for one in transcoder.feed(data, number * 1024 // 48)]
    assert 8 <= levels[20] <= 10  # a sine of half amplitude


def test_a_broken_frame_is_left_out_and_many_end_the_connection() -> None:
    config, frames = aac(48_000, 1)
    transcoder = Transcoder(config)
    transcoder.feed(frames[0], 0)
    transcoder.feed(b"\xff" * 100, 21)
    assert sum(len(transcoder.feed(data, 42 + 21 * n)) for n, data in enumerate(frames[1:20])) > 10
    with pytest.raises(BrokenSound):
        list(map(transcoder.feed, itertools.repeat(b"\xff" * 100), range(1000, 9000, 21)))
    with pytest.raises(BrokenSound):
        Transcoder(b"\xff\xff")
