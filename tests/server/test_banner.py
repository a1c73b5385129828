"""What is printed at the start: addresses that work, and what is open to whom."""

import socket
from ipaddress import ip_address
from pathlib import Path

from rich.console import Console

from rostra import banner
from rostra.app import Ready
from rostra.config import Address, Config, HttpConfig, MediaConfig, RtmpConfig
from rostra.machine import other_addresses

MACHINE = [ip_address("192.0.2.5"), ip_address("fd00::5")]


def printed(config: Config, ready: Ready) -> str:
    console = Console(width=500, color_system=None)
    with console.capture() as captured:
        for line in banner.lines(config, ready, Path("rostra-data/dev.json"), MACHINE):
            console.print(line, soft_wrap=True)
    return captured.get()


def test_on_loopback_everything_is_for_this_machine_alone() -> None:
    ready = Ready("http://127.0.0.1:8080", "127.0.0.1:8081", "127.0.0.1:1935")
    text = printed(Config(rtmp=RtmpConfig()), ready)
    assert "publish and watch at http://127.0.0.1:8080/\n" in text
    assert text.count("this machine alone") == 3
    assert "other machines" not in text
    assert "tokens  rostra-data/dev.json\n" in text


def test_http_for_everybody_says_what_is_open_and_what_is_not() -> None:
    config = Config(http=HttpConfig(Address("0.0.0.0", 8080)))
    text = printed(config, Ready("http://127.0.0.1:8080", "127.0.0.1:8081"))
    assert "publish and watch at http://127.0.0.1:8080/\n" in text
    assert "other machines, too: http://192.0.2.5:8080/\n" in text
    assert "fd00::5" not in text
    assert "Without TLS, tokens and API secret pass in clear" in text
    assert "Metrics are for this machine, and for others with the API secret." in text
    assert "127.0.0.1:8081 (UDP and TCP), this machine alone\n" in text
    assert "get no audio or video: --media 0.0.0.0:8081 opens it." in text
    assert text.count("0.0.0.0") == 1  # which is a setting, and no address to open


def test_a_listener_for_ipv6_is_reached_by_both() -> None:
    config = Config(
        http=HttpConfig(Address("::", 0), tls_cert=Path("a"), tls_key=Path("b")),
        media=MediaConfig("::", 8081, tcp=False, public_addresses=("203.0.113.7",)),
        rtmp=RtmpConfig(Address("::", 0)),
    )
    text = printed(config, Ready("https://[::1]:4433", "192.0.2.5:8081", "[::1]:1935"))
    assert "https://203.0.113.7:4433/ or https://192.0.2.5:4433/ or https://[fd00::5]:4433/\n" in text
    assert "Without TLS" not in text
    assert "media   192.0.2.5:8081 (UDP), other machines, too; encrypted\n" in text
    assert "rtmp://[::1]:1935/v2/pub (TCP), other machines, too: rtmp://192.0.2.5:1935/v2/pub" in text
    assert "Tokens and media pass in clear." in text
    assert "[::]" not in text


def test_one_address_is_the_one_to_open() -> None:
    config = Config(http=HttpConfig(Address("192.0.2.5", 8080)), media=MediaConfig("192.0.2.5"))
    text = printed(config, Ready("http://192.0.2.5:8080", "192.0.2.5:8081"))
    assert "other machines, too: http://192.0.2.5:8080/\n" in text


def test_a_machine_without_addresses_is_no_error() -> None:
    ready = Ready("http://127.0.0.1:8080", "127.0.0.1:8081")
    config = Config(http=HttpConfig(Address("0.0.0.0", 8080)))
    assert any(
        "other machines, too: every address of this machine" in line
        for line in banner.lines(config, ready, Path("dev.json"), [])
    )


def test_the_addresses_of_this_machine_are_those_that_can_be_bound() -> None:
    for address in other_addresses():
        with socket.socket(socket.AF_INET6 if address.version == 6 else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
        assert not address.is_loopback
