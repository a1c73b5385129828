"""Media by TCP (RFC 6544): where no UDP passes, and with viewers that stop reading."""

import asyncio
import json
import shlex
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Any

import httpx
import pytest
from playwright.async_api import async_playwright
from prometheus_client.parser import text_string_to_metric_families

from .conftest import CHROMIUM, FLAGS, open_page, start_server, stop_server
from .network import RELEASE, namespace_without_udp, passes_udp, publishing

# Publishes and watches; leaves `w` on the window. What carried the media of both, and what the server says of the viewer.
PLAY = """async () => {
  const { publish, Watcher, until } = t;
  const publisher = await publish(settings, { stream: "tcp", picture: { colour: "red", fps: 15 } });
  window.w = new Watcher(settings, "tcp");
  await until(() => w.connect().then(() => true, () => w.view.stop() && false), "the stream to be live");
  await t.untilColour(w, 0, "red");
  const decoded = async () => (await w.stats(0)).framesDecoded;
  const before = await decoded();
  await until(async () => (await decoded()) > before + 60, "sixty pictures more", 30000);
  const ways = await Promise.all([publisher.webRTCPeer.peer, w.pc].map(async (pc) => {
    const report = await pc.getStats();
    const pair = [...report.values()].find((one) => one.type === "candidate-pair" && one.nominated);
    const { protocol, port } = report.get(pair.remoteCandidateId);
    return { protocol, port };
  }));
  return { ways, colour: w.colour(0), metrics: await (await fetch("/metrics")).text() };
}"""


def figures(text: str) -> dict[str, float]:
    """Metrics without labels by name, and what was dropped by ``dropped.REASON``."""
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    plain = {one.name: one.value for one in samples if not one.labels}
    dropped = {f"dropped.{one.labels['reason']}": one.value for one in samples if "reason" in one.labels}
    return plain | dropped


async def test_where_no_udp_passes_a_browser_publishes_and_watches_by_tcp(tmp_path: Path) -> None:
    with namespace_without_udp() as within:
        assert not await asyncio.to_thread(passes_udp, within)
        chromium = tmp_path / "chromium"
        chromium.write_text(f'#!/bin/sh\nexec {shlex.join(within)} {CHROMIUM} "$@"\n')
        chromium.chmod(0o755)
        server = await asyncio.to_thread(start_server, tmp_path, before=within)
        try:
            async with async_playwright() as playwright:
                browser = await playwright.chromium.launch(executable_path=chromium, headless=True, args=FLAGS)
                async for page in open_page(browser, server):
                    result: dict[str, Any] = await page.evaluate(PLAY)
                await browser.close()
        finally:
            assert stop_server(server) == 0
    port = int(server.settings["media"].rpartition(":")[2])
    assert result["ways"] == [{"protocol": "tcp", "port": port}] * 2
    assert result["colour"] == "red"
    assert figures(result["metrics"])["rostra_media_connections"] >= 2


def resident_kib(pid: int, name: str) -> int:
    """A line of ``/proc/PID/status``."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


@pytest.mark.parametrize(("viewers", "sleepers"), [(100, 20)])
async def test_viewers_that_stop_reading_cost_the_others_nothing(tmp_path: Path, viewers: int, sleepers: int) -> None:
    server = await asyncio.to_thread(start_server, tmp_path, "--allow-offline-subscribe")
    settings = server.settings
    audience = [RELEASE / "rostra-load", "view", "--http", settings["http"], "--stream", "sleepy"]
    audience += ["--account", settings["account_id"], "--token", settings["subscribe_token"], "--tcp", "--verify"]
    audience += ["--viewers", str(viewers), "--sleepers", str(sleepers), "--seconds", "40", "--ramp-ms", "60"]
    before = resident_kib(server.process.pid, "VmRSS")
    try:
        with publishing(server, "sleepy", "--kbps", "150", "--fps", "10"):
            async with httpx.AsyncClient(base_url=settings["http"], trust_env=False) as client:
                viewing = await asyncio.create_subprocess_exec(*audience, stdout=PIPE, stderr=DEVNULL)
                out, _ = await viewing.communicate()
                after = figures((await client.get("/metrics")).text)
        grown = resident_kib(server.process.pid, "VmHWM") - before
    finally:
        assert stop_server(server) == 0
    totals = json.loads(out)
    print(totals, {key: value for key, value in after.items() if "tcp" in key}, f"server grew by {grown} KiB")
    assert (totals["joined"], totals["asleep"], totals["failed"]) == (viewers, sleepers, 0)
    assert (totals["lost"], totals["incomplete"], totals["torn"]) == (0, 0, 0)
    assert after["dropped.tcp_full"] > 0
    # 64 KiB of a viewer, 64 KiB that wait, and the memory of a process that has begun to work.
    assert grown < viewers * 256 + 64 * 1024
