"""The JSON schema of a spec, from which editors complete and check while a person types.

``python -m autoloader_dagster.specs.json_schema [FILE]`` writes it, by default beside the specs.
"""

import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from autoloader_dagster.settings import load_settings
from autoloader_dagster.specs.model import IngestionSpec


class _Generator(GenerateJsonSchema):
    """pydantic's schema with durations as people write them, and without made-up titles."""

    def encode_default(self, dft: Any) -> Any:
        if isinstance(dft, timedelta):
            return f"{dft.total_seconds():g}s"
        return super().encode_default(dft)

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def spec_json_schema() -> dict[str, Any]:
    """The JSON schema of a spec file: its keys, without what is not supported yet."""
    schema = IngestionSpec.model_json_schema(schema_generator=_Generator)
    for part in (schema, *schema["$defs"].values()):
        del part["title"]
        part["properties"] = {
            key: _plainer(value)
            for key, value in sorted(part["properties"].items(), key=lambda item: item[0] != "type")
            if not value.get("x-later")
        }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _plainer(value: dict[str, Any]) -> dict[str, Any]:
    """A key's schema, with the choices that can be made and the defaults that can be written."""
    plain = dict(value)
    if supported := plain.pop("x-supported", None):
        plain["enum"] = supported
    plain.pop("gt", None)  # the bound of a size, which is checked after it is parsed
    # The default of a section is what its keys say; null means 'left out', which is no value.
    if isinstance(plain.get("default", 0), (dict, type(None))):
        del plain["default"]
    for inside in ("items", "additionalProperties"):
        if inside in plain:
            plain[inside] = _plainer(plain[inside])
    options = [_plainer(o) for o in plain.pop("anyOf", ()) if o.get("type") != "null"]
    if options and all(option.keys() == {"type"} for option in options):
        kinds = [option["type"] for option in options]
        if "number" in kinds and "integer" in kinds:
            kinds.remove("integer")
        return {"type": kinds[0] if len(kinds) == 1 else kinds, **plain}
    if len(options) == 1:
        return {**options[0], **plain}
    return {**plain, "anyOf": options} if options else plain


def write_schema(path: Path) -> None:
    """Write the JSON schema to a file."""
    text = json.dumps(spec_json_schema(), indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_schema(Path(sys.argv[1]) if sys.argv[1:] else load_settings().specs_dir / "schema.json")
