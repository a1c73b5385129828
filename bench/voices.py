"""What a conversation costs the media plane: packets that nobody hears, packets to listeners, rankings, memory.

``rust/sim/src/bin/voices.rs`` does the work: one stream of many microphones that all send 50 packets a second, real
keys, and listeners whose slots play who speaks. Time is that of the thread on the processor inside the shard; beside
it stands the same with the slots bound for good. More listeners make caches colder, for bound slots as for voices, so
what a packet that nobody hears costs is counted in instructions too.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VOICES = ROOT / "target/release/voices"
RESULTS = ROOT / "bench/results/voices.json"
SOURCES, SLOTS = 200, 3
LISTENERS = (10, 100, 1000)
COUNTED = (10, 100)


def voices(*words: str, under: tuple[str, ...] = ()) -> dict[str, float | dict[str, float]]:
    """Run the bench and read its line."""
    done = subprocess.run([*under, str(VOICES), *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"voices {' '.join(words)} failed:\n{done.stderr[-2000:]}")
    line: dict[str, float | dict[str, float]] = json.loads(done.stdout)
    return line


def instructions(listeners: int) -> float | None:
    """Instructions for each packet that nobody hears, by callgrind; ``None`` without valgrind."""
    if shutil.which("valgrind") is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        profile = Path(folder) / "callgrind.out"
        flags = ("--collect-atstart=no", "--toggle-collect=*receive_unheard*")
        under = ("valgrind", "--tool=callgrind", f"--callgrind-out-file={profile}", *flags)
        packets = voices("unheard", str(SOURCES), str(listeners), under=under)["unheard"]
        totals = re.search(r"^(?:totals|summary): (\d+)", profile.read_text(), re.MULTILINE)
    if totals is None or not isinstance(packets, int):
        sys.exit("callgrind counted nothing")
    return int(totals[1]) / packets


def main() -> int:
    parser = argparse.ArgumentParser(description="Cost of voices in the media plane.")
    parser.add_argument("--no-callgrind", action="store_true")
    options = parser.parse_args()
    print(f"== {SOURCES} sources of 50 packets a second, three of them heard, {SLOTS} slots each", flush=True)
    runs = [voices("cost", str(SOURCES), str(listeners), str(SLOTS)) for listeners in LISTENERS]
    counted = {} if options.no_callgrind else {listeners: instructions(listeners) for listeners in COUNTED}
    rows = [
        ("ns per source packet that nobody hears", "steady", "unheard_ns"),
        ("  the same beside bound slots", "bound", "unheard_ns"),
        ("ns per packet to a listener", "steady", "forwarded_ns"),
        ("  the same with bound slots", "bound", "forwarded_ns"),
        ("us of timers per second", "steady", "timers_us"),
        ("  somebody new every half second", "turns", "timers_us"),
        ("  with bound slots", "bound", "timers_us"),
        ("allocations for packets", "turns", "allocations"),
    ]
    print(f"\n{'listeners':<44}" + "".join(f"{listeners:>10,}" for listeners in LISTENERS))
    for name, part, key in rows:
        values = [run[part] for run in runs]
        print(f"{name:<44}" + "".join(f"{value[key]:>10,.0f}" for value in values if isinstance(value, dict)))
    print(f"{'bytes per listener beside its slots':<44}" + "".join(f"{run['bytes_per_listener']:>10,}" for run in runs))
    for listeners, count in counted.items():
        if count is not None:
            print(f"instructions per packet that nobody hears, {listeners:,} listeners: {count:,.0f}")
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps({"runs": runs, "instructions": counted}, indent=2) + "\n")
    print(f"written to {RESULTS.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
