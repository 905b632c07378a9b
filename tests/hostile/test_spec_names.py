"""A spec or tenant of a hostile name is refused by its file, and every other spec works."""

import os
from pathlib import Path

import dagster as dg

from autoloader_dagster.build import build_definitions
from autoloader_dagster.specs.loader import load_specs
from tests.hostile.corpus import CANARY, CONTROLS, TEXTS
from tests.integration.cli_steps import Project

_GOOD = "source: {{type: local, url: ../in}}\nformat: {{type: csv}}\ntable: {{name: lake.s.{0}}}\n"


def _write_specs(root: Path) -> int:
    """Write two good specs among many bad ones, and return the number of those."""
    bad = 0
    texts = [text.replace("/", "\u2215") for text in (*TEXTS, *CONTROLS)]
    texts += ["\u00fc" * 120, os.fsdecode(b"\xff\xfe"), os.fsdecode(b"a\xe9")]
    # What is left out on purpose, or is a good name.
    good = ("null", "select", "nul")
    texts = [text for text in texts if not text.startswith(("_", ".")) and text not in good]
    for number, text in enumerate(texts):
        for path in (root / f"{text}.yaml", root / text / f"t{number}.yaml"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_GOOD.format(f"n{bad}"))
            bad += 1
    (root / "good.yaml").write_text(_GOOD.format("good"))
    (root / "tenant").mkdir()
    (root / "tenant" / "good.yaml").write_text(_GOOD.format("of_tenant"))
    return bad


def test_specs_and_tenants_of_odd_names_break_themselves_alone(tmp_path: Path) -> None:
    project = Project(tmp_path, tmp_path / "home")
    bad = _write_specs(project.specs)
    for number, text in enumerate(TEXTS):
        project.spec(f"named{number}", description=text, partition={"by": text})
        project.spec(f"table{number}", table={"name": f"lake.s.{text}"})
        project.spec(f"source{number}", source={"type": "local", "url": "../in", "glob": text})

    specs = load_specs(project.specs)

    loaded = {spec.ingestion_id for spec in specs.specs}
    assert {"default/good", "tenant/good"} <= loaded
    definitions = build_definitions(specs)
    dg.Definitions.validate_loadable(definitions)

    checked = project.run("validate", COLUMNS="3000")
    assert checked.code == 1, checked.err
    listed = project.run("list", COLUMNS="3000")
    assert listed.code == 0, listed.err
    as_json = project.run("list", "--json")
    assert as_json.code == 0, as_json.err
    faults = project.run("validate", "--json")
    assert faults.code == 1, faults.err
    one = project.run("validate", "default/good", "tenant/good")
    assert (one.code, one.err) == (0, "")

    for done in (checked, listed, as_json, faults):
        assert CANARY not in done.out + done.err
    for done in (checked, listed):
        assert not set("\x1b\x07\x85\u202e\r") & set(done.out + done.err)
    broken = {row["file"] for row in as_json.json["specs"] if row["broken"]}
    assert len(broken) == len(specs.broken) >= bad
    assert {fault["file"] for fault in faults.json["faults"]} == broken
    for spec in specs.broken:
        assert spec.faults, spec.path
