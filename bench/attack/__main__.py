"""Attack the server as strangers would, beside clients that behave, and judge what those noticed.

In a network namespace without a way out: the server on core 0, everybody else on core 1. First each attack alone, then
all together. Prints a table, writes ``bench/results/attack.json`` and ``docs/attack.md``, and ends with exit code 1
when a limit is broken.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from bench.attack.report import Memory, Part, Stage, as_json, judge, table
from bench.attack.server import Server, server
from bench.attack.strangers import ATTACKS
from bench.attack.wire import ROOT

CORE: Final = 1
LOAD: Final = ROOT / "target" / "release" / "rostra-load"
RESULTS: Final = ROOT / "bench" / "results" / "attack.json"
PAGE: Final = ROOT / "docs" / "attack.md"
BEGIN, END = "<!-- attack: begin -->", "<!-- attack: end -->"
VIEWERS: Final = 20
WARM_UP_S: Final = 10
QUIET_S: Final = 30
PAUSE_S: Final = 2
"""Between two stages: joins that began in one end in it."""
SAMPLE_S: Final = 0.5
ALONE: Final = "no attack"


def main() -> int:
    """Make a namespace and run in it, or run."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--minutes", type=float, default=5, help="of all attacks together")
    arguments.add_argument("--seconds-each", type=float, default=5, help="of each attack alone")
    arguments.add_argument("--sections", default="AB", help="A, B or AB")
    arguments.add_argument("--attacks", nargs="*", choices=list(ATTACKS), help="these alone")
    arguments.add_argument("--server", type=Path, default=ROOT / ".venv" / "bin" / "rostra")
    arguments.add_argument("--keep", action="store_true", help="write no results")
    arguments.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if not options.inside:
        with namespace() as name:
            command = ["ip", "netns", "exec", name, sys.executable, "-m", "bench.attack", "--inside", *sys.argv[1:]]
            return subprocess.run(command, cwd=ROOT, check=False).returncode
    if subprocess.run(["ip", "route", "get", "192.0.2.1"], capture_output=True, check=False).returncode == 0:
        raise SystemExit("refused: this network namespace has a way out")
    os.sched_setaffinity(0, {CORE})
    names = [name for name in options.attacks or ATTACKS if ATTACKS[name].section in options.sections]
    with tempfile.TemporaryDirectory() as folder:
        parts, memory = run(options.server, Path(folder), names, options.seconds_each, options.minutes * 60)
        log = (Path(folder) / "server.log").read_text(errors="replace")
    findings = judge(parts, memory)
    text = table(parts, memory, findings)
    print(text)
    print(f"server log: {len(log.splitlines())} lines\n{log[-2000:]}", file=sys.stderr)
    if not options.keep:
        RESULTS.parent.mkdir(exist_ok=True)
        settings = {"minutes": options.minutes, "seconds_each": options.seconds_each, "attacks": names}
        RESULTS.write_text(json.dumps({**settings, **as_json(parts, memory, findings)}, indent=1) + "\n")
        before, _, rest = PAGE.read_text().partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{rest.partition(END)[2]}")
    return 1 if findings else 0


@contextmanager
def namespace() -> Iterator[str]:
    """A network namespace with a loopback interface and nothing else."""
    name = f"rostra-attack-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        yield name
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


def run(program: Path, folder: Path, names: list[str], each_s: float, together_s: float) -> tuple[list[Part], Memory]:
    """The load alone, rest, each attack by section, all together, rest."""
    plans: list[tuple[str, list[tuple[str, str, list[str]]], float]] = []
    for section in ("A", "B"):
        if own := [name for name in names if ATTACKS[name].section == section]:
            plans.append((f"{section}, in turn", [(ATTACKS[one].text, section, [one]) for one in own], each_s))
    sections = "".join(sorted({ATTACKS[name].section for name in names}))
    plans.append((f"{sections}, together", [("all together", sections, names)], together_s))
    with server(program, folder) as running:
        begun_s = time.monotonic()
        warm = part(running, folder, ALONE, [(ALONE, "–", [])], WARM_UP_S)
        time.sleep(QUIET_S)
        before = running.footprint()
        parts = [warm, *(part(running, folder, name, stages, seconds) for name, stages, seconds in plans)]
        time.sleep(QUIET_S)
        after = running.footprint()
    memory = Memory(warm.stages[0].rss_kb, before.rss_kb, after.rss_kb, before.descriptors, after.descriptors)
    print(f"took {time.monotonic() - begun_s:.0f} s", file=sys.stderr)
    return parts, memory


