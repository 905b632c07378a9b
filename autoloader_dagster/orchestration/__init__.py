"""Dagster: one asset a spec, its sensor, schedule and checks. The work is in ``loading``."""
