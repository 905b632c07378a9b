"""A table belongs to one ingestion, whatever its spec is called; a shared one keeps rows apart."""

import os
from collections import Counter
from dataclasses import replace
from typing import Any

import dagster as dg
import pytest

from autoloader_dagster.errors import LoadError, TableMoved, TableOwned, UsageError
from autoloader_dagster.iceberg.properties import TABLE_ID_PROPERTY
from autoloader_dagster.loading.changes.undo import undo
from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.loading.preview import preview
from autoloader_dagster.loading.recovery.ownership import adopt, owner_in_state
from autoloader_dagster.loading.recovery.reconcile import reconcile
from autoloader_dagster.orchestration.resources import ProcessedFilesResource, SparkConnectResource
from autoloader_dagster.orchestration.triggers import build_sensor
from autoloader_dagster.specs.connections import load_connections
from autoloader_dagster.state import ProcessedFiles
from tests.fixtures import by_hand
from tests.fixtures.lake import Lake, write_ids
from tests.integration.state_steps import INGESTION, discover, load, ref, statuses, versions


def _renamed(lake: Lake, old: str, new: str) -> Ingestion:
    """The spec with another name, which still loads the table of the old one."""
    (lake.root / "specs" / f"{old}.yaml").unlink()
    return lake.ingestion(
        new,
        table={"name": f"lake.{lake.namespace}.{old}"},
        trigger={"on_arrival": {"every": "60s"}},
    )


def _tick(lake: Lake, ingestion: Ingestion, state_url: str) -> Any:
    """What the sensor of the spec answers."""
    sensor = build_sensor(ingestion.loaded, load_connections(lake.root / "specs", []))
    assert sensor is not None
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.build_sensor_context(
            instance,
            resources={
                "spark_connect": SparkConnectResource(),
                "processed_files": ProcessedFilesResource(database_url=state_url),
            },
        ) as context,
    ):
        return sensor.evaluate_tick(context)


