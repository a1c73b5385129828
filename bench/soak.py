"""Viewers coming and going for half an hour: does memory stay, do descriptors return, do the metrics add up?

Three sources and 50 churning viewers on loopback, by ``rostra-load``. Prints a table, writes
``bench/results/soak.json``, and ends with exit code 1 when a limit is broken.
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError
from urllib.request import Request, urlopen

ROOT: Final = Path(__file__).parents[1]
LOAD: Final = ROOT / "target" / "release" / "rostra-load"
SAMPLE_S: Final = 10
WARM_UP_S: Final = 300
MAX_SLOPE_KB: Final = 1024
"""Resident memory may grow by this much in 10 minutes after the warm-up."""
MIN_FOR_SLOPE_S: Final = 600
"""A shorter run says nothing about a slope."""
MAX_UNACCOUNTED: Final = 0.001
"""Part of the sent packets that may be missing at the viewers: what the kernel loses on a busy machine."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The server at one moment."""

    at_s: float
    rss_kb: int
    descriptors: int
    threads: int
    viewers: int


def main() -> int:
    """Run, print, judge."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--minutes", type=float, default=30)
    arguments.add_argument("--viewers", type=int, default=50)
    arguments.add_argument("--server", type=Path, default=ROOT / ".venv" / "bin" / "rostra")
    options = arguments.parse_args()
    seconds = int(options.minutes * 60)
    with tempfile.TemporaryDirectory() as folder, server(options.server, Path(folder)) as (process, settings):
        before = sample(process.pid, settings["http"], 0)
        samples, viewing = load(process.pid, settings, seconds, options.viewers)
        time.sleep(32)  # abruptly left transports end 30 s after their last packet
        after = sample(process.pid, settings["http"], seconds)
        totals = metrics(settings["http"])
    slope = slope_kb(samples)
    findings = judge(before, after, slope, totals, viewing, seconds)
    show(samples, before, after, slope, totals, viewing, findings)
    results = ROOT / "bench" / "results"
    results.mkdir(exist_ok=True)
    report = {
        "minutes": options.minutes,
        "viewers": options.viewers,
        "slope_kb_per_10_min": slope,
        "before": asdict(before),
        "after": asdict(after),
        "viewing": viewing,
        "findings": findings,
        "rss_kb": [one.rss_kb for one in samples],
    }
    (results / "soak.json").write_text(json.dumps(report, indent=1) + "\n")
    return 1 if findings else 0


@contextmanager
def server(program: Path, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, str]]]:
    """``rostra dev`` on free ports; its process and its ``dev.json``."""
    command = [program, "dev", "--http", "127.0.0.1:0", "--media", "127.0.0.1:0", "--no-rtmp", "--data", folder]
    process = subprocess.Popen([*command, "--log-level", "warning"])
    try:
        ready = folder / "dev.json"
        deadline = time.monotonic() + 30
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("rostra dev does not start")
            time.sleep(0.05)
        settings = json.loads(ready.read_text())
        first_request(settings["http"])
        yield process, settings
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=20)


def first_request(http: str) -> None:
    """The database opens its descriptors when it is first asked, and keeps them."""
    body = json.dumps({"streamName": "soak", "streamAccountId": "nobody"}).encode()
    request = Request(f"{http}/api/director/subscribe", body, {"Content-Type": "application/json"})
    with suppress(HTTPError):
        urlopen(request, timeout=10).close()


def load(pid: int, settings: dict[str, str], seconds: int, viewers: int) -> tuple[list[Sample], dict[str, Any]]:
    """Publishers and viewers for that long, with a sample every 10 s; what the viewers counted."""
    samples: list[Sample] = []
    common = ["--http", settings["http"], "--stream", "soak"]
    with ExitStack() as stack:
        for source in (None, "cam1", "cam2"):
            named = [] if source is None else ["--source", source]
            command = [LOAD, "publish", *common, "--token", settings["publish_token"], *named]
            rate = ["--fps", "15", "--kbps", "300", "--seconds", str(seconds + 30)]
            publisher = subprocess.Popen([*command, *rate], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            stack.callback(lambda one=publisher: (one.terminate(), one.wait()))
        time.sleep(3)
        watch = [LOAD, "view", *common, "--account", settings["account_id"], "--token", settings["subscribe_token"]]
        plan = ["--viewers", str(viewers), "--seconds", str(seconds), "--slots", "3", "--churn", "--verify"]
        viewing = subprocess.Popen([*watch, *plan], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        begun = time.monotonic()
        while viewing.poll() is None:
            if time.monotonic() - begun > seconds + 60:
                viewing.terminate()
                raise SystemExit("the viewers do not end")
            samples.append(sample(pid, settings["http"], time.monotonic() - begun))
            one = samples[-1]
            line = f"\r{one.at_s:6.0f} s  {one.rss_kb:7} KiB  {one.descriptors:4} descriptors  {one.viewers:3} viewers"
            print(line, end="", file=sys.stderr, flush=True)
            try:
                viewing.wait(timeout=SAMPLE_S)
            except subprocess.TimeoutExpired:
                continue
        print(file=sys.stderr)
        assert viewing.stdout is not None
        return samples, json.loads(viewing.stdout.read())


def sample(pid: int, http: str, at_s: float) -> Sample:
    """Read ``/proc`` and ``/metrics``."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    return Sample(
        at_s=round(at_s, 1),
        rss_kb=int(status["VmRSS"].split()[0]),
        descriptors=sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()),
        threads=int(status["Threads"]),
        viewers=int(metrics(http)["rostra_viewers"]),
    )


