"""Rates."""

from rostra.server.resources import Bucket


def test_a_bucket_gives_so_many_at_once_and_then_so_many_a_second() -> None:
    bucket = Bucket(3, 2.0)
    assert [bucket.take(100.0) for _ in range(4)] == [True, True, True, False]
    assert [bucket.take(100.4), bucket.take(100.5), bucket.take(100.6)] == [False, True, False]
    assert [bucket.take(1000.0) for _ in range(4)] == [True, True, True, False]


def test_a_clock_that_goes_back_fills_nothing() -> None:
    bucket = Bucket(1, 1.0)
    assert [bucket.take(10.0), bucket.take(5.0), bucket.take(5.5)] == [True, False, False]
