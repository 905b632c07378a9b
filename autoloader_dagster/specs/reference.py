"""The reference page of a spec's keys, made from the same schema that editors complete from.

``python -m autoloader_dagster.specs.reference [FILE]`` writes it, by default to
``docs/spec_reference.md`` of the working folder.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autoloader_dagster.specs.json_schema import spec_json_schema

_INTRODUCTION = """\
# Spec reference

Generated from the model by `python -m autoloader_dagster.specs.reference`; change the descriptions
there. One YAML file below `ingestion_specs/` describes one table. Only `source.type`, `source.url`,
`format.type` and `table.name` are needed. A key that is not listed here is an error.
"""

_KINDS = {
    "string": "text",
    "integer": "whole number",
    "boolean": "true or false",
    "array": "list of texts",
    "object": "keys and texts",
}


def spec_reference() -> str:
    """The page, in Markdown."""
    schema = spec_json_schema()
    parts = [_INTRODUCTION]
    for title, section in _sections(schema, schema, ""):
        rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
        required = section.get("required", [])
        rows += [
            f"| `{key}` | {_type(value)} | {_default(value, key in required)} "
            f"| {_meaning(value, schema)} |"
            for key, value in section["properties"].items()
        ]
        parts.append(f"## {title}\n\n{section['description']}\n\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def write_reference(path: Path) -> None:
    """Write the page to a file."""
    path.write_text(spec_reference(), encoding="utf-8")


def _sections(
    schema: dict[str, Any], section: dict[str, Any], name: str, note: str = ""
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The sections in the order of the model, each with its title."""
    yield (f"`{name}`{note}" if name else "Top level"), section
    for key, value in section["properties"].items():
        for reference in [value, *value.get("oneOf", ())]:
            if "$ref" in reference:
                inner = schema["$defs"][reference["$ref"].rsplit("/", 1)[1]]
                kind = inner["properties"].get("type", {}).get("const")
                below = f"{name}.{key}".lstrip(".")
                yield from _sections(
                    schema, inner, below, f" with `type: {kind}`" if kind else note
                )


def _type(value: dict[str, Any]) -> str:
    if "$ref" in value or "oneOf" in value:
        return "section"
    if "const" in value:
        return f"`{value['const']}`"
    if "enum" in value:
        return ", ".join(f"`{_written(choice)}`" for choice in value["enum"])
    if value.get("format") == "date":
        return "day"
    kinds = value["type"] if isinstance(value["type"], list) else [value["type"]]
    # A text may look like a number; what is read as text is called text.
    return _KINDS["string" if "string" in kinds else kinds[0]]


def _default(value: dict[str, Any], required: bool) -> str:
    if required:
        return "**needed**"
    default = value.get("default")
    return "" if default in (None, "", []) else f"`{_written(default)}`"


def _meaning(value: dict[str, Any], schema: dict[str, Any]) -> str:
    if "description" not in value:  # the section's own says the same
        value = schema["$defs"][value["$ref"].rsplit("/", 1)[1]]
    return re.sub(r"([|*])", r"\\\1", value["description"])


def _written(value: Any) -> str:
    """A value as a spec would say it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    write_reference(Path(sys.argv[1] if sys.argv[1:] else "docs/spec_reference.md"))
