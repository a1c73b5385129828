"""What ``rostra dev`` prints when it serves: addresses that work, and what is open to whom."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from rich.markup import escape

from rostra import __version__
from rostra.app import Ready
from rostra.config import Address, Config
from rostra.model.addresses import is_loopback

MAX_SHOWN: Final = 4
"""Addresses of this machine that are listed."""
_INDENT: Final = 10
_ALONE: Final = "this machine alone"


def lines(config: Config, ready: Ready, tokens: Path, machine: Sequence[IPv4Address | IPv6Address]) -> list[str]:
    """The lines, in rich's markup. ``machine``: by which addresses other machines reach this one, in order."""
    title = f"[bold]Rostra {__version__}[/]  publish and watch at [bold cyan]{escape(ready.http)}/[/]"
    return [
        f"  {title}",
        *_http(config, ready, machine),
        *_media(config, ready),
        *(_rtmp(config.rtmp.listen, ready.rtmp, machine) if config.rtmp is not None and ready.rtmp is not None else []),
        *_named("tokens", escape(str(tokens))),
        "  Ctrl-C ends it.",
    ]


def reachable(listen: Address, machine: Sequence[IPv4Address | IPv6Address]) -> list[str]:
    """The addresses that other machines may type in for what listens there. Port 0 stays."""
    address = ip_address(listen.host)
    if address.is_loopback:
        return []
    if not address.is_unspecified:
        return [str(listen)]
    usable = [one for one in machine if address.version == 6 or one.version == 4]
    return [str(Address(str(one), listen.port)) for one in usable[:MAX_SHOWN]]


def _http(config: Config, ready: Ready, machine: Sequence[IPv4Address | IPv6Address]) -> list[str]:
    if is_loopback(config.http.listen.host):
        return _named("http", f"{_ALONE}: page, signalling, metrics")
    url = urlsplit(ready.http)
    found = reachable(Address(config.http.listen.host, url.port or 0), [*_public(config), *machine])
    at = " or ".join(f"{url.scheme}://{one}/" for one in found) or "every address of this machine"
    texts = [
        f"other machines, too: {escape(at)}",
        "The page asks for the tokens there. Metrics are for this machine, and for others with the API secret.",
    ]
    if url.scheme == "http":
        texts.append(
            "[yellow]Without TLS, tokens and API secret pass in clear, and browsers of other machines give no camera "
            "or microphone:[/] --tls-cert and --tls-key, or a proxy with TLS."
        )
    return _named("http", *texts)


def _media(config: Config, ready: Ready) -> list[str]:
    ways = "UDP and TCP" if config.media.tcp else "UDP"
    port = ready.media.rpartition(":")[2]
    where = f"{escape(ready.media)} ({ways})"
    if not is_loopback(config.media.host):
        return _named("media", f"{where}, other machines, too; encrypted")
    if is_loopback(config.http.listen.host) or config.media.public_addresses:
        return _named("media", f"{where}, {_ALONE}")
    host = "[::]" if ":" in config.http.listen.host else "0.0.0.0"  # noqa: S104 — text
    warning = (
        f"[yellow]Other machines load the page, but get no audio or video:[/] --media {escape(host)}:{port} opens it."
    )
    return _named("media", f"{where}, {_ALONE}", warning)


def _rtmp(listen: Address, rtmp: str, machine: Sequence[IPv4Address | IPv6Address]) -> list[str]:
    where = f"rtmp://{escape(rtmp)}/v2/pub (TCP)"
    if is_loopback(listen.host):
        return _named("rtmp", f"{where}, {_ALONE}")
    port = int(rtmp.rpartition(":")[2])
    found = [f"rtmp://{escape(one)}/v2/pub" for one in reachable(Address(listen.host, port), machine)]
    at = " or ".join(found) or "every address of this machine"
    return _named("rtmp", f"{where}, other machines, too: {at}", "[yellow]Tokens and media pass in clear.[/]")


def _public(config: Config) -> list[IPv4Address | IPv6Address]:
    return [ip_address(one) for one in config.media.public_addresses]


def _named(name: str, first: str, *further: str) -> list[str]:
    return [f"  {name:<8}{first}", *(" " * _INDENT + one for one in further)]
