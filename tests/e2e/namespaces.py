"""Two network namespaces with a cable between them and no way out: for clients that multicast, or that cannot use loopback."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Namespaces:
    """``near`` has the address ``address``, ``far`` is its neighbour."""

    near: str
    far: str
    address: str


def inside(namespace: str) -> list[str]:
    """What stands before a command, so that it runs there."""
    return ["ip", "netns", "exec", namespace]


@contextmanager
def namespaces() -> Iterator[Namespaces]:
    """They are gone at the end, and with them the cable."""
    name = f"rostra-{os.getpid()}"
    pair = Namespaces(f"{name}-a", f"{name}-b", "10.213.77.1")
    cable = f"r{os.getpid()}"
    made: list[str] = []
    try:
        for namespace in (pair.near, pair.far):
            _ip("netns", "add", namespace)
            made.append(namespace)
            _ip("-n", namespace, "link", "set", "lo", "up")
        # Both ends are born where they belong: this machine's own network never sees them.
        ends = ["type", "veth", "peer", "name", cable, "netns", pair.far]
        _ip("-n", pair.near, "link", "add", cable, *ends)
        for namespace, address in ((pair.near, pair.address), (pair.far, "10.213.77.2")):
            _ip("-n", namespace, "address", "add", f"{address}/30", "dev", cable)
            _ip("-n", namespace, "link", "set", cable, "up")
        yield pair
    finally:
        for namespace in made:
            _ip("netns", "delete", namespace)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
