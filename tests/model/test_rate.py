"""How often something may happen."""

from rostra.model.rate import Allowance


def test_it_gives_so_many_at_once_and_then_so_many_a_second() -> None:
    allowance = Allowance(3, 2.0)
    assert [allowance.take(100.0) for _ in range(4)] == [True, True, True, False]
    assert [allowance.take(100.4), allowance.take(100.5), allowance.take(100.6)] == [False, True, False]
    assert [allowance.take(1000.0) for _ in range(4)] == [True, True, True, False]


def test_a_clock_that_goes_back_fills_nothing() -> None:
    allowance = Allowance(1, 1.0)
    assert [allowance.take(10.0), allowance.take(5.0), allowance.take(5.5)] == [True, False, False]


def test_a_debt_is_waited_for() -> None:
    allowance = Allowance(10, 2)
    assert allowance.spend(10, 0.0) == 0
    assert allowance.spend(3, 0.0) == 1.5
    assert allowance.spend(0, 1.5) == 0
    assert allowance.spend(10, 1000.0) == 0, "no more than the burst is saved up"
    assert allowance.spend(1, 1000.0) == 0.5
