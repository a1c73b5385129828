"""Each address has a share, and what is remembered of addresses is bounded."""

from rostra.server import throttle
from rostra.server.throttle import Throttle


def test_an_address_has_so_many_at_once_and_more_with_time() -> None:
    one = Throttle(3, 0.5)
    assert [one.take("192.0.2.1", 0.0) for _ in range(4)] == [True, True, True, False]
    assert one.take("192.0.2.2", 0.0)
    assert [one.take("192.0.2.1", now_s) for now_s in (1.0, 2.0, 2.5)] == [False, True, False]
    assert [one.take("192.0.2.1", 1e6) for _ in range(4)] == [True, True, True, False]
    assert not one.take("192.0.2.1", 0.0)  # a clock that goes back gives nothing


def test_all_addresses_of_a_64_share() -> None:
    one = Throttle(1, 0.0)
    assert one.take("2001:db8::1", 0.0)
    assert not one.take("2001:db8::ffff:2", 0.0)
    assert one.take("2001:db8:0:1::1", 0.0)
    assert one.take("::ffff:192.0.2.1", 0.0)
    assert not one.take("192.0.2.1", 0.0)


def test_the_address_that_was_not_seen_for_longest_is_forgotten() -> None:
    one = Throttle(1, 0.0)
    addresses = [f"10.0.{number >> 8}.{number & 255}" for number in range(throttle.MAX_GROUPS + 1)]
    for address in addresses:
        assert one.take(address, 0.0)
    assert len(one) == throttle.MAX_GROUPS
    assert not one.take(addresses[-1], 0.0)
    assert one.take(addresses[0], 0.0)
