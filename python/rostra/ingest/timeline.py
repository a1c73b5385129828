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
        self._last_raw: int | None = None
        """The newest timestamp, not wrapping: it counts on over 2**32."""
        self._offset = 0
        self._former: int | None = None
        """The offset before the last leap: tags of the other track may still be on their way."""
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
        if self._last_raw is None:
            self._last_raw = timestamp
            self._offset = MAX_BACK_MS - timestamp
        step = (timestamp - self._last_raw + (1 << 31)) % (1 << 32) - (1 << 31)
        raw = self._last_raw + step
        time = raw + self._offset
        if not self._fits(time, track) and self._former is not None and self._fits(raw + self._former, track):
            time = raw + self._former
        elif not self._fits(time, track):
            self.jumps += 1
            self._former = self._offset
            time = self._latest + max(1, min(elapsed_ms, MAX_BACK_MS))
            self._offset = time - raw
            self._last_raw = raw
        else:
            self._last_raw = raw
        time = max(time, self._tracks.get(track, 0))
        self._tracks[track] = time
        self._latest = max(self._latest, time)
        return time

    def _fits(self, time: int, track: Track) -> bool:
        last = self._tracks.get(track)
        if last is not None and time < last - MAX_TRACK_BACK_MS:
            return False
        return self._latest - MAX_BACK_MS <= time <= self._latest + MAX_AHEAD_MS
