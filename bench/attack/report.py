"""What was measured, the limits, and the tables."""

import math
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from bench.attack.honest import ENTRANCES

MAX_LOST: Final = 0.001
"""Part of the viewers' frames."""
MAX_HEALTHZ_MS: Final = 100.0
MAX_GROWTH_KB: Final = 50 * 1024
MAX_LEFT_KB: Final = 10 * 1024
"""What resident memory may keep 30 s after the attacks: "it returns"."""


@dataclass(slots=True)
class Stage:
    """One attack, or several at once. Times are seconds of CLOCK_MONOTONIC."""

    name: str
    section: str
    begin_s: float
    end_s: float = 0.0
    rss_kb: int = 0
    """The most that was seen."""
    descriptors: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    """Packets by ``DropReason``."""
    edge: dict[str, int] = field(default_factory=dict)
    """What the HTTP edge counted."""
    attackers: dict[str, dict[str, int]] = field(default_factory=dict)
    cpu: dict[str, dict[str, float]] = field(default_factory=dict)
    """Parts of the time that the main threads of the server and of the clients had a core, and waited for one."""
    joins: list[dict[str, Any]] = field(default_factory=list)

    def times(self, entrance: str) -> list[float]:
        """Milliseconds of the joins that succeeded."""
        return [one["ms"] for one in self.joins if one["entrance"] == entrance and one["error"] is None]

    def failed(self) -> list[dict[str, Any]]:
        """Joins that did not."""
        return [one for one in self.joins if one["error"] is not None and one["entrance"] != "healthz"]

    def healthz_p95(self) -> float:
        """Milliseconds. An answer that never came counts as infinite."""
        asked = [one for one in self.joins if one["entrance"] == "healthz"]
        return percentile([one["ms"] if one["error"] is None else math.inf for one in asked], 0.95)

    def errors(self) -> dict[str, int]:
        """Why joins failed, with how often."""
        return dict(Counter(f"{one['entrance']}: {one['error']}" for one in self.joins if one["error"] is not None))

    def as_json(self) -> dict[str, Any]:
        """For the file of results."""
        entrances = {
            name: {
                "tried": sum(one["entrance"] == name for one in self.joins),
                "succeeded": len(times := self.times(name)),
                "p50_ms": _finite(percentile(times, 0.5)),
                "p95_ms": _finite(percentile(times, 0.95)),
            }
            for name in (*ENTRANCES, "healthz")
        }
        return {
            "name": self.name,
            "section": self.section,
            "seconds": round(self.end_s - self.begin_s, 1),
            "healthz_p95_ms": _finite(self.healthz_p95()),
            "entrances": entrances,
            "errors": self.errors(),
            "rss_kb": self.rss_kb,
            "descriptors": self.descriptors,
            "dropped": self.dropped,
            "edge": self.edge,
            "cpu": self.cpu,
            "attackers": self.attackers,
        }


@dataclass(slots=True)
class Part:
    """Stages that one run of viewers watched. ``viewing``: the report of ``rostra-load``."""

    name: str
    stages: list[Stage]
    viewing: dict[str, Any]
    lost_in_kernel: int
    """Datagrams that the kernel dropped for full receive buffers, of the whole namespace."""
    has_ended_early: bool
    """The viewers or the publisher were gone before the attacks were."""

    def lost(self) -> float:
        """Part of the viewers' frames that never became whole."""
        return float(self.viewing["incomplete"] / max(1, self.viewing["frames"] + self.viewing["incomplete"]))


@dataclass(frozen=True, slots=True)
class Memory:
    """KiB and descriptors: before with the load alone, at rest before and after the attacks."""

    loaded_kb: int
    before_kb: int
    after_kb: int
    descriptors_before: int
    descriptors_after: int


def percentile(values: list[float], part: float) -> float:
    """A value that occurred; NaN of nothing."""
    return sorted(values)[max(0, math.ceil(part * len(values)) - 1)] if values else math.nan


def _finite(value: float) -> float | None:
    return round(value, 1) if math.isfinite(value) else None