def part(running: Server, folder: Path, name: str, stages: list[tuple[str, str, list[str]]], seconds: float) -> Part:
    """Stages beside one publisher, viewers and joins."""
    whole_s = int((seconds + PAUSE_S) * len(stages)) + 8
    http, target = running.settings["http"], running.target
    common = ["--http", http, "--stream", target.stream]
    kernel = lost_in_kernel()
    with ExitStack() as stack:
        publish = [LOAD, "publish", *common, "--token", target.publish_token, "--seconds", str(whole_s + 60)]
        publisher = subprocess.Popen(publish, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        stack.callback(lambda: (publisher.terminate(), publisher.wait()))
        time.sleep(3)
        view = [LOAD, "view", *common, "--account", target.account, "--token", target.subscribe_token, "--verify"]
        plan = ["--viewers", str(VIEWERS), "--seconds", str(whole_s)]
        viewing = subprocess.Popen([*view, *plan], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        stack.callback(lambda: viewing.poll() is None and (viewing.kill(), viewing.wait()))
        time.sleep(3)
        joins = folder / f"joins-{time.monotonic_ns()}.jsonl"
        command = [sys.executable, "-m", "bench.attack.honest", target.encoded()]
        honest = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=stack.enter_context(joins.open("wb")), cwd=ROOT
        )
        stack.callback(lambda: honest.poll() is None and (honest.kill(), honest.wait()))
        time.sleep(1)
        done = [stage(running, text, section, attacks, seconds) for text, section, attacks in stages]
        assert honest.stdin is not None
        honest.stdin.close()
        honest.wait(timeout=30)
        out, _ = viewing.communicate(timeout=whole_s + 60)
    records = [json.loads(line) for line in joins.read_text().splitlines()]
    for one in done:
        one.joins = [record for record in records if one.begin_s <= record["at"] < one.end_s]
    print(f"{name}: viewers {out.decode().strip()[:400]}", file=sys.stderr)
    return Part(name, done, json.loads(out), lost_in_kernel() - kernel)


def stage(running: Server, text: str, section: str, attacks: list[str], seconds: float) -> Stage:
    """One attack, or several, so long."""
    time.sleep(PAUSE_S)
    before = running.metrics()
    one = Stage(text, section, time.monotonic())
    command = ["nice", sys.executable, "-m", "bench.attack.strangers", running.target.encoded(), str(seconds), *attacks]
    strangers = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) if attacks else None
    while (strangers.poll() is None) if strangers is not None else (time.monotonic() < one.begin_s + seconds):
        if time.monotonic() > one.begin_s + seconds + 60:
            break
        found = running.footprint()
        one.rss_kb, one.descriptors = max(one.rss_kb, found.rss_kb), max(one.descriptors, found.descriptors)
        time.sleep(SAMPLE_S)
    one.end_s = time.monotonic()
    if strangers is not None:
        if strangers.poll() is None:
            strangers.kill()
        out, _ = strangers.communicate()
        one.attackers = json.loads(out) if out else {"attackers": {"did not end": 1}}
    after = running.metrics()
    one.dropped = changes(before, after, 'rostra_media_dropped_total{reason="', '"}')
    one.edge = changes(before, after, "rostra_http_", "_total")
    print(f"{section}: {text}: {one.end_s - one.begin_s:.0f} s, {one.rss_kb} KiB, {one.attackers}", file=sys.stderr)
    return one


def changes(before: dict[str, float], after: dict[str, float], prefix: str, suffix: str) -> dict[str, int]:
    """Counters that grew, by what stands between."""
    return {
        name.removeprefix(prefix).removesuffix(suffix): int(value - before.get(name, 0))
        for name, value in after.items()
        if name.startswith(prefix) and name.endswith(suffix) and value > before.get(name, 0)
    }


def lost_in_kernel() -> int:
    """``RcvbufErrors`` of UDP in this namespace."""
    names, values = (line.split()[1:] for line in Path("/proc/net/snmp").read_text().splitlines() if "Udp: " in line)
    return int(dict(zip(names, values, strict=True))["RcvbufErrors"])


if __name__ == "__main__":
    raise SystemExit(main())
