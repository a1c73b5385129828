"""``/metrics`` in Prometheus' text format."""

import asyncio
import platform
from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rostra import __version__
from rostra.hub import Hub

_LAG_INTERVAL_S: Final = 0.25
_LAG_BUCKETS_S: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)


class Metrics:
    """Figures of the hub and the media plane as they are when somebody asks, and of the event loop over time."""

    def __init__(self, hub: Hub) -> None:
        self._registry: Final = CollectorRegistry()
        self._registry.register(_Figures(hub))
        self._lag: Final = Histogram(
            "rostra_event_loop_lag_seconds",
            "How late the event loop runs what is due.",
            buckets=_LAG_BUCKETS_S,
            registry=self._registry,
        )

    def text(self) -> bytes:
        """All metrics."""
        return generate_latest(self._registry)

    async def watch_loop(self) -> None:
        """Measure the event loop's lag until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _LAG_INTERVAL_S
            await asyncio.sleep(_LAG_INTERVAL_S)
            self._lag.observe(max(0.0, loop.time() - due))


class _Figures(Collector):
    def __init__(self, hub: Hub) -> None:
        self._hub: Final = hub

    def collect(self) -> Iterator[Metric]:
        """Everything that the hub knows, from one moment."""
        totals, media = self._hub.totals(), self._hub.media
        yield _gauge("rostra_streams", "Streams with a publisher or a viewer.", totals.streams)
        yield _gauge("rostra_sources", "Live sources.", totals.sources)
        yield _gauge("rostra_feeds", "Publisher connections.", totals.feeds)
        yield _gauge("rostra_viewers", "Viewer connections.", totals.viewers)
        yield _gauge("rostra_media_transports", "Peer connections of the media plane.", media.transports)
        yield _gauge("rostra_media_tracks", "Published tracks of the media plane.", media.tracks)
        yield _gauge("rostra_media_slots", "Viewers' slots of the media plane.", media.slots)
        yield _by("packets", "UDP packets.", "direction", {"in": media.packets_in, "out": media.packets_out})
        yield _by("bytes", "Bytes of UDP payload.", "direction", {"in": media.bytes_in, "out": media.bytes_out})
        yield _by("rtp_packets", "RTP packets.", "direction", {"in": media.rtp_in, "out": media.rtp_out})
        requests = {"in": media.key_frame_requests_in, "out": media.key_frame_requests_out}
        yield _by("key_frame_requests", "Key frames asked for by viewers, of publishers.", "direction", requests)
        yield _counter("retransmissions", "Packets sent again to viewers.", media.retransmissions_out)
        yield _counter("nacks", "Packets asked for again of publishers.", media.nacks_out)
        yield _counter("switches", "Slots that changed to another track.", media.switches)
        yield _counter("oversize_packets", "Packets that left larger than 1232 bytes.", media.oversize_out)
        yield _by("dropped_packets", "Packets not forwarded.", "reason", dict(media.dropped))
        build = GaugeMetricFamily("rostra_build_info", "What runs.", labels=["version", "python"])
        build.add_metric([__version__, platform.python_version()], 1)
        yield build


def _gauge(name: str, text: str, value: int) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _counter(name: str, text: str, value: int) -> Metric:
    return CounterMetricFamily(f"rostra_media_{name}", text, value=value)


def _by(name: str, text: str, label: str, values: dict[str, int]) -> Metric:
    family = CounterMetricFamily(f"rostra_media_{name}", text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family
