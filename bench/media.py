"""What forwarding one packet costs in user space: time, instructions, allocations, memory.

``rust/sim/src/bin/forward.rs`` does the work: one publisher of VP8 and Opus, real DTLS handshakes and keys, packets
through a shard to viewers who answer with feedback. Its time (of the thread on the processor) contains everything that
the shard does: opening each incoming packet once, rings, queues, pacing, timers, numbering, rewriting, reports,
sealing, and reading the feedback for the estimate of each viewer's bandwidth. The cost of encryption alone is that of
sealing packets of the same sizes with the same profile for as many viewers; the cost without encryption is the
difference.
"""

import argparse
import json
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FORWARD = ROOT / "target/release/forward"
RESULTS = ROOT / "bench/results/media.json"
CALLGRIND_VIEWERS = 50
SLOTS = 10


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table. ``target``: at most this; ``None`` where the project names none."""

    name: str
    value: float | None
    unit: str
    target: float | None = None

    @property
    def verdict(self) -> str:
        if self.value is None:
            return "not measured"
        if self.target is None:
            return ""
        return "met" if self.value <= self.target else "missed"


def forward(*words: str, under: tuple[str, ...] = ()) -> dict[str, float | str]:
    """Run the test bed and read its line."""
    done = subprocess.run([*under, str(FORWARD), *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"forward {' '.join(words)} failed:\n{done.stderr[-2000:]}")
    line: dict[str, float | str] = json.loads(done.stdout)
    return line


def instructions() -> dict[str, float] | None:
    """Instructions per forwarded packet and per sealed packet, by callgrind; ``None`` without valgrind."""
    if shutil.which("valgrind") is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        profile = Path(folder) / "callgrind.out"
        line = forward(
            "time",
            str(CALLGRIND_VIEWERS),
            "4",
            under=(
                "valgrind",
                "--tool=callgrind",
                f"--callgrind-out-file={profile}",
                "--collect-atstart=no",
                "--toggle-collect=*measured_in_shard*",
                "--toggle-collect=*measured_sealing*",
            ),
        )
        packets = float(line["packets_with_warm_up"])
        table = subprocess.run(
            ["callgrind_annotate", "--inclusive=yes", "--threshold=100", str(profile)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    allocating = re.search(r":_?(malloc|calloc|realloc|_int_malloc) \[", table)
    forwarding = inclusive(table, "rostra_sim::bed::Bed::forward")
    sealing = inclusive(table, "forward::measured_sealing")
    return {
        "forwarding": forwarding / packets,
        "sealing": sealing / packets,
        "calls_malloc": float(allocating is not None),
    }


def inclusive(table: str, function: str) -> int:
    """Instructions spent in a function and in what it calls, from callgrind_annotate's table."""
    counts = [
        int(found[1].replace(",", ""))
        for found in re.finditer(rf"^\s*([\d,]+) \([ \d.]+%\)  \S*:{re.escape(function)}\b", table, re.MULTILINE)
    ]
    if not counts:
        sys.exit(f"callgrind saw no {function}")
    return max(counts)


def cpu() -> str:
    """The processor's own name."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1] if found else platform.machine()


def main() -> int:
    parser = argparse.ArgumentParser(description="Cost of forwarding one packet in user space.")
    parser.add_argument("--viewers", type=int, default=200)
    parser.add_argument("--runs", type=int, default=5, help="the median of so many runs")
    parser.add_argument("--no-callgrind", action="store_true")
    options = parser.parse_args()

    print(f"== Forwarding to {options.viewers} viewers, {options.runs} runs of 10 s of media", flush=True)
    runs = [forward("time", str(options.viewers), "10") for _ in range(options.runs)]
    total = statistics.median(float(run["ns"]) for run in runs)
    sealing = statistics.median(float(run["ns_sealing"]) for run in runs)
    spread = [min(float(run["ns"]) for run in runs), max(float(run["ns"]) for run in runs)]
    packets = sum(float(run["packets"]) for run in runs)
    allocations = sum(float(run["allocations"]) for run in runs) / packets

    print(f"== Weighing a viewer with {SLOTS} bound slots", flush=True)
    weight = forward("weigh", "50", str(SLOTS))
    weight_others = forward("weigh-others", "50", str(SLOTS))
    counted = None
    if not options.no_callgrind:
        print(f"== Counting instructions with callgrind ({CALLGRIND_VIEWERS} viewers)", flush=True)
        counted = instructions()

    lines = [
        Line("time per forwarded packet, encryption included", total, "ns", 250),
        Line("  of that, encryption (sealing the same sizes)", sealing, "ns"),
        Line("  without encryption (the difference)", total - sealing, "ns", 60),
        Line("allocations per forwarded packet", allocations, "", 0),
        Line(f"heap per viewer with {SLOTS} bound slots", float(weight["bytes_per_viewer"]) / 1024, "KiB", 64),
        Line("  of one that is no browser: OpenSSL", float(weight_others["bytes_per_viewer"]) / 1024, "KiB"),
        Line("instructions per forwarded packet, encryption included", counted["forwarding"] if counted else None, ""),
        Line(
            "  without encryption (the difference)",
            counted["forwarding"] - counted["sealing"] if counted else None,
            "",
        ),
    ]
    first = runs[0]
    print(f"\n{cpu()}; {first['profile']}, {float(first['bytes_per_packet']):.0f} bytes and "
          f"{float(first['packets_per_run']):.1f} packets per run on average; "
          f"slowest and fastest run {spread[1]:.0f} and {spread[0]:.0f} ns\n")  # fmt: skip
    for line in lines:
        value = "-" if line.value is None else f"{line.value:,.1f}"
        target = "" if line.target is None else f"target {line.target:g}"
        print(f"{line.name:<58}{value:>10} {line.unit:<4} {target:<12}{line.verdict}")
    print("\nHeap: allocator's books around the shard's calls, C libraries included; all slots but one are video.")
    if counted is not None:
        print("Instructions: callgrind's processor has no AVX-512, so the cipher takes a longer way there than above.")
        called = "called" if counted["calls_malloc"] else "never called"
        print(f"malloc within forwarding, C libraries included: {called}.")

    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    figures = {
        "cpu": cpu(),
        "viewers": options.viewers,
        "lines": [asdict(line) | {"verdict": line.verdict} for line in lines],
        "runs": runs,
        "weight": weight,
        "callgrind": counted,
    }
    RESULTS.write_text(json.dumps(figures, indent=2) + "\n")
    print(f"written to {RESULTS.relative_to(ROOT)}")
    if allocations > 0:
        print("FAILED: forwarding allocates", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
