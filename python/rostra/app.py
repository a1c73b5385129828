"""Composition root: puts hub, adapters and HTTP server together, and takes them down in order."""

import asyncio
import contextlib
import logging
import signal
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

import structlog

from rostra import __version__
from rostra.config import Address, Config, ConfigError
from rostra.hub import Hub
from rostra.media.engine import Engine
from rostra.protocol.signal import MAX_MESSAGE
from rostra.server import asgi
from rostra.server.context import Context
from rostra.server.edge.caps import connection_caps, raise_descriptor_limit
from rostra.server.edge.connection import EdgeContext
from rostra.server.edge.gate import Gate
from rostra.server.edge.server import Edge
from rostra.server.metrics import Metrics
from rostra.server.rtmp import Rtmp
from rostra.server.signalling import Sockets
from rostra.store import Store

_BACKLOG: Final = 1024
_SAY_STOPPED_S: Final = 2.0
"""How long viewers have to take their ``stopped``."""

log = structlog.get_logger("rostra.app")


@dataclass(frozen=True, slots=True)
class Ready:
    """How this machine reaches the server. ``http`` is a URL without path, ``media`` and ``rtmp`` are ``host:port``."""

    http: str
    media: str
    rtmp: str | None = None


async def serve(config: Config, *, engine: Engine, store: Store, on_ready: Callable[[Ready], None]) -> None:
    """Serve until SIGINT, SIGTERM or cancellation. The engine and the store stay open: they are the caller's.

    Raises:
        ConfigError: an address is taken, or the certificate cannot be used.
    """
    _configure_logs(config.log_level)
    with _listener(config.http.listen, "--http") as listener, _rtmp_listener(config) as encoders:
        hub = Hub(engine, viewer_max_bps=config.media.viewer_max_bps)
        port = encoders.getsockname()[1] if encoders is not None else None
        context = Context(config, hub, store, time.time, rtmp_port=port)
        gate, sockets = Gate(connection_caps(raise_descriptor_limit())), Sockets(context)
        metrics = Metrics(hub)
        edge_context = EdgeContext(
            app=asgi.build(context, sockets, metrics),
            gate=gate,
            scheme="https" if config.http.tls_cert is not None else "http",
            trusted_proxies=frozenset(config.http.trusted_proxies),
            max_message=MAX_MESSAGE,
        )
        metrics.watch_edge(edge_context)
        edge = Edge(edge_context, listener, _tls(config))
        hub.start()
        try:
            async with asyncio.TaskGroup() as tasks:
                serving = tasks.create_task(edge.run())
                watching = tasks.create_task(metrics.watch_loop())
                taking_in = tasks.create_task(_take_encoders_in(context, encoders))
                try:
                    with _stop_signals() as stop:
                        _log_start(config, listener, encoders, engine)
                        on_ready(_ready(config, listener, encoders, engine))
                        waiting = tasks.create_task(stop.wait())
                        await asyncio.wait((serving, waiting), return_when=asyncio.FIRST_COMPLETED)
                        waiting.cancel()
                finally:
                    log.info("stopping")
                    watching.cancel()
                    taking_in.cancel()
                    hub.stop()
                    await sockets.close(_SAY_STOPPED_S)
                    edge.stop()
        finally:
            hub.stop()
            log.info("stopped")


def _tls(config: Config) -> ssl.SSLContext | None:
    if config.http.tls_cert is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(config.http.tls_cert, config.http.tls_key)
    except (ssl.SSLError, OSError) as error:
        raise ConfigError(f"--tls-cert, --tls-key: not a PEM certificate with its key: {error}") from None
    return context


@contextlib.contextmanager
def _listener(address: Address, option: str, advice: str = "") -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # [::] is everybody
        try:
            listener.bind((address.host, address.port))
            listener.listen(_BACKLOG)
        except OSError as error:
            raise ConfigError(f"{option}: cannot listen on {address}: {error.strerror}{advice}") from None
        listener.setblocking(False)
        yield listener


@contextlib.contextmanager
def _rtmp_listener(config: Config) -> Iterator[socket.socket | None]:
    """Bound here and not by the worker: encoders that come while it is started again wait in the backlog."""
    if config.rtmp is None:
        yield None
        return
    with _listener(config.rtmp.listen, "--rtmp", "; --no-rtmp does without") as listener:
        yield listener


async def _take_encoders_in(context: Context, listener: socket.socket | None) -> None:
    if listener is not None and context.config.rtmp is not None:
        await Rtmp(context, listener, reencode=context.config.rtmp.reencode).run()


@contextlib.contextmanager
def _stop_signals() -> Iterator[asyncio.Event]:
    """An event that SIGINT and SIGTERM set. A second one ends the process at once."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)

    def on_signal() -> None:
        stop.set()
        restore()

    def restore() -> None:
        for number in numbers:
            loop.remove_signal_handler(number)

    for number in numbers:
        loop.add_signal_handler(number, on_signal)
    try:
        yield stop
    finally:
        restore()


def _ready(config: Config, listener: socket.socket, encoders: socket.socket | None, engine: Engine) -> Ready:
    scheme = "https" if config.http.tls_cert is not None else "http"
    media = engine.candidates[0]
    rtmp = str(_local(encoders)) if encoders is not None else None
    return Ready(f"{scheme}://{_local(listener)}", str(Address(media.ip, media.port)), rtmp)


def _local(listener: socket.socket) -> Address:
    """An address by which this machine reaches the listener."""
    host, port = listener.getsockname()[:2]
    address = ip_address(host)
    if address.is_unspecified:
        host = "127.0.0.1" if address.version == 4 else "::1"
    return Address(host, port)


def _log_start(config: Config, listener: socket.socket, encoders: socket.socket | None, engine: Engine) -> None:
    """Where it listens in truth, 0.0.0.0 included."""
    http = Address(*listener.getsockname()[:2])
    rtmp = Address(*encoders.getsockname()[:2]) if encoders is not None else None
    media = ",".join(f"{one.protocol}:{Address(one.ip, one.port)}" for one in engine.candidates)
    tls = config.http.tls_cert is not None
    log.info("started", version=__version__, http=str(http), tls=tls, media=media, rtmp=rtmp and str(rtmp))


def _configure_logs(level: str) -> None:
    """One line for each change in somebody's life, on standard error; colours only for people."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
