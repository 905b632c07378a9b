"""Mounts the specs of the weather in Python."""

import os
from pathlib import Path

import dagster as dg

from autoloader_dagster import build_definitions, load_specs

_SPECS = Path(__file__).parents[1] / "weather_specs"


@dg.definitions
def weather() -> dg.Definitions:
    return build_definitions(
        load_specs(_SPECS),
        name="weather",
        key_prefix=["raw"],
        group_name="weather",
        tags={"team": "meteo"},
        # None: the database of the environment.
        database_url=os.environ.get("WEATHER_STATE_URL"),
    )
