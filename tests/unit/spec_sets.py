"""Sets of spec files whose names meet or whose values are at an edge, and what becomes of each.

``script/soak --specs --minutes 10 --seed 7`` draws them until the time is over.
"""

import argparse
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from dagster._core.remote_representation.external_data import RepositorySnap
from dagster._serdes import serialize_value
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from autoloader_dagster.build import build_definitions
from autoloader_dagster.specs.loader import load_specs
from autoloader_dagster.specs.table import EARLIEST, EARLIEST_HOUR, LATEST

_LONG = "x" * 5000
# Values at the edge of what a key takes, and whether the key takes it.
_SCALARS: list[tuple[str, Any, bool]] = [
    ("partition.timezone", "Europe/Berlin", True),
    ("partition.timezone", "Africa/Monrovia", True),
    ("partition.timezone", "Pacific/Apia", True),
    ("partition.timezone", "Etc/GMT+12", True),
    ("partition.timezone", "Factory", True),
    ("partition.timezone", "EST5EDT", True),
    ("partition.timezone", "America", False),
    ("partition.timezone", "../UTC", False),
    ("partition.timezone", "/etc/localtime", False),
    ("partition.timezone", "", False),
    ("partition.timezone", _LONG, False),
    ("partition.timezone", "a\0b", False),
    ("trigger.timezone", "Asia/Kathmandu", True),
    ("trigger.timezone", "Factory", True),
    ("trigger.timezone", "UTC+1", False),
    ("trigger.schedule", "0 0 29 2 *", True),
    ("trigger.schedule", "0 0 31 2 *", False),
    ("trigger.schedule", "*/59 * * * *", True),
    ("trigger.schedule", "0 0 * * 7", True),
    ("trigger.schedule", "0 0 1-7/2 jan-dec mon,TUE", True),
    ("trigger.schedule", "00 00 01 01 00", True),
    ("trigger.schedule", "5/7 * * * *", True),
    ("trigger.schedule", "0 0 * * fri-7", True),
    ("trigger.schedule", "* * * * * *", False),
    ("trigger.schedule", "@daily", False),
    ("trigger.schedule", "0 0 L * *", False),
    ("trigger.schedule", "\u0663 * * * *", False),
    ("trigger.schedule", "9" * 5000 + " * * * *", False),
    ("trigger.schedule", ",".join(["0"] * 1000) + " * * * *", True),
    ("trigger.on_arrival.every", "366d", True),
    ("trigger.on_arrival.every", "5.5s", True),
    ("trigger.on_arrival.every", "999999999999999d", False),
    ("trigger.on_arrival.every", 10**17, False),
    ("description", _LONG, True),
    ("description", "\0\x1b[31m{x}", True),
    ("description", "\ud800", False),
    ("name", "\ud800", False),
    ("name", "default/good", False),
    ("table.name", "lake.\udfff", False),
    ("owners", ["team:" + _LONG], True),
    ("owners", ["team: "], True),
    ("owners", ["team:\u00e9"], True),
    ("owners", ["a@b.c"], False),
    ("tags", {"a" * 63 + "/" + "b" * 63: "c" * 63}, True),
    ("tags", {"a" * 64: ""}, False),
    ("tags", {"-": "."}, True),
    ("tags", {"a": "1.50"}, True),
    ("tags", {"a": "b\n"}, False),
    ("batch.max_files", 50_000, True),
    ("batch.max_files", 10**17, False),
    ("batch.max_bytes", "999999999999999 TB", True),
    ("errors.retries", 10**17, True),
    ("errors.max_bad_rows", -1, False),
    ("source.modified_after", "0001-01-01", True),
    ("source.modified_after", "9999-12-31", True),
    ("source.url", "/in/" + _LONG, True),
    ("source.url", "~no_such_user/in", False),
    ("source.url", "/in/a\0b", False),
    ("source.url", "/in/\ud800", False),
    ("source.include", ["{1..99999999999}"], False),
    ("source.include", ["*a" * 500 + "b"], True),
    ("source.exclude", ["[z-a]", "[", "{", "\\"], True),
    ("table.properties", {"a": _LONG, "": 10**17}, True),
    ("table.properties", {"location": "/x"}, False),
    ("table.properties", {"format-version": 10**17}, False),
    ("table.partition_by", ["a", "A"], False),
    ("schema.hints", {"a": "array<" * 3000}, False),
    ("schema.hints", {"a": "'" * 3000}, False),
    ("schema.hints", {"a": "struct<a:" * 50 + "int" + ">" * 50}, True),
    ("format.options.timestamp_formats", ["[" * 100, "''" * 3000], True),
    ("format.options.timestamp_formats", ["[" * 3000], False),
    ("format.options.timestamp_formats", ["y" * 3000], False),
    ("version", 2, False),
]
_STARTS = st.dates() | st.sampled_from(
    [date(*day) for day in ((1, 1, 1), (999, 12, 31), (9999, 12, 15), (9999, 12, 31))]
    + [each + timedelta(days=n) for each in (EARLIEST, EARLIEST_HOUR, LATEST) for n in (-1, 0, 1)]
)
_EVERY = st.sampled_from(["hour", "day", "week", "month"])
EDGES = st.sampled_from(_SCALARS) | st.tuples(_STARTS, _EVERY).map(
    lambda drawn: (
        "partition",
        {"start": drawn[0].isoformat(), "every": drawn[1]},
        (EARLIEST_HOUR if drawn[1] == "hour" else EARLIEST) <= drawn[0] <= LATEST,
    )
)

