"""Programs between and beside the browsers: publishers of recordings, and lines whose rate changes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen

from .conftest import Server

ROOT = Path(__file__).parents[2]
RELEASE = ROOT / "target" / "release"
RECORDINGS = ROOT / "tests" / "data" / "recordings"


@contextmanager
def replaying(server: Server, recording: str, stream: str, source: str | None = None) -> Iterator[None]:
    """A publisher that sends a recording over and over."""
    command = [RELEASE / "rostra-load", "publish", "--http", server.http, "--token", server.settings["publish_token"]]
    options = ["--stream", stream, "--seconds", "600", "--replay", RECORDINGS / f"{recording}.rtp"]
    named = ["--source", source] if source else []
    with Popen([*command, *options, *named], stdout=DEVNULL, stderr=DEVNULL) as process:
        try:
            yield
        finally:
            process.terminate()


class Line:
    """A relay in front of the media port."""

    def __init__(self, process: Popen[bytes]) -> None:
        self._process = process
        assert process.stdout is not None
        self.port = int(process.stdout.readline().decode().rpartition(":")[2])

    def now(self, *options: str) -> None:
        """Change what the network does, at once."""
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(options).encode() + b"\n")
        self._process.stdin.flush()


@contextmanager
def line(server: Server, *options: str) -> Iterator[Line]:
    """A relay in front of the media port that obeys."""
    command = [RELEASE / "rostra-link", "--listen", "127.0.0.1:0", "--to", server.settings["media"], *options]
    with Popen(command, stdin=PIPE, stdout=PIPE) as process:
        try:
            yield Line(process)
        finally:
            process.terminate()
