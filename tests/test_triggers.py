"""Intervals and when they are due."""

from __future__ import annotations

import pytest

from gradus.errors import UserError
from gradus.training import Every, Trigger


def test_intervals_are_read() -> None:
    assert Every.parse("100 steps") == Every(steps=100)
    assert Every.parse("30s") == Every(seconds=30)
    assert Every.parse("5 min") == Every(seconds=300)
    assert Every.parse("0.5 epochs").in_steps(40) == Every(steps=20)
    for text in ("", "often", "0 s", "-3 steps", "5 parsecs"):
        with pytest.raises(UserError, match="no interval"):
            Every.parse(text)


def test_steps_are_pure_and_seconds_follow_the_clock() -> None:
    steps = Trigger(Every(steps=3))
    assert [s for s in range(1, 10) if steps.due(s)] == [3, 6, 9]
    now = [0.0]
    seconds = Trigger(Every(seconds=10), clock=lambda: now[0])
    now[0] = 9.0
    assert not seconds.due(1)
    now[0] = 10.0
    assert seconds.due(2)
    seconds.restart(at_least=25)
    now[0] = 34.0
    assert not seconds.due(3)
    now[0] = 35.0
    assert seconds.due(4)
