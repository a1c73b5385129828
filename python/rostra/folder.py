"""The data folder: made when it is missing, and used by one server at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rostra.config import ConfigError

LOCK: Final = "rostra.lock"
"""A file in the folder, with the process id of the last server. It stays; the lock on it ends with its process."""


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Hold the folder for this process until the block ends.

    Raises:
        ConfigError: it cannot be made or written, or another server uses it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f"--data: cannot use the folder {folder}: {error.strerror}") from None
    try:
        _lock(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        number = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
        other = f"process {number}" if number.isdigit() else "another process"
        advice = "stop it, or choose another folder with --data"
        raise ConfigError(f"--data: another Rostra ({other}) uses the folder {folder}: {advice}") from None
    except OSError as error:
        raise ConfigError(f"--data: cannot lock the folder {folder}: {error.strerror}") from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
