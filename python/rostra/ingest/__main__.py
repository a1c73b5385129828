"""``python -m rostra.ingest LISTENER CONTROL [--reencode]``: descriptors that the server passed on."""

import asyncio
import logging
import os
import signal
import socket
import sys

from rostra.ingest.worker import Worker, limit


async def _run(listener: int, control: int, *, reencode: bool) -> None:
    worker = Worker(socket.socket(fileno=listener), socket.socket(fileno=control), reencode=reencode)
    await worker.run()


def main() -> None:
    """Serve until the control channel closes. Ctrl-C of the terminal is the server's to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    logging.getLogger("libav").setLevel(logging.CRITICAL)
    limit()
    asyncio.run(_run(int(sys.argv[1]), int(sys.argv[2]), reencode="--reencode" in sys.argv[3:]))
    os._exit(0)  # the interpreter's own end waits for threads, and a codec may hang in one


main()
