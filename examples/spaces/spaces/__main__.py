"""``python -m spaces``: serves the page, and a Rostra of its own unless one is named."""

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import uvicorn

from spaces.director import Director
from spaces.gate import MAX_MESSAGE
from spaces.server import STATIC, Server

_PING_S: Final = 10.0
"""Silence of a socket before it is probed, and again before it counts as lost."""
_STOP_S: Final = 10.0
_START_S: Final = 30.0


class Unusable(Exception):  # noqa: N818 — told in one line
    """Something that a person can mend."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="spaces", description="Rooms to talk in, on a Rostra server.")
    parser.add_argument("--listen", default="127.0.0.1:8090", metavar="HOST:PORT", help="where the page is served")
    parser.add_argument("--tls-cert", metavar="FILE", help="PEM certificate, to serve https: phones want it")
    parser.add_argument("--tls-key", metavar="FILE", help="PEM key of the certificate")
    named = parser.add_argument_group("with a Rostra that runs already")
    named.add_argument("--rostra", metavar="URL", help="its address, as http://127.0.0.1:8080")
    named.add_argument(
        "--publish-token",
        default=os.environ.get("SPACES_PUBLISH_TOKEN"),
        metavar="TOKEN",
        help="covers all streams; or SPACES_PUBLISH_TOKEN in the environment, which is not seen in lists of processes",
    )
    named.add_argument(
        "--subscribe-token",
        default=os.environ.get("SPACES_SUBSCRIBE_TOKEN"),
        metavar="TOKEN",
        help="likewise; or SPACES_SUBSCRIBE_TOKEN",
    )
    own = parser.add_argument_group("with a Rostra of its own")
    own.add_argument(
        "--media", default="127.0.0.1:0", metavar="HOST:PORT", help="its UDP port; port 0 takes a free one"
    )
    own.add_argument("--public-address", metavar="IP", help="behind NAT: the address that browsers reach")
    return parser.parse_args()


@contextlib.asynccontextmanager
async def _own_rostra(media: str, public_address: str | None) -> AsyncIterator[dict[str, str]]:
    """Run ``rostra dev`` with accounts that end with it; what its ``dev.json`` says."""
    beside = Path(sys.executable).with_name("rostra")
    program = str(beside) if beside.exists() else shutil.which("rostra")
    if program is None:
        raise Unusable("there is no `rostra` command; install Rostra, or name a server with --rostra")
    with tempfile.TemporaryDirectory(prefix="spaces-") as folder:
        options = [
            "--http",
            "127.0.0.1:0",
            "--media",
            media,
            "--data",
            folder,
            "--allow-offline-subscribe",
            "--no-rtmp",
        ]
        options += ["--log-level", "warning", *(("--public-address", public_address) if public_address else ())]
        process = await asyncio.create_subprocess_exec(program, "dev", *options, stdout=asyncio.subprocess.DEVNULL)
        try:
            yield await _ready(process, Path(folder, "dev.json"))
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGINT)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_STOP_S):
                        await process.wait()


async def _ready(process: asyncio.subprocess.Process, path: Path) -> dict[str, str]:
    """What Rostra says of itself once it serves; it has no other way to say that it does."""
    try:
        async with asyncio.timeout(_START_S):
            while not path.exists():  # noqa: ASYNC240 — a local folder
                if process.returncode is not None:
                    raise Unusable("Rostra did not start")
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise Unusable(f"Rostra did not start within {_START_S} s") from None
    settings: dict[str, str] = json.loads(path.read_text())  # noqa: ASYNC240
    return settings


async def _serve(arguments: argparse.Namespace, rostra: str, publish_token: str, subscribe_token: str) -> None:
    director = Director(rostra, publish_token=publish_token, subscribe_token=subscribe_token)
    host, _, port = arguments.listen.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, int(port)), family=family)
    except (OSError, ValueError) as error:
        raise Unusable(f"--listen: cannot listen on {arguments.listen}: {error}") from None
    with listener:
        config = uvicorn.Config(
            Server(director).app(),
            ws_max_size=MAX_MESSAGE,
            ws_ping_interval=_PING_S,
            ws_ping_timeout=_PING_S,
            log_level="warning",
            access_log=False,  # its lines would contain tokens
            timeout_graceful_shutdown=3,
            ssl_certfile=arguments.tls_cert,
            ssl_keyfile=arguments.tls_key,
        )
        scheme = "https" if arguments.tls_cert else "http"
        shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
        sys.stdout.write(f"\n  Spaces  {scheme}://{shown}:{listener.getsockname()[1]}/\n  Ctrl-C ends it.\n\n")
        sys.stdout.flush()
        await uvicorn.Server(config).serve(sockets=[listener])


async def _run(arguments: argparse.Namespace) -> None:
    if not STATIC.is_dir():
        raise Unusable("the page is not built: npm ci && npm run build")
    if arguments.rostra:
        if not arguments.publish_token or not arguments.subscribe_token:
            raise Unusable("--rostra needs --publish-token and --subscribe-token")
        await _serve(arguments, arguments.rostra, arguments.publish_token, arguments.subscribe_token)
        return
    async with _own_rostra(arguments.media, arguments.public_address) as settings:
        await _serve(arguments, settings["http"], settings["publish_token"], settings["subscribe_token"])


def main() -> None:
    """Entry point."""
    try:
        asyncio.run(_run(_arguments()))
    except Unusable as error:
        sys.exit(f"spaces: {error}")
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
