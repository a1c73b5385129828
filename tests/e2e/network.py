"""Programs between and beside the browsers: publishers of recordings, lines whose rate changes, networks without UDP."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen, run

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


@contextmanager
def namespace_without_udp() -> Iterator[list[str]]:
    """A network namespace with loopback alone, in which no UDP datagram passes: the command that runs another one there."""
    rules = [
        "link set lo up",
        "rule add pref 10 lookup local",
        "rule del pref 0",
        "rule add pref 5 ipproto udp blackhole",
    ]
    script = " && ".join([*(f"ip {rule}" for rule in rules), "echo ready", "exec sleep infinity"])
    as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    with Popen(["unshare", *as_root, "--net", "sh", "-c", script], stdout=PIPE) as holder:
        assert holder.stdout is not None
        try:
            assert holder.stdout.readline() == b"ready\n"
            user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
            yield ["nsenter", f"--target={holder.pid}", *user, "--net"]
        finally:
            holder.terminate()


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


@contextmanager
def publishing(server: Server, stream: str, *options: str) -> Iterator[None]:
    """A publisher of synthetic video and sound."""
    command = [RELEASE / "rostra-load", "publish", "--http", server.http, "--token", server.settings["publish_token"]]
    with Popen([*command, "--stream", stream, "--seconds", "600", *options], stdout=DEVNULL, stderr=DEVNULL) as process:
        try:
            yield
        finally:
            process.terminate()


def passes_udp(within: list[str]) -> bool:
    """Whether a datagram of loopback leaves its socket there."""
    program = """import socket
one, two = (socket.socket(type=socket.SOCK_DGRAM) for _ in range(2))
one.bind(("127.0.0.1", 0))
two.sendto(b"x", one.getsockname())
"""
    return run([*within, sys.executable, "-c", program], stderr=DEVNULL, check=False).returncode == 0
