"""``/metrics`` in Prometheus' text format."""

import asyncio
import platform
from collections.abc import Iterator
from dataclasses import fields
from typing import Final

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rostra import __version__
from rostra.hub import Hub
from rostra.server.edge.connection import EdgeContext

_GAUGES: Final = frozenset({"transports", "tracks", "slots", "connections"})
"""Fields of ``MediaStats`` that can fall; all others count since the engine started."""
_LAG_INTERVAL_S: Final = 0.25
_LAG_BUCKETS_S: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)


class Metrics:
    """Figures of the hub and the media plane as they are when somebody asks, and of the event loop over time."""

    def __init__(self, hub: Hub) -> None:
        self._registry: Final = CollectorRegistry()
        self._figures: Final = _Figures(hub)
        self._registry.register(self._figures)
        self._lag: Final = Histogram(
            "rostra_event_loop_lag_seconds",
            "How late the event loop runs what is due.",
            buckets=_LAG_BUCKETS_S,
            registry=self._registry,
        )

    def text(self) -> bytes:
        """All metrics."""
        return generate_latest(self._registry)

    def watch_edge(self, edge: EdgeContext) -> None:
        """Show the figures of the HTTP edge, too."""
        self._figures.edge = edge

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
        self.edge: EdgeContext | None = None

    def collect(self) -> Iterator[Metric]:
        """Everything that the hub knows, from one moment."""
        totals, media = self._hub.totals(), self._hub.media
        yield CounterMetricFamily("rostra_faults", "Faults of ours; each ended one transport.", value=self._hub.faults)
        yield _gauge("rostra_streams", "Streams with a publisher or a viewer.", totals.streams)
        yield _gauge("rostra_sources", "Live sources.", totals.sources)
        yield _gauge("rostra_feeds", "Publisher connections.", totals.feeds)
        yield _gauge("rostra_viewers", "Viewer connections.", totals.viewers)
        for one in fields(media):
            value = getattr(media, one.name)
            if one.name in _GAUGES:
                yield GaugeMetricFamily(f"rostra_media_{one.name}", f"MediaStats.{one.name} now.", value=value)
            elif isinstance(value, int):
                yield CounterMetricFamily(f"rostra_media_{one.name}", f"MediaStats.{one.name} so far.", value=value)
        dropped = CounterMetricFamily("rostra_media_dropped", "Packets not forwarded.", labels=["reason"])
        for reason, packets in media.dropped:
            dropped.add_metric([reason], packets)
        yield dropped
        if self.edge is not None:
            yield from _of_edge(self.edge)
        build = GaugeMetricFamily("rostra_build_info", "What runs.", labels=["version", "python"])
        build.add_metric([__version__, platform.python_version()], 1)
        yield build


def _of_edge(edge: EdgeContext) -> Iterator[Metric]:
    connections = GaugeMetricFamily("rostra_http_connections", "Open connections of the HTTP port.", labels=["kind"])
    connections.add_metric(["stranger"], edge.gate.strangers)
    connections.add_metric(["session"], edge.gate.sessions)
    connections.add_metric(["proxy"], edge.gate.proxies)
    yield connections
    for stats in (edge.gate.stats, edge.stats):
        for one in fields(stats):
            text = f"{type(stats).__name__}.{one.name} so far."
            yield CounterMetricFamily(f"rostra_http_{one.name}", text, value=getattr(stats, one.name))


def _gauge(name: str, text: str, value: int) -> Metric:
    return GaugeMetricFamily(name, text, value=value)
