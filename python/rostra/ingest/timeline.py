"""From an encoder's timestamps to media time that only goes forward (docs/protocol/rtmp.md, "Time"). Pure.

RTMP's milliseconds wrap after 49 days, and begin anew or leap when an encoder restarts a part of itself, changes its
clock or loops a file. One timeline serves sound and picture, so that a leap of both leaves them in step.
"""

from enum import Enum
from typing import Final

MAX_AHEAD_MS: Final = 10_000
"""Sound and picture of one moment are no further apart in a connection, and a pause of a track is no longer."""
MAX_BACK_MS: Final = 2_000
"""Encoders that begin a track late, or interleave loosely, go back as far against the other one."""
MAX_TRACK_BACK_MS: Final = 100
"""Within a track, time of decoding does not go back; as much is rounding."""


class Track(Enum):
    """The two tracks of a connection."""

    AUDIO = 0
    VIDEO = 1


class Timeline:
    """Media time in milliseconds, not wrapping. It begins at ``MAX_BACK_MS``: the other track may begin earlier."""

    def __init__(self) -> None:
        self._offsets: Final[dict[Track, int]] = {}
        """From timestamps to media time, modulo 2**32. After a leap of one track they differ until the other leaps too,
        or for good, where an encoder counts its tracks from different beginnings."""
        self._latest = MAX_BACK_MS
        self._tracks: Final[dict[Track, int]] = {}
        self.jumps = 0
        """Leaps so far."""

    def media_ms(self, timestamp: int, track: Track, *, elapsed_ms: int) -> int:
        """The media time of a tag.

        Args:
            timestamp: as the encoder gave it, 32 bits.
            track: whose.
            elapsed_ms: since the tag before: how far a leap is taken to go.
        """
        if not self._offsets:
            self._offsets[track] = self._latest - timestamp
        possible = [(self._time(timestamp, offset), offset) for offset in self._offsets.values()]
        fitting = [one for one in possible if self._fits(one[0], track)]
        if fitting:
            time, offset = min(fitting, key=lambda one: abs(one[0] - self._latest))
        else:
            self.jumps += 1
            time = self._latest + max(1, min(elapsed_ms, MAX_BACK_MS))
            offset = time - timestamp
        self._offsets[track] = offset
        time = max(time, self._tracks.get(track, 0))
        self._tracks[track] = time
        self._latest = max(self._latest, time)
        return time

    def _time(self, timestamp: int, offset: int) -> int:
        """Of all times that a timestamp may mean, the one next to now."""
        return self._latest + (timestamp + offset - self._latest + (1 << 31)) % (1 << 32) - (1 << 31)

    def _fits(self, time: int, track: Track) -> bool:
        last = self._tracks.get(track)
        if last is not None and time < last - MAX_TRACK_BACK_MS:
            return False
        return self._latest - MAX_BACK_MS <= time <= self._latest + MAX_AHEAD_MS
