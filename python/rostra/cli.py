"""The command line: ``rostra dev``, ``rostra doctor``, ``rostra --version``."""

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from rostra import __version__, banner, doctor
from rostra.app import Ready, serve
from rostra.config import (
    Config,
    ConfigError,
    HttpConfig,
    MediaConfig,
    RtmpConfig,
    SignallingConfig,
    check,
    parse_address,
    parse_ice_server,
    parse_ip,
    parse_root_path,
)
from rostra.folder import claimed
from rostra.machine import other_addresses
from rostra.media.native import NativeEngine
from rostra.model.bandwidth import DEFAULT_MAX_BPS
from rostra.model.token import Account, PublishToken, StreamPattern, SubscribeToken
from rostra.store import Store, StoreError, new_token_value

app = typer.Typer(
    help="Interactive live streaming that you host yourself.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain text: no frames around it, and no <bool> beside each switch
    context_settings={"help_option_names": ["-h", "--help"]},
)
out = Console(highlight=False)
err = Console(stderr=True, highlight=False, soft_wrap=True)

EXIT_UNUSABLE = 2
"""Exit code when a setting, port or file cannot be used."""

ANY_STREAM = StreamPattern("*")


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Interactive live streaming that you host yourself."""
    if version:
        out.print(f"rostra {__version__}")
        raise typer.Exit


@app.command()
def dev(
    http: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT",
            help="Where the page, the director and the signalling sockets are served. Port 0 takes a free one.",
        ),
    ] = "127.0.0.1:8080",
    media: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT",
            help="The one port of all media: UDP, and TCP for those whose networks let no UDP through. "
            "0.0.0.0:8081 lets other machines in.",
        ),
    ] = "127.0.0.1:8081",
    rtmp: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="The TCP port of RTMP encoders, such as OBS and ffmpeg.")
    ] = "127.0.0.1:1935",
    no_rtmp: Annotated[bool, typer.Option("--no-rtmp", help="Take no RTMP encoders in.")] = False,
    rtmp_reencode: Annotated[
        bool,
        typer.Option("--rtmp-reencode", help="Encode RTMP video with B-frames again; takes about a core for each."),
    ] = False,
    data: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Folder of the database and of dev.json with the tokens; made if missing."),
    ] = Path("rostra-data"),
    public_address: Annotated[
        list[str] | None, typer.Option(metavar="IP", help="Behind NAT: the address that browsers reach. Repeatable.")
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(metavar="FILE", help="PEM certificate, to serve https.")] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="PEM key of the certificate.")] = None,
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option(metavar="IP", help="A reverse proxy whose X-Forwarded-* headers are believed. Repeatable."),
    ] = None,
    root_path: Annotated[
        str,
        typer.Option(
            metavar="PATH",
            help="Behind a proxy that serves this server below a path, and removes it: that path, like /live.",
        ),
    ] = "",
    viewer_max_bitrate: Annotated[
        int,
        typer.Option(
            metavar="BPS",
            help="Most that all media of one viewer may take, bits per second; its main picture may exceed it.",
        ),
    ] = DEFAULT_MAX_BPS,
    allow_offline_subscribe: Annotated[
        bool, typer.Option("--allow-offline-subscribe", help="Let viewers connect to a stream before it is published.")
    ] = False,
    ice_server: Annotated[
        list[str] | None,
        typer.Option(metavar="URL[,USER,CREDENTIAL]", help="A STUN or TURN server for clients. Repeatable."),
    ] = None,
    no_gso: Annotated[
        bool, typer.Option("--no-gso", help="Send without UDP segmentation offload, which costs more CPU.")
    ] = False,
    no_media_tcp: Annotated[
        bool, typer.Option("--no-media-tcp", help="Media by UDP alone: the media port is not listened on for TCP.")
    ] = False,
    log_level: Annotated[str, typer.Option(metavar="LEVEL", help="debug, info, warning or error.")] = "info",
) -> None:
    """Run a server with tokens of its own, and a page to try it."""
    with _one_line_errors():
        listen = parse_address(media, "--media")
        if log_level not in {"debug", "info", "warning", "error"}:
            raise ConfigError(f"--log-level wants debug, info, warning or error, and got {log_level!r}")
        config = check(
            Config(
                data=data,
                dev=True,
                log_level=log_level,
                http=HttpConfig(
                    listen=parse_address(http, "--http"),
                    tls_cert=tls_cert,
                    tls_key=tls_key,
                    trusted_proxies=tuple(parse_ip(one, "--trusted-proxy") for one in trusted_proxy or ()),
                    root_path=parse_root_path(root_path),
                ),
                media=MediaConfig(
                    host=listen.host,
                    port=listen.port,
                    tcp=not no_media_tcp,
                    public_addresses=tuple(parse_ip(one, "--public-address") for one in public_address or ()),
                    gso=not no_gso,
                    viewer_max_bps=viewer_max_bitrate,
                ),
                signalling=SignallingConfig(
                    allow_offline_subscribe=allow_offline_subscribe,
                    ice_servers=tuple(map(parse_ice_server, ice_server or ())),
                ),
                rtmp=None if no_rtmp else RtmpConfig(parse_address(rtmp, "--rtmp"), rtmp_reencode),
            )
        )
        with claimed(data):
            asyncio.run(_dev(config))


@app.command(name="doctor")
def doctor_command(
    http: Annotated[str, typer.Option(metavar="HOST:PORT", help="As for `rostra dev`.")] = "127.0.0.1:8080",
    media: Annotated[str, typer.Option(metavar="HOST:PORT", help="As for `rostra dev`.")] = "127.0.0.1:8081",
    rtmp: Annotated[str, typer.Option(metavar="HOST:PORT", help="As for `rostra dev`.")] = "127.0.0.1:1935",
    no_rtmp: Annotated[bool, typer.Option("--no-rtmp", help="As for `rostra dev`.")] = False,
) -> None:
    """Say what will and what will not work on this machine. Changes nothing, sends nothing."""
    with _one_line_errors():
        encoders = None if no_rtmp else parse_address(rtmp, "--rtmp")
        findings = doctor.examine(parse_address(http, "--http"), parse_address(media, "--media"), encoders)
    marks = {True: "[green]ok  [/]", False: "[red]bad [/]", None: "[yellow]note[/]"}
    width = max(len(finding.subject) for finding in findings)
    for finding in findings:
        out.print(f"{marks[finding.good]} {finding.subject:<{width}}  {finding.text}", soft_wrap=True)
    if any(finding.good is False for finding in findings):
        raise typer.Exit(1)


async def _dev(config: Config) -> None:
    store = await Store.open(config.data / "rostra.db")
    try:
        account, publish, subscribe = await _first_start(store)
        try:
            engine = NativeEngine(
                config.media.host,
                config.media.port,
                public_addresses=config.media.public_addresses,
                gso=config.media.gso,
                shards=config.media.shards,
                tcp=config.media.tcp,
            )
        except OSError as error:
            raise ConfigError(f"--media: {(error.strerror or str(error)).partition(' (os error')[0]}") from None
        try:
            await serve(config, engine=engine, store=store, on_ready=_announce(config, account, publish, subscribe))
        finally:
            engine.close()
    finally:
        await store.close()


async def _first_start(store: Store) -> tuple[Account, PublishToken, SubscribeToken]:
    """The account and tokens of ``rostra dev``: made once, then kept."""
    accounts = await store.accounts()
    account = accounts[0] if accounts else await store.add_account()
    publish = next(iter(await store.publish_tokens(account.id)), None)
    if publish is None:
        publish = PublishToken(account.id, new_token_value(), "dev", (ANY_STREAM,))
        await store.add_publish_token(publish)
    subscribe = next(iter(await store.subscribe_tokens(account.id)), None)
    if subscribe is None:
        subscribe = SubscribeToken(account.id, new_token_value(), "dev", (ANY_STREAM,))
        await store.add_subscribe_token(subscribe)
    return account, publish, subscribe


def _announce(
    config: Config, account: Account, publish: PublishToken, subscribe: SubscribeToken
) -> Callable[[Ready], None]:
    def announce(ready: Ready) -> None:
        path = config.data / "dev.json"
        _write_private(
            path,
            {
                "http": ready.http,
                "media": ready.media,
                **({"rtmp": ready.rtmp} if ready.rtmp is not None else {}),
                "account_id": account.id,
                "publish_token": publish.value,
                "subscribe_token": subscribe.value,
                "api_secret": account.api_secret,
            },
        )
        out.print()
        for line in banner.lines(config, ready, path, other_addresses()):
            out.print(line, soft_wrap=True)
        out.print()

    return announce


def _write_private(path: Path, content: dict[str, str]) -> None:
    """Write at once and whole, readable for the owner alone."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".dev-")
    with os.fdopen(handle, "w") as file:  # mkstemp makes it 0600
        json.dump(content, file, indent=2)
        file.write("\n")
    Path(temporary).replace(path)


class _one_line_errors:  # noqa: N801 — reads as a statement
    """What a person can mend is said in one line, without a traceback."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, ConfigError | StoreError):
            _fail(str(error))
        if isinstance(error, OSError):
            _fail(error.strerror if error.filename is None and error.strerror else str(error))


def _fail(text: str) -> NoReturn:
    err.print(f"[red]rostra:[/] {escape(text)}", markup=True)
    sys.exit(EXIT_UNUSABLE)


def main() -> None:
    """Entry point of the ``rostra`` command."""
    app()
