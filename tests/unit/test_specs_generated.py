"""The JSON schema and the reference page are made from the model, up to date, and right."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from autoloader_dagster.specs.json_schema import spec_json_schema, write_schema
from autoloader_dagster.specs.reference import spec_reference, write_reference

ROOT = Path(__file__).parents[2]
SPECS = ROOT / "ingestion_specs"
SHIPPED = sorted(file for file in SPECS.glob("*.yaml") if not file.name.startswith("_"))


def test_the_schema_in_the_repository_is_up_to_date(tmp_path: Path) -> None:
    write_schema(tmp_path / "schema.json")
    fresh = (tmp_path / "schema.json").read_text(encoding="utf-8")
    assert (SPECS / "schema.json").read_text(encoding="utf-8") == fresh, (
        "run: python -m autoloader_dagster.specs.json_schema"
    )


def test_the_reference_in_the_repository_is_up_to_date(tmp_path: Path) -> None:
    write_reference(tmp_path / "reference.md")
    fresh = (tmp_path / "reference.md").read_text(encoding="utf-8")
    assert (ROOT / "docs" / "spec_reference.md").read_text(encoding="utf-8") == fresh, (
        "run: python -m autoloader_dagster.specs.reference"
    )


def test_every_key_says_what_it_means() -> None:
    schema = spec_json_schema()
    for part in (schema, *schema["$defs"].values()):
        assert part["description"]
        for key, value in part["properties"].items():
            assert "description" in value or "$ref" in value, key
    assert "|  |\n" not in spec_reference()


def test_what_is_not_supported_is_not_offered() -> None:
    text = json.dumps(spec_json_schema())
    for name in (
        "sftp",
        "avro",
        "strict",
        "merge",
        "after_load",
        "sort_by",
        "x-later",
        "x-supported",
    ):
        assert f'"{name}"' not in text


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_the_shipped_specs_are_right_by_the_schema_and_point_to_it(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=schema.json\n")
    # By YAML 1.2, as editors do: a day is text there.
    content = json.loads(json.dumps(yaml.safe_load(text), default=str))
    jsonschema.Draft202012Validator(spec_json_schema()).validate(content)


def minimal(**more: Any) -> dict[str, Any]:
    return {
        "source": {"type": "s3", "url": "s3://in/x"},
        "format": {"type": "csv"},
        "table": {"name": "lake.a.b"},
        **more,
    }


@pytest.mark.parametrize(
    "spec",
    [
        minimal(),
        minimal(schema={"hints": {"a": "string"}}),
        minimal(batch={"max_bytes": 5, "max_files": 3}),
        minimal(trigger={"on_arrival": {"every": 30}}),
        minimal(tags={"a": 1, "b": True}),
        minimal(format={"type": "csv", "options": {"multiline": False, "null_values": [-999]}}),
    ],
)
def test_the_schema_takes_what_the_loader_takes(spec: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(spec_json_schema()).validate(spec)


@pytest.mark.parametrize(
    "spec",
    [
        {},
        minimal(tabel={}),
        minimal(columns={}),  # the field's name in Python
        minimal(source={"type": "sftp", "url": "x"}),
        minimal(source={"type": "local", "url": "x", "connection": "c"}),
        minimal(table={"name": "lake.a.b", "mode": "merge"}),
        minimal(partition={"every": "dayly"}),
        minimal(trigger={"on_arrival": None}),
        minimal(batch={"max_files": 0}),
    ],
)
def test_the_schema_refuses_what_the_loader_refuses(spec: dict[str, Any]) -> None:
    assert not jsonschema.Draft202012Validator(spec_json_schema()).is_valid(spec)
