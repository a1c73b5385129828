"""Media time over hours, wraps and leaps, without a clock."""

import pytest

from rostra.ingest.timeline import MAX_AHEAD_MS, MAX_BACK_MS, Timeline, Track

A, V = Track.AUDIO, Track.VIDEO
START = MAX_BACK_MS


def test_time_goes_on_over_the_wrap_of_32_bits() -> None:
    line = Timeline()
    begin = 2**32 - 1000
    times = [line.media_ms((begin + step) % 2**32, V, elapsed_ms=40) for step in range(0, 4000, 40)]
    assert times == [START + step for step in range(0, 4000, 40)]
    assert line.jumps == 0


def test_sound_and_picture_keep_their_distance_for_hours() -> None:
    line = Timeline()
    hours_ms = 8 * 3600 * 1000
    # The encoder's time begins so late that it wraps on the way; 40 ms pictures, 21⅓ ms sound, interleaved.
    begin, sound = 2**32 - hours_ms // 2, 0
    for picture in range(0, hours_ms, 4000):
        assert line.media_ms((begin + picture) % 2**32, V, elapsed_ms=0) == START + picture
        sound = picture + 21
        assert line.media_ms((begin + sound) % 2**32, A, elapsed_ms=0) == START + sound
    assert line.jumps == 0


def test_a_leap_of_both_tracks_leaves_them_in_step() -> None:
    line = Timeline()
    for step in range(0, 1000, 40):
        line.media_ms(step, V, elapsed_ms=20)
        line.media_ms(step + 10, A, elapsed_ms=20)
    for begin in (3_600_000, 50, 2**31 + 5):
        picture = line.media_ms(begin, V, elapsed_ms=40)
        sound = line.media_ms(begin + 10, A, elapsed_ms=0)
        assert sound - picture == 10
    assert line.jumps == 3


def test_tags_of_before_the_leap_that_come_late_do_not_leap_back() -> None:
    line = Timeline()
    for step in range(0, 1000, 40):
        line.media_ms(step, V, elapsed_ms=20)
        line.media_ms(step, A, elapsed_ms=20)
    after = line.media_ms(500_000, V, elapsed_ms=40)
    late = line.media_ms(1000, A, elapsed_ms=0)  # sound of before
    assert late == START + 1000
    assert line.media_ms(500_040, V, elapsed_ms=40) == after + 40
    assert line.media_ms(500_010, A, elapsed_ms=0) == after + 10
    assert line.jumps == 1


@pytest.mark.parametrize("apart", [-9000, -5000, -3000, 3000, 5000, 9000, 3_600_000])
def test_tracks_with_clocks_of_their_own_do_not_drive_each_other_on(apart: int) -> None:
    """Some encoders count sound and picture from different beginnings."""
    line = Timeline()
    for step in range(0, 60_000, 40):
        picture = line.media_ms(100_000 + step, V, elapsed_ms=20)
        sound = line.media_ms((100_000 + step + apart) % 2**32, A, elapsed_ms=20)
    # What was behind by less than a leap comes is so for good: nobody can tell.
    assert abs(picture - sound) <= MAX_AHEAD_MS
    assert 0 <= max(picture, sound) - START - 59_960 <= MAX_AHEAD_MS
    assert line.jumps <= 1


def test_tracks_with_clocks_of_their_own_leap_together() -> None:
    line = Timeline()
    for step in range(0, 1000, 40):
        line.media_ms(step, V, elapsed_ms=20)
        line.media_ms(50_000 + step, A, elapsed_ms=20)
    picture = line.media_ms(900_000, V, elapsed_ms=40)
    sound = line.media_ms(900_010, A, elapsed_ms=0)
    assert sound - picture == 10
    assert line.jumps == 2


@pytest.mark.parametrize("leap", [9_975, 9_985, 10_020, 10_040, -105, -141, -2005])
def test_a_leap_at_the_limit_leaves_tracks_in_step(leap: int) -> None:
    line = Timeline()
    for step in range(0, 3000, 40):
        line.media_ms(step, V, elapsed_ms=20)
        line.media_ms(step + 10, A, elapsed_ms=20)
    for step in range(3000, 6000, 40):
        picture = line.media_ms((step + leap) % 2**32, V, elapsed_ms=20)
        sound = line.media_ms((step + 10 + leap) % 2**32, A, elapsed_ms=20)
        assert sound - picture == 10


def test_time_never_goes_back_within_a_track() -> None:
    line = Timeline()
    line.media_ms(1000, V, elapsed_ms=0)
    line.media_ms(1040, V, elapsed_ms=0)
    assert line.media_ms(1030, V, elapsed_ms=0) == START + 40
    assert line.media_ms(1080, V, elapsed_ms=0) == START + 80
    assert line.jumps == 0
    assert line.media_ms(0, V, elapsed_ms=40) == START + 120  # anew
    assert line.jumps == 1


def test_a_track_that_begins_before_the_first_tag_is_no_leap() -> None:
    line = Timeline()
    line.media_ms(500, A, elapsed_ms=0)
    assert line.media_ms(0, V, elapsed_ms=0) == START - 500
    assert line.jumps == 0


def test_random_timestamps_stay_in_order_within_their_track() -> None:
    import random

    chance = random.Random(7)
    line = Timeline()
    last = {A: -1, V: -1}
    for _ in range(20_000):
        track = chance.choice((A, V))
        time = line.media_ms(chance.getrandbits(32), track, elapsed_ms=chance.randrange(100))
        assert last[track] <= time < START + 20_000 * 12_100
        last[track] = time
