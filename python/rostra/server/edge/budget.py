"""How much work others may cause: a budget for each socket, and turns by address for everybody. Time is an argument."""

import asyncio
import heapq
import itertools
from collections import OrderedDict, deque
from typing import Final

from rostra.model.rate import Allowance
from rostra.server.edge.caps import (
    SOCKET_BYTES,
    SOCKET_BYTES_PER_S,
    SOCKET_FRAMES,
    SOCKET_FRAMES_PER_S,
    SOCKET_SLOWED_S,
    SOCKET_WORK_MS,
    SOCKET_WORK_MS_PER_S,
)


class SocketBudget:
    """Frames, bytes and CPU time of one WebSocket."""

    def __init__(self) -> None:
        self._frames: Final = Allowance(SOCKET_FRAMES, SOCKET_FRAMES_PER_S)
        self._bytes: Final = Allowance(SOCKET_BYTES, SOCKET_BYTES_PER_S)
        self._work: Final = Allowance(SOCKET_WORK_MS / 1000, SOCKET_WORK_MS_PER_S / 1000)
        self._slowed_s = 0.0
        self._slowed_until_s = 0.0

    @property
    def is_spent(self) -> bool:
        """Whether the socket was slowed for so long, without as long a pause between, that it has to close."""
        return self._slowed_s > SOCKET_SLOWED_S

    def spend(self, frames: int, size: int, work_s: float, now_s: float) -> float:
        """Seconds to wait before more is read of this socket."""
        wait_s = max(self._frames.spend(frames, now_s), self._bytes.spend(size, now_s), self._work.spend(work_s, now_s))
        if wait_s:
            if now_s - self._slowed_until_s > SOCKET_SLOWED_S:
                self._slowed_s = 0.0
            self._slowed_s += wait_s
            self._slowed_until_s = now_s + wait_s
        return wait_s


class Turns:
    """Who is served next. Few begin in one turn of the event loop, and the address that cost least goes first.

    An address that asks for little waits for what is being done, and not for what other addresses have still to ask.
    After long work, others than those who wait here have as much time.
    """

    MAX_GROUPS: Final = 4096
    """Addresses whose cost is remembered; the one that was served longest ago is forgotten."""
    _LEAST_S: Final = 0.0005
    """What a turn costs at least."""
    _REST_FROM_S: Final = 0.002

    def __init__(self, per_loop_turn: int) -> None:
        self._per_loop_turn: Final = per_loop_turn
        self._cost_s: Final[OrderedDict[str, float]] = OrderedDict()
        self._waiting: Final[dict[str, deque[asyncio.Future[None]]]] = {}
        self._heap: Final[list[tuple[float, int, str]]] = []
        self._order: Final = itertools.count()
        self._floor_s = 0.0
        """What every address is taken to have cost: who was away does not save up."""
        self._begun = 0
        self._is_scheduled = False
        self._rests_until_s = 0.0

    async def take(self, group: str) -> None:
        """Wait for a turn of this address."""
        loop = asyncio.get_running_loop()
        if self._begun < self._per_loop_turn and not self._heap and loop.time() >= self._rests_until_s:
            self._grant(group)
            self._schedule(loop)
            return
        future: asyncio.Future[None] = loop.create_future()
        queue = self._waiting.get(group)
        if queue is None:
            queue = self._waiting[group] = deque()
            self._push(group)
        queue.append(future)
        self._schedule(loop)
        await future

    def charge(self, group: str, work_s: float) -> None:
        """What the latest turn of an address took."""
        self._remember(group, self._cost_of(group) + work_s)
        if work_s >= self._REST_FROM_S:
            self._rests_until_s = asyncio.get_running_loop().time() + work_s

    def _cost_of(self, group: str) -> float:
        return max(self._floor_s, self._cost_s.get(group, 0.0))

    def _push(self, group: str) -> None:
        heapq.heappush(self._heap, (self._cost_of(group), next(self._order), group))

    def _grant(self, group: str) -> None:
        self._floor_s = self._cost_of(group)
        self._remember(group, self._floor_s + self._LEAST_S)
        self._begun += 1

    def _remember(self, group: str, cost_s: float) -> None:
        self._cost_s[group] = cost_s
        self._cost_s.move_to_end(group)
        if len(self._cost_s) > self.MAX_GROUPS:
            self._cost_s.popitem(last=False)

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            rest_s = self._rests_until_s - loop.time()
            if rest_s > 0:
                loop.call_later(rest_s, self._next, loop)
            else:
                loop.call_soon(self._next, loop)

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        self._is_scheduled = False
        self._begun = 0
        if loop.time() >= self._rests_until_s:
            self._begin()
        if self._heap:
            self._schedule(loop)

    def _begin(self) -> None:
        while self._heap and self._begun < self._per_loop_turn:
            queued_at_s, _, group = heapq.heappop(self._heap)
            if queued_at_s < self._cost_of(group):  # it cost something meanwhile
                self._push(group)
                continue
            queue = self._waiting[group]
            future = queue.popleft()
            if not future.done():
                future.set_result(None)
                self._grant(group)
            if queue:
                self._push(group)
            else:
                del self._waiting[group]
