"""A bad network between Chromium and the server: what is lost is sent again, and the picture goes on."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

from playwright.async_api import Page

from .conftest import Server

RELAY = Path(__file__).parents[2] / "target" / "release" / "rostra-link"

# From now on `window.through` is the port that new connections take for the server's.
THROUGH = """() => {
  const real = RTCPeerConnection.prototype.setRemoteDescription;
  window.through = null;
  RTCPeerConnection.prototype.setRemoteDescription = function (description) {
    this.through ??= window.through;
    const { type, sdp } = description;
    const port = this.through;
    return real.call(this, port ? { type, sdp: sdp.replace(/^(a=candidate:\\S+ 1 udp \\d+ 127\\.0\\.0\\.1) \\d+/gim, `$1 ${port}`) } : description);
  };
}"""

# Publisher and viewer through their ports; then ten seconds are observed. Leaves `w` on the window.
OBSERVE = """async ([stream, upstream, downstream]) => {
  const { publish, Watcher, until, observe } = t;
  window.through = upstream;
  const publisher = await publish(settings, { stream, picture: { colour: "red", fps: 15 } });
  window.through = downstream;
  window.w = new Watcher(settings, stream);
  await until(() => w.connect().then(() => true, () => w.view.stop() && false), "the stream to be live");
  await t.untilColour(w, 0, "red");
  const pcs = { publisher: publisher.webRTCPeer.peer, viewer: w.pc };
  const of = async (pc, type, kind) => [...(await pc.getStats()).values()].find((one) => one.type === type && (one.kind ?? kind) === kind);
  const remote = async (pc) => {
    const report = await pc.getStats();
    const pair = [...report.values()].find((one) => one.type === "candidate-pair" && one.nominated);
    return report.get(pair.remoteCandidateId).port;
  };
  const sentBefore = (await of(pcs.publisher, "outbound-rtp", "video")).framesSent;
  const seen = await observe(w, 0, 10000);
  const sent = await of(pcs.publisher, "outbound-rtp", "video");
  return {
    seen,
    expected: sent.framesSent - sentBefore,
    sent,
    received: await w.stats(0),
    ports: [await remote(pcs.publisher), await remote(pcs.viewer)],
    colour: w.colour(0),
  };
}"""


@contextmanager
def relay(server: Server, *network: str) -> Iterator[int]:
    """A relay in front of the media port: its own port."""
    with Popen([RELAY, "--listen", "127.0.0.1:0", "--to", server.settings["media"], *network], stdout=PIPE) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline().decode().rpartition(":")[2])
        finally:
            process.terminate()


async def observed(page: Page, stream: str, *, upstream: int | None, downstream: int | None) -> dict[str, Any]:
    """Ten seconds of a stream whose publisher and viewer reach the server through these ports."""
    await page.evaluate(THROUGH)
    result: dict[str, Any] = await page.evaluate(OBSERVE, [stream, upstream, downstream])
    sent, received = result["sent"], result["received"]
    print(
        f"{stream}: {result['seen']['frames']} of {result['expected']} frames, freezes {result['seen']['freezes']}, "
        f"standstill {result['seen']['standstill']:.0f} ms; viewer sent {received['nackCount']} NACKs and got "
        f"{received.get('retransmittedPacketsReceived', 0)} packets again, lost {received['packetsLost']}; "
        f"publisher got {sent['nackCount']} NACKs and sent {sent['retransmittedPacketsSent']} packets again"
    )
    return result


async def test_a_network_that_loses_delays_and_jitters_both_ways(page: Page, server: Server) -> None:
    with relay(server, "--loss", "0.02", "--delay-ms", "20", "--jitter-ms", "10") as port:
        result = await observed(page, "link", upstream=port, downstream=port)
    assert result["ports"] == [port, port]
    assert result["expected"] > 100
    assert result["seen"]["frames"] >= 0.95 * result["expected"]
    assert result["received"]["nackCount"] > 0
    assert result["received"]["retransmittedPacketsReceived"] > 0
    assert result["colour"] == "red"


async def test_loss_on_the_publishers_way_is_mended_before_viewers_see_it(page: Page, server: Server) -> None:
    with relay(server, "--up-loss", "0.05", "--delay-ms", "5") as port:
        result = await observed(page, "uplink", upstream=port, downstream=None)
    media = int(server.settings["media"].rpartition(":")[2])
    assert result["ports"] == [port, media]
    assert result["expected"] > 100
    assert result["seen"]["frames"] >= 0.95 * result["expected"]
    assert result["sent"]["nackCount"] > 0
    assert result["sent"]["retransmittedPacketsSent"] > 0
    assert result["colour"] == "red"
