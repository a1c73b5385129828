"""Places with shares: who leaves for whom."""

from hypothesis import given
from hypothesis import strategies as st

from rostra.model.places import Places


def test_a_newcomer_takes_a_place_while_there_are_some() -> None:
    places: Places[int] = Places(4, 2)
    assert [places.take(one, group) for one, group in ((1, "a"), (2, "a"), (3, "b"))] == [None] * 3
    assert len(places) == 3


def test_at_the_share_of_a_group_its_own_oldest_leaves() -> None:
    places: Places[int] = Places(4, 2)
    for one, group in ((1, "b"), (2, "a"), (3, "a")):
        places.take(one, group)
    assert places.take(4, "a") == 2


def test_at_the_total_the_oldest_of_the_largest_group_leaves() -> None:
    places: Places[int] = Places(4, 3)
    for one, group in ((1, "honest"), (2, "flood"), (3, "flood"), (4, "flood")):
        places.take(one, group)
    assert [places.take(one, f"other{one}") for one in (5, 6)] == [2, 3]


def test_where_all_groups_are_equal_the_oldest_leaves() -> None:
    places: Places[int] = Places(3, 3)
    for one in (1, 2, 3):
        places.take(one, str(one))
    assert [places.take(one, str(one)) for one in (4, 5)] == [1, 2]


def test_a_place_that_was_left_is_free() -> None:
    places: Places[int] = Places(1, 1)
    places.take(1, "a")
    places.leave(1)
    places.leave(1)
    assert places.take(2, "a") is None


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), max_size=200))
def test_caps_hold_and_a_smaller_group_never_pays_for_a_larger(steps: list[tuple[str, bool]]) -> None:
    total, share = 6, 4
    places: Places[int] = Places(total, share)
    held: dict[int, str] = {}
    for number, (group, is_coming) in enumerate(steps):
        if not is_coming:
            if (oldest := next(iter(held), None)) is not None:
                places.leave(oldest)
                del held[oldest]
            continue
        counts = {name: list(held.values()).count(name) for name in "abcd"}
        loser = places.take(number, group)
        if loser is not None:
            assert held[loser] == group or counts[held[loser]] == max(counts.values())
            del held[loser]
        held[number] = group
        assert len(places) == len(held) <= total
        assert all(list(held.values()).count(name) <= share for name in "abcd")
