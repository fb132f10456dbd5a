"""The alarm: what takes too long is broken off, once, and everything is put back."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from kmodel.explore.alarm import OutOfTime, deadline, ticking
from kmodel.explore.execution import Execution
from kmodel.explore.host import TrioHost, on_trio
from kmodel.explore.strategy import Random
from kmodel.world import World


def wait(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def test_a_deadline_breaks_off_what_goes_on() -> None:
    began = time.monotonic()
    with pytest.raises(OutOfTime), deadline(0.3):
        wait(30)
    assert time.monotonic() - began < 5


def test_a_deadline_comes_once() -> None:
    """Who cleans up after it is left in peace."""
    with deadline(0.1):
        with pytest.raises(OutOfTime):
            wait(30)
        wait(0.7)


def test_no_deadline_no_alarm() -> None:
    with deadline(None), deadline(60):
        wait(0.5)


def test_the_signal_is_put_back_after_nested_use() -> None:
    before = signal.getsignal(signal.SIGALRM)
    ticks: list[str] = []
    with ticking(lambda: ticks.append("outer")):
        with ticking(lambda: ticks.append("inner")):
            wait(0.5)
        ticks.clear()
        wait(0.5)
        assert set(ticks) == {"outer"}
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_off_the_main_thread_nothing_ticks() -> None:
    raised: list[BaseException] = []

    def work() -> None:
        try:
            with deadline(0.1):
                wait(0.5)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert raised == []


def test_on_trio_a_tick_comes_only_while_tasks_step() -> None:
    """Trio closes the socket by which signals wake it before it forgets it: a tick just then
    would be an error that nobody can catch."""

    def masked_now() -> bool:
        return signal.SIGALRM in signal.pthread_sigmask(signal.SIG_BLOCK, [])

    seen: list[bool] = []

    async def stepping() -> None:
        seen.append(masked_now())

    async def run() -> None:
        seen.append(masked_now())
        with World() as world:
            world.task("A", stepping)
        await TrioHost(Execution(world), Random(0), 10).run()
        seen.append(masked_now())

    on_trio(run)
    assert seen == [True, False, True]
    assert not masked_now()
