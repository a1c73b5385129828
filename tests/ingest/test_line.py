"""The server's side of the channel, against a worker that is in somebody else's hands."""

import asyncio
import errno
import socket
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rostra.config import Config
from rostra.hub import Hub
from rostra.media.fake import FakeEngine
from rostra.model.token import PublishToken, StreamPattern
from rostra.protocol import ingest
from rostra.server.context import Context
from rostra.server.rtmp import _Line
from rostra.store import Store

TIMEOUT_S = 10
TOKEN = "p" * 64


@dataclass
class Worker:
    """The other end, by hand."""

    line: _Line
    engine: FakeEngine
    process: asyncio.subprocess.Process
    link: socket.socket

    def say(self, message: ingest.FromWorker | bytes) -> None:
        self.link.send(message if isinstance(message, bytes) else ingest.encode(message))

    async def hear(self) -> ingest.FromServer:
        async with asyncio.timeout(TIMEOUT_S):
            data = await asyncio.get_running_loop().sock_recv(self.link, 65536)
        return ingest.decode_from_server(data)

    async def killed(self) -> bool:
        async with asyncio.timeout(TIMEOUT_S):
            return await self.process.wait() == -9


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[Worker]:
    store = await Store.open(tmp_path / "rostra.db")
    account = await store.add_account()
    token = PublishToken(account.id, TOKEN, "test", (StreamPattern("demo"),), multisource=False)
    await store.add_publish_token(token)
    engine = FakeEngine()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.setblocking(False)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "import sys; sys.stdin.read()", stdin=asyncio.subprocess.PIPE
    )
    line = _Line(Context(Config(), Hub(engine), store, time.time), ours, process)
    yield Worker(line, engine, process, theirs)
    line.close()
    theirs.close()
    if process.returncode is None:
        process.kill()
    await process.wait()
    engine.close()
    await store.close()


@pytest.mark.parametrize("data", [b"{}", b"nonsense", b'{"type":"Open"}', b'{"type":"End","connection":1,"text":""}'])
async def test_a_message_that_cannot_be_read_costs_the_worker_its_life(worker: Worker, data: bytes) -> None:
    worker.say(data)
    assert await worker.killed()


async def test_an_encoder_that_was_not_admitted_gets_no_feed(worker: Worker) -> None:
    worker.say(ingest.Open(1, audio=True))
    assert await worker.hear() == ingest.Refused(1, "not_admitted", "This encoder was not admitted")
    assert not worker.engine.transports()


@pytest.mark.parametrize(
    ("question", "code"),
    [
        (ingest.Authorise(1, "demo", "q" * 64), "invalid_token"),
        (ingest.Authorise(1, "demo", ""), "invalid_token"),
        (ingest.Authorise(1, "other", TOKEN), "name_not_covered"),
        (ingest.Authorise(1, "", TOKEN), "unsuitable"),
        (ingest.Authorise(1, "demo", TOKEN, "\n"), "unsuitable"),
    ],
)
async def test_the_token_is_checked_whatever_the_worker_says(
    worker: Worker, question: ingest.Authorise, code: str
) -> None:
    worker.say(question)
    answer = await worker.hear()
    assert isinstance(answer, ingest.Refused)
    assert answer.code == code


@pytest.mark.parametrize(
    ("source", "question"),
    [
        ("cam1", ingest.Open(1, audio=True, video="h264")),  # the token is good for the main source only
        (None, ingest.Open(1, audio=True, video="vp8")),
        (None, ingest.Open(1, audio=True, video="nothing")),
        (None, ingest.Open(1, audio=False)),
    ],
)
async def test_feeds_that_may_not_be_are_refused(worker: Worker, source: str | None, question: ingest.Open) -> None:
    worker.say(ingest.Authorise(1, "demo", TOKEN, source))
    assert await worker.hear() == ingest.Admitted(1)
    worker.say(question)
    assert isinstance(await worker.hear(), ingest.Refused)
    assert not worker.engine.transports()


async def test_an_encoder_twice_costs_the_worker_its_life(worker: Worker) -> None:
    worker.say(ingest.Authorise(1, "demo", TOKEN))
    assert await worker.hear() == ingest.Admitted(1)
    worker.say(ingest.Authorise(1, "demo", TOKEN))
    assert await worker.killed()


async def test_what_a_worker_may_open_is_capped_and_ends_with_its_encoder(worker: Worker) -> None:
    worker.say(ingest.Authorise(1, "demo", TOKEN))
    assert await worker.hear() == ingest.Admitted(1)
    answers = []
    for _ in range(10):
        worker.say(ingest.Open(1, audio=True, video="h264", profile=0x42E01F))
        answers.append(await worker.hear())
    assert [isinstance(answer, ingest.Opened) for answer in answers] == [True] * 8 + [False] * 2
    assert len(worker.engine.transports()) == 8
    worker.line.close()
    assert not worker.line.encoders
    assert not worker.engine.transports()


async def test_an_encoder_hears_that_there_is_no_descriptor_for_its_feed(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.EMFILE, "too many open files")

    worker.say(ingest.Authorise(1, "demo", TOKEN))
    assert await worker.hear() == ingest.Admitted(1)
    with monkeypatch.context() as patch:
        patch.setattr(socket, "socketpair", none)
        worker.say(ingest.Open(1, audio=True))
        answer = await worker.hear()
    assert isinstance(answer, ingest.Refused)
    assert answer.code == "overloaded"
    worker.say(ingest.Open(1, audio=True))
    assert isinstance(await worker.hear(), ingest.Opened)
