"""Many examples of a Hypothesis strategy at once, the same ones for the same seed."""

from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.internal.conjecture.providers import (
    AVAILABLE_PROVIDERS,
    Constants,
    HypothesisProvider,
)
from hypothesis.internal.floats import float_to_int
from hypothesis.strategies import SearchStrategy
from sortedcontainers import SortedSet

T = TypeVar("T")


class FixedProvider(HypothesisProvider):
    """Takes no constants from the modules that happen to be loaded, so that a seed tells all."""

    @property
    def _local_constants(self) -> Constants:
        return Constants(
            integers=SortedSet(),
            floats=SortedSet(key=float_to_int),
            bytes=SortedSet(),
            strings=SortedSet(),
        )


AVAILABLE_PROVIDERS["fixed"] = f"{__name__}.FixedProvider"


def drawn(strategy: SearchStrategy[T], count: int, seed_number: int) -> list[T]:
    """About ``count`` examples; fewer where the strategy has fewer."""
    found: list[Any] = []

    @settings(
        backend="fixed",
        max_examples=count,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @seed(seed_number)
    @given(strategy)
    def collect(example: T) -> None:
        found.append(example)

    collect()
    return found