def metrics(http: str) -> dict[str, float]:
    """``/metrics`` by name, with labels as written."""
    with urlopen(f"{http}/metrics", timeout=10) as reply:
        lines = reply.read().decode().splitlines()
    return {name: float(value) for name, value in (one.rsplit(" ", 1) for one in lines if not one.startswith("#"))}


def slope_kb(samples: list[Sample]) -> float | None:
    """Growth of resident memory, KiB in 10 minutes, by least squares after the warm-up; ``None`` of a short run."""
    late = [one for one in samples if one.at_s >= WARM_UP_S]
    if len(late) < 10 or late[-1].at_s < MIN_FOR_SLOPE_S:
        return None
    mean_t = sum(one.at_s for one in late) / len(late)
    mean_m = sum(one.rss_kb for one in late) / len(late)
    above = sum((one.at_s - mean_t) * (one.rss_kb - mean_m) for one in late)
    below = sum((one.at_s - mean_t) ** 2 for one in late)
    return 600 * above / below


def judge(
    before: Sample,
    after: Sample,
    slope: float | None,
    totals: dict[str, float],
    viewing: dict[str, Any],
    seconds: int,
) -> list[str]:
    """What is wrong, in words."""
    findings = []
    if slope is not None and slope >= MAX_SLOPE_KB:
        findings.append(f"memory grows by {slope:.0f} KiB in 10 minutes")
    if after.descriptors > before.descriptors:
        findings.append(f"{after.descriptors - before.descriptors} descriptors did not come back")
    if after.viewers or totals["rostra_media_transports"]:
        findings.append(f"{after.viewers} viewers, {totals['rostra_media_transports']:.0f} transports left over")
    sent = totals["rostra_media_rtp_out_total"]
    received = viewing["packets"] + viewing["packets_after_leaving"]
    if abs(sent - received) > MAX_UNACCOUNTED * sent:
        findings.append(f"metrics say {sent:.0f} packets sent, viewers received {received}")
    if viewing["torn"]:
        findings.append(f"{viewing['torn']} damaged packets")
    if viewing["failed"] > viewing["joined"] * 0.01:
        findings.append(f"{viewing['failed']} joins failed of {viewing['joined']}: {viewing['errors']}")
    if seconds >= WARM_UP_S and viewing["joined"] < seconds / 60 * 50:
        findings.append(f"only {viewing['joined']} joins: the viewers did not come and go")
    return findings


def show(
    samples: list[Sample],
    before: Sample,
    after: Sample,
    slope: float | None,
    totals: dict[str, float],
    viewing: dict[str, Any],
    findings: list[str],
) -> None:
    """The table for people."""
    print(f"joined {viewing['joined']}, failed {viewing['failed']}, join p95 {viewing['join_ms']['p95']} ms")
    print(f"frames {viewing['frames']}, incomplete {viewing['incomplete']}, torn {viewing['torn']}")
    received = viewing["packets"] + viewing["packets_after_leaving"]
    print(f"packets sent {totals['rostra_media_rtp_out_total']:.0f}, received {received}")
    print(f"retransmissions {totals['rostra_media_retransmissions_out_total']:.0f}")
    print(f"memory {before.rss_kb} KiB before, {max(one.rss_kb for one in samples)} at most, {after.rss_kb} after")
    growth = "not judged: the run is shorter than 10 minutes" if slope is None else f"{slope:+.0f} KiB in 10 minutes"
    print(f"memory slope {growth}")
    print(f"descriptors {before.descriptors} before, {after.descriptors} after; threads {after.threads}")
    for finding in findings:
        print(f"BAD: {finding}")
    print("soak passed" if not findings else "soak FAILED")


if __name__ == "__main__":
    raise SystemExit(main())
