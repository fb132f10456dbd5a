"""A Ctrl-C is noticed between two pieces of work, and by everybody whom it concerns."""

from __future__ import annotations

import signal

import pytest

from kmodel.explore.interrupt import heard, interruptible


def press() -> None:
    signal.raise_signal(signal.SIGINT)


def test_a_first_one_asks_and_a_second_one_raises() -> None:
    with interruptible() as asked:
        assert not asked()
        press()
        assert asked()
        with pytest.raises(KeyboardInterrupt):
            press()


def test_what_an_inner_one_was_asked_the_outer_one_hears() -> None:
    """Also where the inner one was done before it looked."""
    with interruptible() as outer:
        with interruptible() as inner:
            press()
            assert inner()
        assert outer()
        with pytest.raises(KeyboardInterrupt):
            press()


def test_what_is_over_is_not_heard_later() -> None:
    with interruptible():
        press()
    with interruptible() as later:
        assert not later()


def test_one_that_came_too_late_for_who_is_inside_is_heard_outside() -> None:
    """And any other is a Ctrl-C as always."""
    with heard() as pressed:
        with interruptible():
            assert not pressed()
            press()
        assert pressed()
        with pytest.raises(KeyboardInterrupt):
            press()
