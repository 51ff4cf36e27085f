"""The series of waits: client-go's numbers, with real jitter, and reset by lasting progress alone."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from kubemirror.kube.backoff import Backoff


class NoJitter(Random):
    def random(self) -> float:
        return 0.0


def test_l05_the_series_doubles_from_800_milliseconds_to_30_seconds() -> None:
    backoff = Backoff(NoJitter())

    assert [round(backoff.next(0.0), 3) for _ in range(8)] == [0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0]


@given(st.integers())
def test_l05_jitter_adds_up_to_as_much_again(seed: int) -> None:
    backoff = Backoff(Random(seed))

    waits = [backoff.next(0.0) for _ in range(40)]

    assert all(30.0 <= wait < 60.0 for wait in waits[6:])
    assert len(set(waits)) == 40


def test_it_starts_over_only_after_progress_that_lasted_two_minutes() -> None:
    backoff = Backoff(NoJitter())
    for _ in range(6):
        backoff.next(0.0)

    assert backoff.next(10_000.0) == 30.0  # time alone is no progress

    backoff.progress(10_000.0)
    assert backoff.next(10_119.0) == 30.0  # it did not last
    backoff.progress(20_000.0)
    backoff.progress(20_100.0)
    assert backoff.next(20_120.0) == 0.8