# Few names, so that they meet: joined by '__' and '.' they come out the same in several ways.
_PARTS = st.sampled_from(["a", "b", "a__b", "source", "default", "broken_specs"])
_SPECS = st.fixed_dictionaries(
    {
        "folder": st.sampled_from(["", "a", "b", "a__b", "default", "deep/er"]),
        "file": _PARTS,
        "suffix": st.sampled_from([".yaml", ".yml"]),
        "name": st.none() | _PARTS,
        "table": st.lists(_PARTS, min_size=2, max_size=4),
        "catalog": st.sampled_from(["lake", "pond"]),
        "shared": st.booleans(),
        "named_keys": st.booleans(),
        "broken": st.integers(0, 9).map(lambda n: n == 0),
        "edge": st.none() | EDGES,
    }
)
_NAMESPACES = st.sampled_from(
    ["lake.a", "lake.b", "lake.a.b", "pond.a", "pond.b", "lake.source", "lake.a__b"]
)
# Tenants and their namespaces; None for a folder without _tenant.yaml.
_TENANTS = st.none() | st.dictionaries(
    st.sampled_from(["a", "b", "a__b"]), st.lists(_NAMESPACES, min_size=1, max_size=3, unique=True)
)
SETS = st.tuples(st.lists(_SPECS, min_size=1, max_size=8), _TENANTS)

Drawn = tuple[list[dict[str, Any]], dict[str, list[str]] | None]


def check(drawn: Drawn) -> None:
    """Load a set, and hold what comes of it against what is expected."""
    specs_drawn, rules = drawn
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        files = {_path(spec): spec for spec in specs_drawn}
        for path, spec in files.items():
            _write(root / path, spec)
        if rules is not None:
            allowed = {
                name: {"namespaces": spaces, "folders": ["/in"]} for name, spaces in rules.items()
            }
            (root / "_tenant.yaml").write_text(yaml.safe_dump(allowed))
        specs = load_specs(root)
        definitions = build_definitions(specs)
        dg.Definitions.validate_loadable(definitions)
        # What the code server hands to the web server and the daemon.
        with warnings.catch_warnings():
            # It reads deprecated properties of its own schedules.
            warnings.simplefilter("ignore", DeprecationWarning)
            serialize_value(RepositorySnap.from_def(definitions.get_repository_def()))
        # Each file is loaded or broken, as expected, and each broken one has faults of its own.
        broken = {spec.path.relative_to(root).as_posix() for spec in specs.broken}
        good = {spec.path.relative_to(root).as_posix() for spec in specs.specs}
        assert broken == (expected := expected_broken(files, rules)), (broken, expected)
        assert good == set(files) - broken
        for spec in specs.broken:
            assert spec.faults
            assert {fault.file for fault in spec.faults} == {spec.path}
        # Each is seen in Dagster.
        keys = {tuple(key.path) for key in definitions.resolve_all_asset_keys()}
        assert {spec.names.asset for spec in specs.specs} <= keys
        assert {spec.key for spec in specs.broken} <= keys
        assert len(keys) == 2 * len(specs.specs) + len(specs.broken)


def check_edges() -> None:
    """Check one set with each of the values at an edge in a spec of its own, and odd names."""
    plain = {
        "folder": "", "suffix": ".yaml", "name": None, "catalog": "lake", "shared": False,
        "named_keys": False, "broken": False, "edge": None,
    }  # fmt: skip
    edges = [
        plain | {"file": f"s{number}", "table": ["a", f"t{number}"], "edge": edge}
        for number, edge in enumerate(_SCALARS)
    ]
    # Words of Python and of Dagster, a number, underscores, and a name without end.
    odd = [
        plain | {"file": f"n{number}", "name": word, "table": [word, word], "named_keys": True}
        for number, word in enumerate(["if", "none", "context", "type", "0", "__", _LONG])
    ]
    check(([*edges, *odd], None))


