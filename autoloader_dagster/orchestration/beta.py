"""Keeps Dagster from warning of what it has in beta, at the calls that need it."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg


@contextmanager
def without_beta_warnings() -> Iterator[None]:
    """Drop Dagster's beta warnings for the block; each asset would else repeat them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        yield
