"""Whose request it is: the client's address, also behind a trusted proxy."""

from collections.abc import Collection
from typing import Final

from starlette.types import Scope

from rostra.model.addresses import normalise

UNKNOWN: Final = "unknown"
"""A client of whom a trusted proxy says nothing (RFC 7239 §6.2). What it claims itself does not count."""
_MAX_FORWARDED: Final = 32
"""Entries of ``X-Forwarded-For`` that are looked at: proxies in a row."""


def client_address(scope: Scope, trusted: Collection[str]) -> str:
    """The client of a request, normalised; empty where the server does not know.

    ``trusted``: normalised addresses of proxies. What those say about whom they forward for is believed: each proxy
    adds the address that it saw, so the last one that is no trusted proxy counts.
    """
    client = scope.get("client")
    address = normalise(client[0]) if client else ""
    if address not in trusted:
        return address
    if not any(name == b"x-forwarded-for" for name, _ in scope["headers"]):
        return address
    fields = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
    for entry in reversed(",".join(fields).rsplit(",", _MAX_FORWARDED)[-_MAX_FORWARDED:]):
        address = normalise(_without_port(entry.strip())) or UNKNOWN
        if address not in trusted:
            return address
    return address


def _without_port(text: str) -> str:
    """Some proxies write ``1.2.3.4:5`` and ``[::1]:5``."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    host, colon, _ = text.partition(":")
    return host if colon and "." in host else text