def expected_broken(
    files: dict[str, dict[str, Any]], rules: dict[str, list[str]] | None
) -> set[str]:
    """The files that must be broken, told from what was drawn and without the loader's code."""
    allowed = None if rules is None else _good_rules(rules)
    usable = {path: spec for path, spec in files.items() if _is_usable(spec, allowed)}
    broken = set(files) - set(usable)
    for path, spec in usable.items():
        for other_path, other in usable.items():
            # Where tenants are limited, none of them takes a spec of the operator with it.
            protected = rules is not None and _tenant(spec) == "default" != _tenant(other)
            if path != other_path and not protected and _meet(spec, other):
                broken.add(path)
    return broken


def _good_rules(rules: dict[str, list[str]]) -> dict[str, list[str]]:
    whole = {
        name: spaces
        for name, spaces in rules.items()
        if "__" not in name and not any(space.split(".")[1] == "source" for space in spaces)
    }
    return {
        name: spaces
        for name, spaces in whole.items()
        if not any(
            _joined(mine).startswith(_joined(theirs)) or _joined(theirs).startswith(_joined(mine))
            for other, others in whole.items()
            if other != name
            for mine in spaces
            for theirs in others
        )
    }


def _joined(namespace: str) -> str:
    return "__".join(namespace.split(".")[1:]) + "__"


def _is_usable(spec: dict[str, Any], allowed: dict[str, list[str]] | None) -> bool:
    if spec["edge"] and not spec["edge"][2]:
        return False
    if spec["broken"] or spec["folder"] == "deep/er" or _asset(spec) == _source(spec):
        return False
    if allowed is None or not spec["folder"]:
        return True
    table = [spec["catalog"], *spec["table"]]
    return any(
        len(space.split(".")) < len(table) and table[: len(space.split("."))] == space.split(".")
        for space in allowed.get(spec["folder"], [])
    )


def _meet(spec: dict[str, Any], other: dict[str, Any]) -> bool:
    if spec["table"] == other["table"] and not (
        spec["shared"] and other["shared"] and spec["catalog"] == other["catalog"]
    ):
        return True
    return bool(_names(spec) & _names(other))


def _names(spec: dict[str, Any]) -> set[tuple[str, ...]]:
    tenant, name = _tenant(spec), _name(spec)
    prefix = "" if tenant == "default" else f"{tenant}__"
    return {
        ("asset", *_asset(spec)),
        ("asset", *_source(spec)),
        ("node", "__".join(_asset(spec))),
        ("trigger", f"{prefix}{name}"),
        ("partitions", f"{tenant}__{name}"),
    }


def _asset(spec: dict[str, Any]) -> list[str]:
    return [*spec["table"], _name(spec)] if spec["shared"] else spec["table"]


def _source(spec: dict[str, Any]) -> list[str]:
    return ["source", _tenant(spec), _name(spec)]


def _tenant(spec: dict[str, Any]) -> str:
    return spec["folder"].split("/")[0] or "default"


def _name(spec: dict[str, Any]) -> str:
    return spec["name"] or spec["file"]


def _path(spec: dict[str, Any]) -> str:
    return (Path(spec["folder"]) / f"{spec['file']}{spec['suffix']}").as_posix()


def _write(path: Path, spec: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content: dict[str, Any] = {
        "source": {"type": "local", "url": "/in"},
        "format": {"type": "csv"},
        "table": {
            "name": ".".join([spec["catalog"], *spec["table"]]),
            "shared": spec["shared"],
        },
        "trigger": {"on_arrival": {}, "schedule": "daily"},
        **({"name": spec["name"]} if spec["name"] else {}),
        **({"partition": {"by": "path", "pattern": "{k}.csv"}} if spec["named_keys"] else {}),
        **({"nonsense": 1} if spec["broken"] else {}),
    }
    if spec["edge"]:
        key, value, _ = spec["edge"]
        *sections, last = key.split(".")
        section = content
        for name in sections:
            section = section.setdefault(name, {})
        section[last] = value
    path.write_text(yaml.safe_dump(content))


def drawn_by(number: int, examples: int) -> Callable[[], None]:
    """A function that checks so many sets, drawn by a seed; a set that fails is made smaller."""

    @seed(number)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(SETS)
    def checked(drawn: Drawn) -> None:
        check(drawn)

    return checked


def main() -> None:
    """Draw sets until the time is over; exit 1 at the first one that goes wrong."""
    parser = argparse.ArgumentParser(prog="script/soak --specs", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    end, rounds, examples = time.monotonic() + options.minutes * 60, 0, 50
    while rounds == 0 or time.monotonic() < end:
        drawn_by(options.seed + rounds, examples)()
        rounds += 1
    sys.stdout.write(
        f"{rounds * examples} sets of specs, seeds {options.seed} to "
        f"{options.seed + rounds - 1}: each gives definitions that load\n"
    )


if __name__ == "__main__":
    main()
