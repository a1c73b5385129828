"""One frozen tree of settings. Each part of the server gets its own section and nothing else."""

import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from rostra.model.addresses import normalise
from rostra.model.bandwidth import DEFAULT_MAX_BPS, MAX_BPS
from rostra.model.ice import IceServer

MIN_VIEWER_MAX_BPS: Final = 30_000
"""Less does not carry a voice."""
MAX_PUBLIC_ADDRESSES: Final = 16
"""Candidates of an answer; more than a browser would try."""


ROOT_PATH: Final = re.compile(r"(?:/[A-Za-z0-9._~-]{1,64}){0,8}")
"""A path below which a proxy serves us; empty for none."""


class ConfigError(ValueError):
    """A setting that cannot be used. The text says which and why, for the command line."""

    code = "bad_config"


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen. ``host`` is an IP literal; port 0 takes a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class HttpConfig:
    """The one HTTP port: page, director, signalling, metrics.

    ``trusted_proxies``: addresses whose ``X-Forwarded-*`` headers are believed. ``root_path``: the path that a proxy
    removes. ``tls_cert`` and ``tls_key``: PEM
    files, both or none.
    """

    listen: Address = Address("127.0.0.1", 8080)
    tls_cert: Path | None = None
    tls_key: Path | None = None
    trusted_proxies: tuple[str, ...] = ()
    root_path: str = ""


@dataclass(frozen=True, slots=True)
class MediaConfig:
    """The one media port, UDP, and TCP on the same number unless ``tcp`` says no. ``public_addresses``: for candidates
    of a server behind NAT, IP literals.

    ``gso``: UDP segmentation offload. ``shards``: media threads. ``viewer_max_bps``: what all media of one viewer may
    take; its main picture may exceed it.
    """

    host: str = "127.0.0.1"
    port: int = 8081
    tcp: bool = True
    public_addresses: tuple[str, ...] = ()
    gso: bool = True
    shards: int = 1
    viewer_max_bps: int = DEFAULT_MAX_BPS


@dataclass(frozen=True, slots=True)
class SignallingConfig:
    """How clients come in.

    ``allow_offline_subscribe``: viewers may wait for a stream that nobody publishes yet. ``token_lifetime_s``: of the
    JWT between director and socket; it need only cover opening the socket. ``token_grace_s``: how long after its end
    it is still taken, for clients that cache it. ``ice_servers``: what clients are told to reach us by, when the media
    port alone is not enough.
    """

    allow_offline_subscribe: bool = False
    token_lifetime_s: int = 60
    token_grace_s: int = 0
    ice_servers: tuple[IceServer, ...] = ()


@dataclass(frozen=True, slots=True)
class RtmpConfig:
    """Where RTMP encoders come in. ``reencode``: pictures with B-frames are encoded again, which costs a core each."""

    listen: Address = Address("127.0.0.1", 1935)
    reencode: bool = False


@dataclass(frozen=True, slots=True)
class Config:
    """Everything. ``data`` is the folder of the database and ``dev.json``; ``dev`` lets the page have the tokens.

    ``rtmp``: ``None`` takes no RTMP encoders.
    """

    data: Path = Path("rostra-data")
    dev: bool = False
    log_level: str = "info"
    http: HttpConfig = field(default_factory=HttpConfig)
    media: MediaConfig = field(default_factory=MediaConfig)
    signalling: SignallingConfig = field(default_factory=SignallingConfig)
    rtmp: RtmpConfig | None = None


def parse_address(text: str, option: str) -> Address:
    """``HOST:PORT`` or ``[IPV6]:PORT``; ``localhost`` is 127.0.0.1.

    Raises:
        ConfigError: not of that form, or no IP literal.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ConfigError(f"{option} wants HOST:PORT, like 127.0.0.1:8080, and got {text!r}")
    host = host.removeprefix("[").removesuffix("]")
    return Address(parse_ip("127.0.0.1" if host == "localhost" else host, option), int(port))


def parse_root_path(text: str) -> str:
    """A path without a slash at its end; empty for ``/``.

    Raises:
        ConfigError: not a path.
    """
    path = text.rstrip("/")
    if not ROOT_PATH.fullmatch(path):
        raise ConfigError(f"--root-path wants a path, like /live, and got {text!r}")
    return path


def parse_ip(text: str, option: str) -> str:
    """An IP literal in its usual spelling; IPv4 for an IPv4-mapped IPv6 address.

    Raises:
        ConfigError: it is none.
    """
    try:
        ip_address(text)
    except ValueError:
        raise ConfigError(f"{option} wants an IP address, like 127.0.0.1 or 0.0.0.0, and got {text!r}") from None
    return normalise(text)


_ICE_URL: Final = re.compile(r"(?:stuns?|turns?):[A-Za-z0-9.\[\]:_-]{1,255}(?:\?transport=(?:udp|tcp))?")
_ICE_SECRET: Final = re.compile(r"[\x21-\x7e]{1,255}")


def parse_ice_server(text: str) -> IceServer:
    """``stun:host:port``, or ``turn:host:port?transport=udp,USER,CREDENTIAL``.

    Raises:
        ConfigError: not of that form.
    """
    url, *secrets = text.split(",", 2)
    needs = 2 if url.startswith("turn") else 0
    if not _ICE_URL.fullmatch(url) or len(secrets) != needs or not all(map(_ICE_SECRET.fullmatch, secrets)):
        raise ConfigError(f"--ice-server wants stun:HOST:PORT or turn:HOST:PORT,USER,CREDENTIAL, and got {url!r}")
    return IceServer(url, *secrets)


def check(config: Config) -> Config:
    """The config itself, when its parts fit together.

    Raises:
        ConfigError: they do not.
    """
    http = config.http
    if (http.tls_cert is None) != (http.tls_key is None):
        raise ConfigError("--tls-cert and --tls-key go together")
    for option, path in (("--tls-cert", http.tls_cert), ("--tls-key", http.tls_key)):
        if path is not None and not path.is_file():
            raise ConfigError(f"{option}: there is no file {path}")
    if len(config.media.public_addresses) > MAX_PUBLIC_ADDRESSES:
        raise ConfigError(f"--public-address may be given {MAX_PUBLIC_ADDRESSES} times at most")
    if not MIN_VIEWER_MAX_BPS <= config.media.viewer_max_bps <= MAX_BPS:
        raise ConfigError(f"--viewer-max-bitrate wants {MIN_VIEWER_MAX_BPS} to {MAX_BPS} bits per second")
    return config
