"""Many examples of a Hypothesis strategy at once, the same ones for the same seed."""

from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

T = TypeVar("T")


def drawn(strategy: SearchStrategy[T], count: int, seed_number: int) -> list[T]:
    """About ``count`` examples; fewer where the strategy has fewer."""
    found: list[Any] = []

    @settings(
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
