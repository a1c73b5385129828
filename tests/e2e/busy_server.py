"""``rostra dev`` whose Python can be kept busy: SIGUSR1 makes it compute four times for 500 ms, with a turn of the loop in between."""

import asyncio
import signal
import sys
from pathlib import Path
from time import perf_counter

from rostra import cli
from rostra.app import Ready, serve
from rostra.config import Address, Config, HttpConfig, MediaConfig
from rostra.media.native import NativeEngine
from rostra.store import Store

TIMES = 4
BUSY_S = 0.5


async def main(data: Path) -> None:
    config = Config(data, dev=True, http=HttpConfig(Address("127.0.0.1", 0)), media=MediaConfig(port=0))
    store = await Store.open(data / "rostra.db")
    announce = cli._announce(config, *await cli._first_start(store))
    loop = asyncio.get_running_loop()

    def compute(times: int) -> None:
        end = perf_counter() + BUSY_S
        while perf_counter() < end:
            pass
        if times > 1:
            loop.call_soon(compute, times - 1)

    def on_ready(ready: Ready) -> None:
        loop.add_signal_handler(signal.SIGUSR1, compute, TIMES)
        announce(ready)

    engine = NativeEngine(config.media.host, config.media.port)
    try:
        await serve(config, engine=engine, store=store, on_ready=on_ready)
    finally:
        engine.close()
        await store.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
