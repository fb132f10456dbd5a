"""Those who wait for an item of a pool, and how they are served.

Source: sys/kern/subr_pool.c 1.242 (pool_request, pool_runqueue, pool_get_done,
pool_wakeup). Left out: the cell of each request that its sleeper waits on (all waiters of
a pool share a channel and a mutex here, and wake to look).
"""

from __future__ import annotations

from typing import Final

from kmodel.event import mark, say
from kmodel.point import Task, curtask, operation
from kmodel.shared import Atomic, shared
from kmodel.sync.channel import Channel
from kmodel.sync.mutex import Mutex
from kmodel.vm.cause import Cause


@shared
class PoolQueue:
    """The queue of a pool's requests, first come first served; a pool is one.

    Items in the caches of CPUs are not looked for, and not called back. ``requests`` is
    also looked at without a lock, as in the kernel; ``given`` has ``mem_mtx``.
    """

    name: Final[str]
    hardlimit: Final[int | None]
    pr_mtx: Final[Mutex]
    req_mtx: Final[Mutex]
    mem_mtx: Final[Mutex]
    waiters: Final[Channel]
    nout: int  # pr_mtx
    requesting: int  # req_mtx
    requests: Atomic[tuple[Task, ...]]
    given: tuple[tuple[Task, int], ...]  # mem_mtx

    def __init__(self, name: str, ipl: int, hardlimit: int | None = None) -> None:
        self.name, self.hardlimit = f"{name} pool", hardlimit
        self.pr_mtx = Mutex(f"{name}.pr_mtx", ipl)
        self.req_mtx = Mutex(f"{name}.pr_requests_mtx", ipl)
        self.mem_mtx = Mutex(f"{name}.mem", ipl)
        self.waiters = Channel(f"{name} pool_get")
        self.nout, self.requesting, self.requests, self.given = 0, 0, (), ()

    async def _do_get(self, waitok: bool) -> int | Cause:
        raise NotImplementedError

    async def _wakeup(self) -> None:
        """pool_wakeup: serve queued requests, if there seem to be any."""
        if await self._has_requests():
            await self.req_mtx.enter()
            await self._run_queue()
            await self.req_mtx.leave()

    async def _wait(self, cause: Cause) -> int:
        """The slow end of a WAITOK get: queue a request and sleep until it is served."""
        me = curtask()
        say("pool.wait", obj=self.name, why=cause.value)
        mark("a WAITOK get had to queue a request")
        await self.req_mtx.enter()
        await self._append_request(me)
        await self._run_queue()
        await self.req_mtx.leave()
        await self.mem_mtx.enter()
        while (item := next((i for task, i in self.given if task is me), None)) is None:
            await self.waiters.msleep(self.mem_mtx)
        self.given = tuple(pair for pair in self.given if pair[0] is not me)
        await self.mem_mtx.leave()
        return item

    async def _run_queue(self) -> None:
        """pool_runqueue: serve requests first come first served, with NOWAIT, until one
        cannot be. Held on entry and exit: req_mtx; dropped meanwhile. Concurrent
        runners are merged into one that goes round again."""
        self.requesting += 1
        if self.requesting > 1:
            return
        while self.requesting:
            self.requesting = 1
            queue = await self._take_requests()
            if queue:
                await self.req_mtx.leave()
                left = await self._serve(queue)
                await self.req_mtx.enter()
                if left:
                    await self._return_requests(left)
            self.requesting -= 1

    async def _serve(self, queue: tuple[Task, ...]) -> tuple[Task, ...]:
        """Hand out what there is; return the tasks that got nothing."""
        items: list[int] = []
        await self.pr_mtx.enter()
        for _ in queue:
            if self.hardlimit is not None and self.nout >= self.hardlimit:
                break
            got = await self._do_get(False)
            if isinstance(got, Cause):
                break
            items.append(got)
        await self.pr_mtx.leave()
        if items:
            await self.mem_mtx.enter()
            self.given = (*self.given, *zip(queue, items))
            await self.mem_mtx.leave()
            await self.waiters.wakeup()
        return queue[len(items) :]

    @operation(event="pool.requests")
    def _has_requests(self) -> bool:
        return bool(self.requests)

    @operation(event="pool.requests")
    def _append_request(self, task: Task) -> None:
        self.requests = (*self.requests, task)

    @operation(event="pool.requests")
    def _take_requests(self) -> tuple[Task, ...]:
        queue, self.requests = self.requests, ()
        return queue

    @operation(event="pool.requests")
    def _return_requests(self, left: tuple[Task, ...]) -> None:
        self.requests = (*left, *self.requests)
