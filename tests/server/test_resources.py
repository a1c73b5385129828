"""Rates."""

import pytest

from rostra.hub import Hub
from rostra.media.fake import FakeEngine
from rostra.model.rate import Allowance
from rostra.server import resources
from rostra.server.resources import Resources


def test_tokens_that_were_not_used_for_a_while_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens come and go without end; what is remembered of them does not."""
    monkeypatch.setattr(resources, "MAX_MAKERS", 4)
    monkeypatch.setattr(resources, "MAKES", (2, 1.0))
    made: list[Allowance] = []

    class Counted(Allowance):
        def __init__(self, burst: float, per_s: float) -> None:
            super().__init__(burst, per_s)
            made.append(self)

    monkeypatch.setattr(resources, "Allowance", Counted)
    engine = FakeEngine()
    found = Resources(Hub(engine))
    assert [found.may_publish("busy", 100.0) for _ in range(3)] == [True, True, False]
    for name in "abc":
        assert found.may_publish(name, 99.0)
    assert found.may_publish("new", 100.5)
    assert not found.may_publish("busy", 100.5), "what holds somebody back is kept"
    known = len(made)
    for name in "abc":
        found.may_publish(name, 100.6)
    assert len(made) == known + 3
    engine.close()


def test_so_many_tokens_are_remembered_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "MAX_MAKERS", 2)
    monkeypatch.setattr(resources, "MAKES", (1, 0.001))
    engine = FakeEngine()
    found = Resources(Hub(engine))
    for name in "abc":
        assert found.may_publish(name, 1.0), "a new token is never refused for the others"
    assert len(found._makers) == 2
    assert not found.may_publish("c", 1.0)
    engine.close()
