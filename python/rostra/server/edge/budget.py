"""How much work others may cause: a budget for each socket, and turns by address for everybody. Time is an argument."""

import asyncio
import heapq
import itertools
from collections import OrderedDict, deque
from typing import Final

from rostra.server.edge.caps import (
    SOCKET_BYTES,
    SOCKET_BYTES_PER_S,
    SOCKET_FRAMES,
    SOCKET_FRAMES_PER_S,
    SOCKET_SLOWED_S,
    SOCKET_WORK_MS,
    SOCKET_WORK_MS_PER_S,
)


class Allowance:
    """So much at once, and so much a second after that. It may be overdrawn; the debt is waited for."""

    def __init__(self, burst: float, per_s: float) -> None:
        self._burst: Final = burst
        self._per_s: Final = per_s
        self._left = burst
        self._at_s: float | None = None

    def spend(self, amount: float, now_s: float) -> float:
        """Spend it; how many seconds to wait until the debt is paid."""
        if self._at_s is not None:
            self._left = min(self._burst, self._left + max(0.0, now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        self._left -= amount
        return max(0.0, -self._left / self._per_s)


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
    """Whose request is read next. Few begin in one turn of the event loop; the address that had least goes first.

    An address that sends one request waits for one request of each other address at most, however many those send.
    """

    PER_LOOP_TURN: Final = 8
    MAX_GROUPS: Final = 4096
    """Addresses whose turns are remembered; the one that was served longest ago is forgotten."""

    def __init__(self) -> None:
        self._served: Final[OrderedDict[str, float]] = OrderedDict()
        self._waiting: Final[dict[str, deque[asyncio.Future[None]]]] = {}
        self._heap: Final[list[tuple[float, int, str]]] = []
        self._order: Final = itertools.count()
        self._floor = 0.0
        """Turns that every address is taken to have had: who was away does not save them up."""
        self._begun = 0
        self._is_scheduled = False

    async def take(self, group: str) -> None:
        """Wait for a turn of this address."""
        loop = asyncio.get_running_loop()
        if self._begun < self.PER_LOOP_TURN and not self._heap:
            self._grant(group)
            self._schedule(loop)
            return
        future: asyncio.Future[None] = loop.create_future()
        queue = self._waiting.get(group)
        if queue is None:
            queue = self._waiting[group] = deque()
            heapq.heappush(self._heap, (self._had(group), next(self._order), group))
        queue.append(future)
        self._schedule(loop)
        await future

    def _had(self, group: str) -> float:
        return max(self._floor, self._served.get(group, 0.0))

    def _grant(self, group: str) -> None:
        self._floor = max(self._floor, self._had(group))
        self._served[group] = self._had(group) + 1
        self._served.move_to_end(group)
        if len(self._served) > self.MAX_GROUPS:
            self._served.popitem(last=False)
        self._begun += 1

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            loop.call_soon(self._next, loop)

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        self._is_scheduled = False
        self._begun = 0
        while self._heap and self._begun < self.PER_LOOP_TURN:
            _, _, group = heapq.heappop(self._heap)
            queue = self._waiting[group]
            future = queue.popleft()
            if not future.done():
                future.set_result(None)
                self._grant(group)
            if queue:
                heapq.heappush(self._heap, (self._had(group), next(self._order), group))
            else:
                del self._waiting[group]
        if self._heap:
            self._schedule(loop)