def judge(parts: list[Part], memory: Memory) -> list[str]:
    """Every limit that is broken, in words."""
    findings = []
    for part in parts:
        for stage in part.stages:
            tried = sum(one["entrance"] != "healthz" for one in stage.joins)
            if failed := len(stage.failed()):
                findings.append(f"{stage.name}: {failed} of {tried} joins failed")
            if not stage.healthz_p95() < MAX_HEALTHZ_MS:
                findings.append(f"{stage.name}: /healthz p95 {stage.healthz_p95():.0f} ms")
            if stage.rss_kb - memory.loaded_kb >= MAX_GROWTH_KB:
                findings.append(f"{stage.name}: memory {(stage.rss_kb - memory.loaded_kb) / 1024:+.0f} MiB")
        if part.has_ended_early:
            findings.append(f"{part.name}: the load ended before the attacks")
        if not part.lost() < MAX_LOST:
            findings.append(f"{part.name}: viewers lost {part.lost():.2%} of their frames")
        if part.viewing["failed"] or part.viewing["joined"] == 0:
            findings.append(f"{part.name}: {part.viewing['failed']} viewers did not join: {part.viewing['errors']}")
    if memory.after_kb - memory.before_kb >= MAX_LEFT_KB:
        findings.append(f"memory kept {(memory.after_kb - memory.before_kb) / 1024:.0f} MiB")
    if memory.descriptors_after > memory.descriptors_before:
        findings.append(f"{memory.descriptors_after - memory.descriptors_before} descriptors did not come back")
    return findings


def table(parts: list[Part], memory: Memory, findings: list[str]) -> str:
    """Markdown."""
    names = list(ENTRANCES)
    head = [
        "attack",
        "s",
        *(f"{name} ok" for name in names),
        "joins p50 / p95 ms",
        "healthz p95 ms",
        "MiB",
        "server CPU, waits",
        "clients CPU, waits",
    ]
    lines = [_row(head), _row(["---"] * len(head))]
    for part in parts:
        for stage in part.stages:
            times = [ms for name in names for ms in stage.times(name)]
            lines.append(
                _row(
                    [
                        f"{stage.section}: {stage.name}",
                        f"{stage.end_s - stage.begin_s:.0f}",
                        *(f"{len(stage.times(name))}/{_tried(stage, name)}" for name in names),
                        f"{percentile(times, 0.5):.0f} / {percentile(times, 0.95):.0f}",
                        f"{stage.healthz_p95():.0f}",
                        f"{(stage.rss_kb - memory.loaded_kb) / 1024:+.0f}",
                        *(f"{one['used']:.0%}, {one['waited']:.0%}" for one in stage.cpu.values()),
                    ]
                )
            )
    lines += ["", _row(["viewers", "frames", "lost", "part", "packets dropped by reason", "lost in the kernel"])]
    lines.append(_row(["---"] * 6))
    for part in parts:
        dropped: dict[str, int] = {}
        for stage in part.stages:
            for reason, packets in stage.dropped.items():
                dropped[reason] = dropped.get(reason, 0) + packets
        reasons = ", ".join(f"{reason} {packets}" for reason, packets in sorted(dropped.items())) or "none"
        viewing = part.viewing
        cells = [part.name, str(viewing["frames"]), str(viewing["incomplete"]), f"{part.lost():.3%}", reasons]
        lines.append(_row([*cells, str(part.lost_in_kernel)]))
    most = max(stage.rss_kb for part in parts for stage in part.stages)
    mebibytes = [round(kb / 1024) for kb in (memory.before_kb, memory.loaded_kb, most, memory.after_kb)]
    rest, loaded, at_most, after = mebibytes
    lines += [
        "",
        f"Memory: {rest} MiB at rest, {loaded} with the load alone, {at_most} at most, {after} after 30 s of quiet.",
        f"Descriptors: {memory.descriptors_before} before, {memory.descriptors_after} after.",
        "",
        *(f"- Broken: {finding}." for finding in findings),
    ]
    return "\n".join(lines if findings else [*lines, "All limits hold."]).rstrip() + "\n"


def _tried(stage: Stage, name: str) -> int:
    return sum(one["entrance"] == name for one in stage.joins)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def as_json(parts: list[Part], memory: Memory, findings: list[str]) -> dict[str, Any]:
    """For the file of results."""
    return {
        "memory": asdict(memory),
        "parts": [
            {
                "name": part.name,
                "viewing": part.viewing,
                "frames_lost": part.lost(),
                "lost_in_kernel": part.lost_in_kernel,
                "stages": [stage.as_json() for stage in part.stages],
            }
            for part in parts
        ],
        "findings": findings,
    }
