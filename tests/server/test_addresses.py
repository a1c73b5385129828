"""Addresses of clients: one spelling, one share, and who stands behind a proxy."""

import pytest

from rostra.model.addresses import group, is_loopback, normalise
from rostra.server.addresses import client_address


@pytest.mark.parametrize(
    ("text", "spelling"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::ffff:127.0.0.1", "127.0.0.1"),
        ("::FFFF:7f00:1", "127.0.0.1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("localhost", "localhost"),
        ("", ""),
        ("1.2.3", "1.2.3"),
        ("0x7f.1", "0x7f.1"),
    ],
)
def test_an_address_has_one_spelling(text: str, spelling: str) -> None:
    assert normalise(text) == spelling


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("unknown", "unknown"),
    ],
)
def test_ipv4_counts_alone_and_ipv6_by_its_64_bits(text: str, share: str) -> None:
    assert group(text) == share


@pytest.mark.parametrize("text", ["127.0.0.1", "127.255.0.9", "::1", "::ffff:127.0.0.1"])
def test_the_machine_itself(text: str) -> None:
    assert is_loopback(text)
    assert not is_loopback("localhost.evil.example")


def scope(client: str | None, *forwarded: str) -> dict[str, object]:
    headers = [(b"x-forwarded-for", one.encode()) for one in forwarded]
    return {"type": "http", "client": (client, 4711) if client is not None else None, "headers": headers}


@pytest.mark.parametrize(
    ("client", "forwarded", "address"),
    [
        ("192.0.2.1", ["203.0.113.9"], "192.0.2.1"),  # nobody trusts it
        ("10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("::ffff:10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["198.51.100.1, 203.0.113.9"], "203.0.113.9"),  # the first is the client's own word
        ("10.0.0.1", ["203.0.113.9, 10.0.0.2"], "203.0.113.9"),  # two proxies
        ("10.0.0.1", ["198.51.100.1", "203.0.113.9"], "203.0.113.9"),  # two fields are one list
        ("10.0.0.1", ["::ffff:203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["203.0.113.9:5000"], "203.0.113.9"),
        ("10.0.0.1", ["[2001:db8::1]:5000"], "2001:db8::1"),
        ("10.0.0.1", ["2001:db8::1"], "2001:db8::1"),
        ("10.0.0.1", ["10.0.0.2"], "10.0.0.2"),  # the proxy's own question
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9, unknown"], "unknown"),
        ("10.0.0.1", ["203.0.113.9, "], "unknown"),
        (None, ["203.0.113.9"], ""),
    ],
)
def test_behind_a_trusted_proxy_the_forwarded_address_counts(
    client: str | None, forwarded: list[str], address: str
) -> None:
    assert client_address(scope(client, *forwarded), ["10.0.0.1", "10.0.0.2"]) == address
