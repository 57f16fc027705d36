"""The fastest of several ways, measured by a clock that the tests move."""

import logging

import pytest

from gynbtnet.runtime.measured_choice import MeasuredChoice


class FakeClock:
    def __init__(self) -> None:
        self.now, self.readings = 0.0, 0

    def __call__(self) -> float:
        self.readings += 1
        return self.now


def steps(choice: MeasuredChoice, clock: FakeClock, seconds: dict[str, list[float]], parts: int = 1) -> list[str]:
    """Do steps until the choice is known, each taking the next of its way's seconds; return their ways."""
    times, ways = {way: iter(values) for way, values in seconds.items()}, []
    while choice.chosen is None:
        ways.append(choice.way)
        duration = next(times[choice.way])
        for _ in range(parts):
            clock.now += 5  # outside of what is measured, such as the wait for a batch
            with choice.timed() as way:
                assert way == ways[-1]
                clock.now += duration / parts
        choice.end_step()
    return ways


@pytest.mark.parametrize("parts", [1, 3])
def test_ways_take_turns_and_the_fastest_is_used(parts: int, caplog: pytest.LogCaptureFixture) -> None:
    """The first step of each doesn't count, and one slow step of three doesn't decide."""
    caplog.set_level(logging.INFO, "gynbtnet")
    clock = FakeClock()
    choice = MeasuredChoice("Time of a step", ("a", "b"), clock=clock, rounds=3)
    ways = steps(choice, clock, {"a": [1, 4, 4, 4], "b": [90, 3, 50, 3]}, parts)
    assert ways == ["a", "b"] * 4
    assert choice.chosen == choice.way == "b"
    assert caplog.messages == ["Time of a step: a 4 s, b 3 s. From now on: b."]
    before = clock.readings
    with choice.timed() as way:
        assert way == "b"
    choice.end_step()
    assert clock.readings == before  # on a GPU a reading waits for it
    assert len(caplog.messages) == 1


def test_a_single_way_is_never_measured() -> None:
    clock = FakeClock()
    choice = MeasuredChoice("Time of a step", ("only",), clock=clock)
    assert choice.chosen == "only"
    with choice.timed() as way:
        assert way == "only"
    choice.end_step()
    assert not clock.readings


def test_all_processes_take_the_choice_of_the_first() -> None:
    clock = FakeClock()
    choice = MeasuredChoice("Time of a step", ("a", "b"), clock=clock, rounds=1, agree=lambda own: "a")
    steps(choice, clock, {"a": [2, 2], "b": [1, 1]})
    assert choice.chosen == "a"


def test_the_first_of_equally_fast_ways_is_used() -> None:
    clock = FakeClock()
    choice = MeasuredChoice("Time of a step", ("a", "b"), clock=clock, rounds=1)
    steps(choice, clock, {"a": [2, 2], "b": [1, 2]})
    assert choice.chosen == "a"
