"""The control channel between server and worker."""

import asyncio
import socket

import pytest

from rostra.ingest.channel import Channel
from rostra.protocol.ingest import MAX_MESSAGE


async def test_a_message_that_the_other_side_would_cut_is_not_sent_and_closes_nothing() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    seen: asyncio.Queue[bytes] = asyncio.Queue()
    closed: list[bool] = []
    one = Channel(ours, lambda *_: None, lambda: closed.append(True))
    other = Channel(theirs, lambda data, _: seen.put_nowait(data), lambda: closed.append(True))
    with pytest.raises(ValueError, match="bytes"):
        one.send(bytes(MAX_MESSAGE + 1))
    one.send(b"short")
    assert await seen.get() == b"short"
    one.send(bytes(MAX_MESSAGE))
    assert await seen.get() == bytes(MAX_MESSAGE)
    assert not closed
    one.close()
    other.close()
