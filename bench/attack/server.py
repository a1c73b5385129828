"""The server under attack and what is read of it from outside."""

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self
from urllib.request import urlopen

from bench.attack.honest import PROXY
from bench.attack.wire import ROOT, Target

CORE: Final = "0"
_START_S: Final = 30
_STREAM: Final = "attack"


@dataclass(frozen=True, slots=True)
class Footprint:
    """Of the server and the processes that it started. ``rss_kb``: KiB of resident memory."""

    rss_kb: int
    descriptors: int


@dataclass(frozen=True, slots=True)
class Server:
    """``rostra dev``, pinned to core 0."""

    process: subprocess.Popen[bytes]
    settings: dict[str, Any]
    target: Target

    def footprint(self) -> Footprint:
        """Read ``/proc``."""
        rss_kb = descriptors = 0
        for pid in [self.process.pid, *_children(self.process.pid)]:
            status = Path(f"/proc/{pid}/status").read_text()
            rss_kb += int(status.split("VmRSS:", 1)[1].split()[0])
            descriptors += sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
        return Footprint(rss_kb, descriptors)

    def metrics(self) -> dict[str, float]:
        """``/metrics`` by name, with labels as written."""
        with urlopen(f"{self.settings['http']}/metrics", timeout=30) as reply:
            lines = reply.read().decode().splitlines()
        return {name: float(value) for name, value in (one.rsplit(" ", 1) for one in lines if not one.startswith("#"))}


@dataclass(frozen=True, slots=True)
class Cpu:
    """Of the main thread of a process, seconds so far. ``waited_s``: it could have run, and others had the core."""

    used_s: float
    waited_s: float

    @classmethod
    def of(cls, pid: int) -> Self:
        """Read ``schedstat`` (Linux, Documentation/scheduler/sched-stats.rst)."""
        used, waited, _ = Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()
        return cls(int(used) / 1e9, int(waited) / 1e9)

    def since(self, before: Self, seconds: float) -> dict[str, float]:
        """Parts of that time."""
        used, waited = self.used_s - before.used_s, self.waited_s - before.waited_s
        return {"used": round(used / seconds, 3), "waited": round(waited / seconds, 3)}


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    found = [int(one) for task in tasks for one in (task / "children").read_text().split()]
    return found + [below for one in found for below in _children(one)]


@contextmanager
def server(program: Path, folder: Path) -> Iterator[Server]:
    """Started, and stopped at the end. Its log is ``server.log`` in the folder."""
    data = folder / "data"
    listen = ["--http", "127.0.0.1:0", "--media", "127.0.0.1:0", "--rtmp", "127.0.0.1:0"]
    options = ["--trusted-proxy", PROXY, "--data", str(data), "--log-level", "warning"]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            ["taskset", "-c", CORE, str(program), "dev", *listen, *options], stdout=log, stderr=log, cwd=ROOT
        )
        try:
            ready = data / "dev.json"
            end_s = time.monotonic() + _START_S
            while not ready.exists():
                if process.poll() is not None or time.monotonic() > end_s:
                    raise SystemExit(f"rostra dev does not start: {(folder / 'server.log').read_text()[-2000:]}")
                time.sleep(0.05)
            settings = json.loads(ready.read_text())
            target = Target(
                http=int(settings["http"].rsplit(":", 1)[1]),
                rtmp=int(settings["rtmp"].rsplit(":", 1)[1]),
                account=settings["account_id"],
                publish_token=settings["publish_token"],
                subscribe_token=settings["subscribe_token"],
                stream=_STREAM,
            )
            yield Server(process, settings, target)
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
