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
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.attack.report import Memory, Part, Stage, as_json, judge, table
from bench.attack.server import Cpu, Server, server
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
LATE_S: Final = 60
"""What attackers may need to end, on a core that they share."""
STEP_S: Final = PAUSE_S + 3
"""What a step takes beside its attacks."""
SAMPLE_S: Final = 0.5
SECTIONS: Final = "AB"
ALONE: Final = "no attack"


def main() -> int:
    """Make a namespace and run in it, or run."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--minutes", type=float, default=5, help="of all attacks together")
    arguments.add_argument("--seconds-each", type=float, default=5, help="of each attack alone")
    arguments.add_argument("--sections", default=SECTIONS, help="A, B or AB")
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


@dataclass(frozen=True, slots=True)
class Step:
    """Attacks that run at once, for so long."""

    text: str
    section: str
    attacks: list[str]
    seconds: float


def plans(names: list[str], each_s: float, together_s: float) -> list[tuple[str, list[Step]]]:
    """Each attack alone, by section; those of A together, for a minute at most; all together."""
    found = []
    for section in SECTIONS:
        own = [name for name in names if ATTACKS[name].section == section]
        alone = [Step(ATTACKS[name].text, section, [name], each_s) for name in own]
        found += [(f"{section}, in turn", alone)] if alone else []
    sections = "".join(one for one in SECTIONS if any(ATTACKS[name].section == one for name in names))
    if sections == SECTIONS:
        own = [name for name in names if ATTACKS[name].section == "A"]
        found.append(("A, together", [Step("all of A together", "A", own, min(60.0, together_s))]))
    return [*found, (f"{sections}, together", [Step("all together", sections, names, together_s)])]


def run(program: Path, folder: Path, names: list[str], each_s: float, together_s: float) -> tuple[list[Part], Memory]:
    """The load alone, rest, the attacks, rest."""
    with server(program, folder) as running:
        warm = part(running, folder, ALONE, [Step(ALONE, "–", [], WARM_UP_S)])
        time.sleep(QUIET_S)
        before = running.footprint()
        parts = [warm, *(part(running, folder, name, steps) for name, steps in plans(names, each_s, together_s))]
        time.sleep(QUIET_S)
        after = running.footprint()
    return parts, Memory(warm.stages[0].rss_kb, before.rss_kb, after.rss_kb, before.descriptors, after.descriptors)


def part(running: Server, folder: Path, name: str, steps: list[Step]) -> Part:
    """Steps beside one publisher, viewers and joins."""
    whole_s = int(sum(step.seconds + STEP_S for step in steps)) + 10
    target = running.target
    common = ["--http", running.settings["http"], "--stream", target.stream]
    publish = [LOAD, "publish", *common, "--token", target.publish_token, "--seconds", str(whole_s + 60)]
    view = [LOAD, "view", *common, "--account", target.account, "--token", target.subscribe_token, "--verify"]
    plan = ["--viewers", str(VIEWERS), "--seconds", str(whole_s)]
    join = [sys.executable, "-m", "bench.attack.honest", target.encoded()]
    joins = folder / f"joins-{time.monotonic_ns()}.jsonl"
    kernel = lost_in_kernel()
    with ExitStack() as stack:
        stack.callback(
            end, publisher := subprocess.Popen(publish, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        )
        time.sleep(3)
        viewing = subprocess.Popen([*view, *plan], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        stack.callback(end, viewing)
        time.sleep(3)
        out = stack.enter_context(joins.open("wb"))
        stack.callback(end, honest := subprocess.Popen(join, stdin=subprocess.PIPE, stdout=out, cwd=ROOT))
        time.sleep(1)
        stages = [stage(running, honest.pid, step) for step in steps]
        has_ended_early = viewing.poll() is not None or publisher.poll() is not None
        honest.communicate(timeout=60)
        report = json.loads(viewing.communicate(timeout=whole_s + 60)[0])
    records = [json.loads(line) for line in joins.read_text().splitlines()]
    for one in stages:
        one.joins = [record for record in records if one.begin_s <= record["at"] < one.end_s]
        if errors := one.errors():
            print(f"{one.name}: {errors}", file=sys.stderr)
    print(f"{name}: {report['frames']} frames, {report['incomplete']} lost", file=sys.stderr)
    return Part(name, stages, report, lost_in_kernel() - kernel, has_ended_early=has_ended_early)


def end(process: subprocess.Popen[bytes]) -> None:
    """Stop it, unless it has ended."""
    if process.poll() is None:
        process.terminate()
        process.wait()


def stage(running: Server, honest: int, step: Step) -> Stage:
    """The attacks of one step. ``honest``: the process of the clients that behave."""
    time.sleep(PAUSE_S)
    before = running.metrics()
    pids = {"server": running.process.pid, "clients": honest}
    cpu = {name: Cpu.of(pid) for name, pid in pids.items()}
    one = Stage(step.text, step.section, time.monotonic())
    program = ["nice", sys.executable, "-m", "bench.attack.strangers", running.target.encoded(), str(step.seconds)]
    strangers = subprocess.Popen([*program, *step.attacks], stdout=subprocess.PIPE, cwd=ROOT) if step.attacks else None
    while time.monotonic() < one.begin_s + step.seconds + (LATE_S if strangers is not None else 0):
        if strangers is not None and strangers.poll() is not None:
            break
        found = running.footprint()
        one.rss_kb, one.descriptors = max(one.rss_kb, found.rss_kb), max(one.descriptors, found.descriptors)
        time.sleep(SAMPLE_S)
    one.end_s = time.monotonic()
    one.cpu = {name: Cpu.of(pid).since(cpu[name], one.end_s - one.begin_s) for name, pid in pids.items()}
    if strangers is not None:
        end(strangers)
        out, _ = strangers.communicate()
        if strangers.returncode:
            raise SystemExit(f"the attackers failed: {step.attacks}")
        one.attackers = json.loads(out)
    after = running.metrics()
    one.dropped = changes(before, after, 'rostra_media_dropped_total{reason="', '"}')
    one.edge = changes(before, after, "rostra_http_", "_total")
    print(f"{step.text}: {one.end_s - one.begin_s:.0f} s, {one.rss_kb} KiB, {one.attackers}", file=sys.stderr)
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