def test_a_renamed_spec_loads_nothing_again_and_adopts_the_state_of_its_old_name(
    lake: Lake, state_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOLOADER_HOME", str(lake.settings.home))
    lake.store.close()
    lake.store = ProcessedFiles(state_url)
    lake.store.upgrade()
    folder = lake.folder()
    write_ids(folder, "a.csv", 1)
    write_ids(folder, "b.csv", 2)
    old = lake.ingestion("before")
    lake.load(old)
    other = lake.ingestion("other", source={"type": "local", "url": str(folder)})
    with pytest.raises(UsageError, match="has a spec of its own"):
        adopt(other, "before", unread=())
    renamed = _renamed(lake, "before", "after")
    write_ids(folder, "c.csv", 3)

    with pytest.raises(TableOwned, match="autoloader adopt default/after --from default/before"):
        lake.load(renamed)
    assert owner_in_state(renamed) == "default/before"
    tick = _tick(lake, renamed, state_url)
    assert not tick.run_requests
    assert "autoloader adopt default/after --from default/before'" in str(tick.skip_message)
    assert lake.statuses(renamed)["a.csv"] == "DISCOVERED"
    elsewhere = lake.ingestion("elsewhere")
    tables = r"has loaded lake\.\S+\.before, and table.name of default/elsewhere is lake\.\S+"
    with pytest.raises(UsageError, match=tables):
        adopt(elsewhere, "before", unread=(), dry_run=False)
    (lake.root / "specs" / "elsewhere.yaml").unlink()
    plan = adopt(renamed, "before", unread=())
    assert (plan.state.files, plan.state.batches, plan.done) == (2, 1, False)
    assert lake.statuses(old)["a.csv"] == "SUCCESS"
    assert adopt(renamed, "default/before", unread=(), dry_run=False).done

    assert owner_in_state(renamed) is None
    assert len(_tick(lake, renamed, state_url).run_requests or ()) == 1
    lake.load(renamed)
    assert lake.statuses(renamed) == {"a.csv": "SUCCESS", "b.csv": "SUCCESS", "c.csv": "SUCCESS"}
    assert lake.ids("before") == Counter([1, 2, 3])
    assert list(lake.store.files.find(old.id)) == []

    # A state that is lost as well cannot tell; the table can.
    lost = ProcessedFiles(f"sqlite:///{lake.root / 'lost.db'}")
    lost.upgrade()
    again = replace(_renamed_again(lake), store=lost)
    with pytest.raises(LoadError, match="--from default/after"):
        lake.load(again)
    assert adopt(again, "default/after", unread=(), dry_run=False).done
    assert sum(batch.rows for batch in lake.load(again)) == 0
    assert lake.ids("before") == Counter([1, 2, 3])
    lost.close()


def _renamed_again(lake: Lake) -> Ingestion:
    (lake.root / "specs" / "after.yaml").unlink()
    return lake.ingestion("third", table={"name": f"lake.{lake.namespace}.before"})


def test_a_version_that_both_names_know_is_kept_as_the_new_name_has_loaded_it(
    state: ProcessedFiles,
) -> None:
    discover(state, ref("a.csv"), ref("b.csv"), ingestion_id="acme/before")
    discover(state, ref("a.csv"))
    batch = load(state)

    state.tables.hand_over("acme/before", INGESTION, "acme", really=True)

    assert versions(state, "a.csv")["v1"].batch_id == batch.batch_id
    assert statuses(state, "b.csv") == {"v1": "DISCOVERED"}
    assert list(state.files.find("acme/before")) == []


def test_a_replaced_file_in_a_shared_table_leaves_the_rows_of_other_specs(lake: Lake) -> None:
    folder = lake.folder()
    write_ids(folder, "a.csv", 1)
    parts = {
        "source": {"type": "local", "url": str(folder), "on_change": "replace"},
        "table": {"name": f"lake.{lake.namespace}.common", "shared": True},
    }
    one, two = lake.ingestion("one", **parts), lake.ingestion("two", **parts)
    lake.load(one)
    lake.load(lake.ingestion("two", **parts))
    write_ids(folder, "a.csv", 10, 11)

    lake.load(lake.ingestion("one", **parts))
    assert lake.ids("common") == Counter([1, 10, 11])
    lake.load(two)
    assert lake.ids("common") == Counter([10, 10, 11, 11])
    write_ids(folder, "b.csv", 20)
    lake.load(lake.ingestion("two", **parts))
    undo(two, ["b.csv"], run_id="undo")

    kept = lake.store
    for number, first in enumerate(("reconcile two", "load one")):
        # The state is lost. Each finds its own batches, and leaves those of the other.
        lake.store = ProcessedFiles(f"sqlite:///{lake.root / f'lost-{number}.db'}")
        lake.store.upgrade()
        one, two = lake.ingestion("one", **parts), lake.ingestion("two", **parts)
        if first == "reconcile two":
            reconcile(two, apply=True)
            assert lake.statuses(two) == {"a.csv": "SUCCESS", "b.csv": "UNDONE"}
        lake.load(one)
        lake.load(two)
        assert lake.statuses(one) == {"a.csv": "SUCCESS", "b.csv": "SUCCESS"}
        assert lake.statuses(two) == {"a.csv": "SUCCESS", "b.csv": "UNDONE"}
        assert lake.ids("common") == Counter([10, 10, 11, 11, 20])
        lake.store.close()

    # Lost once more, together with the snapshots: nothing tells whose batches these are.
    by_hand.expire(lake, "common")
    lake.store = ProcessedFiles(f"sqlite:///{lake.root / 'expired.db'}")
    lake.store.upgrade()
    one, two = lake.ingestion("one", **parts), lake.ingestion("two", **parts)
    with pytest.raises(LoadError, match=r"unknown which of them default/one loaded"):
        lake.load(one)
    (last,) = {row[1] for row in lake.rows("common", "id", "_batch_id") if row[0] == 10} - {
        each.batch_id for each in lake.store.files.find(one.id)
    }
    by_hand.sql(
        lake,
        f"delete from lake.{{ns}}.common where _batch_id = '{last}' "
        "and _source_file like '%/a.csv'",
    )
    lake.load(one)
    lake.load(two)
    # Nothing tells of the undo of b.csv either.
    assert lake.ids("common") == Counter([10, 10, 11, 11, 20, 20])
    undo(one, ["a.csv"], run_id="undo")
    assert lake.ids("common") == Counter([10, 11, 20, 20])
    lake.store.close()
    lake.store = kept
    (lake.root / "specs" / "two.yaml").unlink()
    with pytest.raises(TableOwned, match="default/two"):
        lake.load(lake.ingestion("renamed", **parts))


def test_another_table_name_is_refused_until_all_files_are_loaded_into_the_new_table(
    lake: Lake, state_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOLOADER_HOME", str(lake.settings.home))
    lake.store.close()
    lake.store = ProcessedFiles(state_url)
    lake.store.upgrade()
    folder = lake.folder()

    def named(table: str) -> Ingestion:
        return lake.ingestion(
            "orders",
            table={"name": f"lake.{lake.namespace}.{table}"},
            trigger={"on_arrival": {"every": "60s"}},
        )

    write_ids(folder, "a.csv", 1, 2)
    (folder / "empty.csv").write_text("id\n")
    lake.load(named("orders"))
    moved = named("orders2")
    orders = f"lake.{lake.namespace}.orders"
    refused = f"(?s){orders} has 2 rows of 1 loaded file.*reconcile orders --yes"
    with pytest.raises(TableMoved, match=refused):
        lake.load(moved)
    write_ids(folder, "b.csv", 3)
    with pytest.raises(TableMoved, match=refused):
        lake.load(moved)
    with pytest.raises(TableMoved, match=refused):
        preview(moved)
    tick = _tick(lake, moved, state_url)
    assert not tick.run_requests
    assert f"set it to {orders} again" in str(tick.skip_message)

    lake.load(named("orders"))
    assert lake.ids("orders") == Counter([1, 2, 3])
    assert reconcile(named("orders2"), apply=True).agrees
    write_ids(folder, "c.csv", 4)
    lake.load(moved)
    assert lake.ids("orders2") == Counter([1, 2, 3, 4])
    assert set(lake.statuses(moved).values()) == {"SUCCESS"}
    assert reconcile(moved).agrees

    # The same table under another name. This catalog does not rename, so its id is carried over.
    with moved.connect() as spark:
        table_id = moved.table(spark).table_id()
        spark.sql(
            f"create table lake.{lake.namespace}.orders3 using iceberg tblproperties "
            f"('{TABLE_ID_PROPERTY}' = '{table_id}') "
            f"as select * from lake.{lake.namespace}.orders2"
        ).collect()
    renamed = named("orders3")
    assert lake.load(renamed) == []
    write_ids(folder, "d.csv", 5)
    assert len(_tick(lake, renamed, state_url).run_requests or ()) == 1
    lake.load(renamed)
    assert lake.ids("orders3") == Counter([1, 2, 3, 4, 5])


def test_a_table_name_that_was_changed_to_a_copy_is_followed_if_all_rows_are_there(
    lake: Lake,
) -> None:
    folder = lake.folder()

    def named(table: str) -> Ingestion:
        return lake.ingestion(
            "orders",
            table={"name": f"lake.{lake.namespace}.{table}"},
            source={"type": "local", "url": str(folder), "on_change": "replace"},
            batch={"max_files": 1},
        )

    write_ids(folder, "a.csv", 1, 2)
    write_ids(folder, "b.csv", 3)
    lake.load(named("orders"))
    by_hand.sql(
        lake,
        "create table lake.{ns}.partly using iceberg as select * from lake.{ns}.orders "
        "where id <> 2",
        "create table lake.{ns}.copied using iceberg as select * from lake.{ns}.orders",
    )
    write_ids(folder, "c.csv", 4)
    with pytest.raises(TableMoved, match=r"orders has 3 rows of 2 .*partly has not all of them"):
        lake.load(named("partly"))
    lake.load(named("orders"))
    assert lake.ids("orders") == Counter([1, 2, 3, 4])
    by_hand.sql(
        lake,
        "create or replace table lake.{ns}.copied using iceberg as select * from lake.{ns}.orders",
    )

    assert lake.load(named("copied")) == []
    assert lake.ids("copied") == Counter([1, 2, 3, 4])
    os.utime(write_ids(folder, "a.csv", 1, 5), (5, 5))
    lake.load(named("copied"))
    assert lake.ids("copied") == Counter([1, 3, 4, 5])
    assert reconcile(named("copied")).agrees
    assert lake.ids("orders") == Counter([1, 2, 3, 4])
