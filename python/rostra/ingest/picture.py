"""Video tags into RTP payloads: what is kept of a track between its pictures. Pure but for the time that SEI says."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from rostra.ingest import h264, packets
from rostra.ingest.flv import FlvError, VideoCodec, VideoFrame, VideoHeader, parse_avc_config, split_avc

MAX_MESSAGES: Final = 16
"""SEI messages that wait for a picture."""
MAX_JOINED: Final = 8 << 20
"""Bytes of the tags of one picture."""
MAX_OFFSET_MS: Final = 5_000
"""Between decoding and presentation: more is no picture order but a broken number."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What came of a tag. ``nals`` only of H264. ``is_late``: shown before one that was decoded earlier: a B-frame."""

    time_ms: int
    is_key: bool
    is_late: bool
    nals: list[bytes]
    data: bytes = b""


class PictureTrack:
    """The picture of one connection in one codec."""

    def __init__(self, header: VideoHeader) -> None:
        """Begin with a header.

        Raises:
            FlvError: it is broken.
        """
        self.codec: Final = header.codec
        self.profile = 0
        self._length_size = 4
        self._sets = h264.ParameterSets()
        self._sequence_header: list[bytes] = []
        self._number = 0
        self._latest_ms = -1
        self._messages: list[bytes] = []
        self._timestamp: int | None = None
        self._is_sliced = False
        """The encoder sends a tag for each slice."""
        self._begun: VideoFrame | None = None
        """A picture whose end is not known yet."""
        self._begun_at = 0
        self.configure(header)

    def configure(self, header: VideoHeader) -> None:
        """A new header of the same codec.

        Raises:
            FlvError: it is broken.
        """
        if self.codec is VideoCodec.H264:
            config = parse_avc_config(header.record)
            self.profile, self._length_size = config.profile, config.length_size
            self._sets = h264.ParameterSets(config.parameter_sets)
        elif self.codec is VideoCodec.AV1:
            try:
                units = packets.obus(header.record[4:])
            except packets.Av1Error as error:
                raise FlvError(str(error)) from error
            self._sequence_header = [unit for unit in units if packets.is_sequence_header(unit)]

    def add_message(self, sei: bytes) -> None:
        """Put a SEI message into the next picture; what waits too long is forgotten, the oldest first."""
        self._messages = [*self._messages[-MAX_MESSAGES + 1 :], sei]

    def join(self, frame: VideoFrame, timestamp: int) -> list[tuple[VideoFrame, int]]:
        """What may be sent now, with its timestamp: whole pictures.

        Some encoders send a tag for each slice. Only the tag behind a picture tells its end, so that their pictures
        wait for it, from the second one on.

        Raises:
            FlvError: the tags of a picture are too long together.
        """
        is_rest = timestamp == self._timestamp and self._continues(frame)
        self._timestamp = timestamp
        self._is_sliced |= is_rest
        if not self._is_sliced:
            return [(frame, timestamp)]
        begun = self._begun
        if is_rest and begun is not None:
            data = begun.data + frame.data
            if len(data) > MAX_JOINED:
                self._begun = None
                raise FlvError("the slices of a picture are too long")
            self._begun = replace(begun, data=data)
            return []
        before, self._begun, self._begun_at = self._begun_at, frame, timestamp
        return [(begun, before)] if begun is not None else []

    def _continues(self, frame: VideoFrame) -> bool:
        """Whether it begins with a slice that is not the first of its picture: first_mb_in_slice is not 0 (§7.3.3)."""
        if self.codec is not VideoCodec.H264:
            return False
        try:
            nals = split_avc(frame.data, self._length_size)
        except FlvError:
            return False
        first = next((nal for nal in nals if h264.kind(nal) in (1, h264.IDR) and len(nal) > 1), None)
        return first is not None and not first[1] & 0x80

    def picture(self, frame: VideoFrame, decode_ms: int) -> Picture:
        """Take a picture in, at the time of decoding.

        Raises:
            FlvError: it is broken.
        """
        offset = frame.offset_ms if abs(frame.offset_ms) <= MAX_OFFSET_MS else 0
        time_ms = max(0, decode_ms + offset)
        is_late = time_ms < self._latest_ms
        self._latest_ms = max(self._latest_ms, time_ms)
        if self.codec is not VideoCodec.H264:
            return Picture(time_ms, frame.is_key, is_late, [], frame.data)
        nals = self._sets.complete(split_avc(frame.data, self._length_size))
        return Picture(time_ms, h264.is_key(nals), is_late, nals)

    def with_metadata(
        self, nals: list[bytes], *, is_key: bool, utc: Callable[[], int] | None, key_frames_only: bool
    ) -> list[bytes]:
        """The picture with the messages that wait, and with the time of now unless it has one (millicast §11.2)."""
        if key_frames_only and not is_key:
            return nals
        messages, self._messages = self._messages, []
        if utc is not None and not h264.has_time([*nals, *messages]):
            messages = [h264.time_sei(utc()), *messages]
        return h264.with_sei(nals, messages) if messages else nals

    def payloads(self, picture: Picture) -> list[bytes]:
        """RTP payloads.

        Raises:
            FlvError: the picture is broken.
        """
        match self.codec:
            case VideoCodec.H264:
                return packets.h264(picture.nals)
            case VideoCodec.VP9:
                self._number += 1
                size = packets.vp9_key_size(picture.data)
                return packets.vp9(picture.data, self._number, is_key=picture.is_key, size=size)
            case VideoCodec.AV1:
                try:
                    units = packets.obus(picture.data)
                except packets.Av1Error as error:
                    raise FlvError(str(error)) from error
                if picture.is_key and not any(packets.is_sequence_header(unit) for unit in units):
                    units = [*self._sequence_header, *units]
                return packets.av1(units, is_key=picture.is_key)


def fi_epoch_ms(values: list[Any]) -> int | None:
    """The time of an ``onFi``: ``sd`` "DD-MM-YYYY", ``st`` "hh:mm:ss.fraction", UTC; ``None``: it has none."""
    fields = next((one for one in values if isinstance(one, dict)), {})
    day, clock = fields.get("sd"), fields.get("st")
    if not isinstance(day, str) or not isinstance(clock, str):
        return None
    for form in ("%d-%m-%Y %H:%M:%S.%f", "%d-%m-%Y %H:%M:%S"):
        try:
            when = dt.datetime.strptime(f"{day} {clock}", form).replace(tzinfo=dt.UTC)
        except ValueError:
            continue
        epoch_ms = int(when.timestamp() * 1000)
        return epoch_ms if epoch_ms > 0 else None
    return None
