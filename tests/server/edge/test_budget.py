"""Budgets of sockets, and whose turn it is."""

import asyncio

from rostra.server.edge.budget import SocketBudget, Turns


def test_a_busy_client_is_not_slowed() -> None:
    budget = SocketBudget()
    for second in range(600):
        for _ in range(50):
            assert budget.spend(1, 300, 0.0005, float(second)) == 0
    assert not budget.is_spent


def test_a_flooder_is_slowed_and_then_spent() -> None:
    budget, now_s = SocketBudget(), 0.0
    for _ in range(100):
        now_s += budget.spend(340, 2048, 0.005, now_s)
        if budget.is_spent:
            break
    assert budget.is_spent
    assert now_s >= 10, "it had time to mend its ways"


def test_who_pauses_is_forgiven() -> None:
    budget = SocketBudget()
    wait_s = budget.spend(1000, 0, 0, 0.0)
    assert wait_s > 0
    budget.spend(1, 0, 0, 100.0)
    budget.spend(1000, 0, 0, 101.0)
    assert not budget.is_spent


async def test_one_request_of_an_address_overtakes_a_thousand_of_another() -> None:
    turns = Turns(8)
    order: list[str] = []

    async def ask(group: str) -> None:
        await turns.take(group)
        order.append(group)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(1000):
            tasks.create_task(ask("flood"))
        await asyncio.sleep(0)
        tasks.create_task(ask("honest"))
    assert len(order) == 1001
    assert order.index("honest") <= 24


async def test_only_so_many_begin_in_one_turn_of_the_loop() -> None:
    turns = Turns(8)
    begun: list[int] = []

    async def ask() -> None:
        await turns.take("a")
        begun.append(0)

    tasks = [asyncio.create_task(ask()) for _ in range(40)]
    most = before = 0
    while len(begun) < 40:
        await asyncio.sleep(0)
        most, before = max(most, len(begun) - before), len(begun)
    await asyncio.gather(*tasks)
    assert most <= 16


async def test_a_caller_that_gave_up_takes_nobodys_turn() -> None:
    turns = Turns(8)
    for _ in range(8):
        await turns.take("a")
    gone = asyncio.create_task(turns.take("a"))
    stays = asyncio.create_task(turns.take("a"))
    await asyncio.sleep(0)
    gone.cancel()
    async with asyncio.timeout(10):
        await stays


async def test_an_address_that_costs_much_waits_for_one_that_costs_little() -> None:
    turns = Turns(1)
    order: list[str] = []

    async def ask(group: str, work_s: float) -> None:
        await turns.take(group)
        order.append(group)
        turns.charge(group, work_s)

    async with asyncio.TaskGroup() as tasks:
        for flooder in range(64):
            for _ in range(5):
                tasks.create_task(ask(f"flooder {flooder}", 0.002))
        await asyncio.sleep(0.02)  # some have been served
        for _ in range(5):
            tasks.create_task(ask("honest", 0.0001))
    first = order.index("honest")
    behind = order[first:].index("honest")
    assert behind == 0
    assert first <= 64, "no flooder has had a second turn before it"
    assert [one for one in order[first : first + 10] if one == "honest"] == ["honest"] * 5


async def test_after_long_work_there_is_a_rest() -> None:
    turns, loop = Turns(1), asyncio.get_running_loop()
    await turns.take("a")
    began_s = loop.time()
    turns.charge("a", 0.05)
    await turns.take("b")
    assert loop.time() - began_s >= 0.05
