"""What a specs folder becomes: names, tenants, hashes, conflicts, and broken specs apart."""

from datetime import timedelta
from pathlib import Path

import pytest

from autoloader_dagster.errors import SpecError
from autoloader_dagster.formats.csv.options import CsvFormat
from autoloader_dagster.formats.json.options import JsonFormat
from autoloader_dagster.sources.local.kind import LocalSource
from autoloader_dagster.specs.loader import load_specs
from autoloader_dagster.specs.spec_set import BrokenSpec, LoadedSpec

ROOT = Path(__file__).parents[2]


def spec_text(table: str = "lake.shop.orders", more: str = "") -> str:
    return (
        "source: {type: local, url: data}\nformat: {type: csv}\n"
        f"table: {{name: {table}}}\n{more}\n"
    )


def write(folder: Path, **texts: str) -> Path:
    """Write each text to ``<name>.yaml``; a double underscore in a name is a folder's end."""
    for name, text in texts.items():
        file = folder / (name.replace("__", "/") + ".yaml")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


def only(folder: Path) -> LoadedSpec:
    loaded = load_specs(folder)
    assert loaded.faults == ()
    (spec,) = loaded.specs
    return spec


def test_the_shipped_specs_load(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load_specs(ROOT / "ingestion_specs")
    assert loaded.faults == ()
    assert loaded.connections.names("default") == []
    cloudtrail, covid, weather = (
        loaded.get(n) for n in ("cloudtrail", "covid_daily", "weather_hourly")
    )
    assert covid.spec.source.url == str(ROOT / ".autoloader" / "landing" / "covid_daily")
    assert isinstance(covid.spec.format, CsvFormat)
    assert covid.spec.trigger.on_arrival is not None
    assert covid.spec.trigger.on_arrival.every == timedelta(seconds=30)
    assert isinstance(cloudtrail.spec.format, JsonFormat)
    assert cloudtrail.spec.format.options.record_path == "Records"
    assert weather.spec.partition.kind == "none"
    assert weather.spec.table.partition_by == ()
    assert weather.spec.trigger.cron == "0 0 * * *"


@pytest.mark.parametrize(("name", "files"), [("covid_daily", 16), ("cloudtrail", 14)])
def test_every_sample_file_matches_its_pattern(name: str, files: int) -> None:
    spec = load_specs(ROOT / "ingestion_specs").get(name).spec
    suffix = spec.source.include[0].removeprefix("*")
    folder = ROOT / "samples" / name
    found = [f.name for f in folder.iterdir() if f.name.endswith(suffix)]
    assert len(found) == files
    days = [spec.partition.path_pattern.time(file) for file in found]
    assert all(day and day.date() >= spec.partition.first_day for day in days)


def test_a_spec_is_named_by_its_file_or_by_itself(tmp_path: Path) -> None:
    write(tmp_path, orders=spec_text(), other=spec_text("lake.shop.sales", "name: sales"))
    loaded = load_specs(tmp_path)
    assert [spec.ingestion_id for spec in loaded.specs] == ["default/orders", "default/sales"]


def test_a_file_name_that_is_no_name_asks_for_one(tmp_path: Path) -> None:
    (tmp_path / "My Orders.yml").write_text(spec_text())
    (fault,) = load_specs(tmp_path).faults
    assert fault.text == (
        "name is missing, and the file's name 'My Orders' cannot be used: it must be lower-case "
        "letters, digits and _"
    )


def test_folders_are_tenants_and_underscores_are_left_out(tmp_path: Path) -> None:
    write(
        tmp_path,
        orders=spec_text(),
        acme__orders=spec_text("lake.acme.orders"),
        default__sales=spec_text("lake.shop.sales"),
        _draft="not: a: spec",
        _old__orders="not: a: spec",
    )
    (tmp_path / ".orders.yaml").write_text("an editor's copy")
    (tmp_path / "schema.json").write_text("{}")
    loaded = load_specs(tmp_path)
    assert loaded.faults == ()
    ids = [spec.ingestion_id for spec in loaded.specs]
    assert ids == ["default/orders", "acme/orders", "default/sales"]


def test_a_mounted_config_map_is_read_once(tmp_path: Path) -> None:
    """Kubernetes mounts files as links into a hidden folder that a hidden link points to."""
    write(tmp_path / "..2026_11_21", orders=spec_text())
    (tmp_path / "..data").symlink_to("..2026_11_21")
    (tmp_path / "orders.yaml").symlink_to("..data/orders.yaml")
    assert only(tmp_path).spec.source.url == str(tmp_path / "data")


def test_a_spec_that_lies_too_deep_is_reported_not_ignored(tmp_path: Path) -> None:
    write(tmp_path, acme__eu__orders=spec_text())
    (broken,) = load_specs(tmp_path).broken
    assert broken.faults[0].text == (
        "lies too deep; specs go into the specs folder or one folder below it"
    )


def test_a_folder_that_leads_round_in_circles_ends(tmp_path: Path) -> None:
    write(tmp_path, acme__orders=spec_text())
    (tmp_path / "acme" / "again").symlink_to(tmp_path / "acme")
    assert only(tmp_path).ingestion_id == "acme/orders"


def test_a_tenant_needs_a_name_of_letters(tmp_path: Path) -> None:
    write(tmp_path / "Big Corp", orders=spec_text())
    (fault,) = load_specs(tmp_path).faults
    assert fault.text == "its folder 'Big Corp' must be lower-case letters, digits and _"


def test_a_link_to_nowhere_and_a_missing_folder_are_told(tmp_path: Path) -> None:
    (tmp_path / "orders.yaml").symlink_to("gone.yaml")
    (fault,) = load_specs(tmp_path).faults
    assert fault.text == "cannot be read: No such file or directory"
    with pytest.raises(
        SpecError, match=r"specs folder .*none cannot be read: No such file"
    ) as error:
        load_specs(tmp_path / "none")
    assert error.value.hint == (
        "Create it, or set AUTOLOADER_SPECS_DIR to the folder that holds the specs."
    )


def test_one_broken_spec_leaves_the_others_alone(tmp_path: Path) -> None:
    write(tmp_path, good=spec_text(), bad="source: {type: local}\n", worse="a: [")
    loaded = load_specs(tmp_path)
    assert [spec.ingestion_id for spec in loaded.specs] == ["default/good"]
    assert [spec.ingestion_id for spec in loaded.broken] == ["default/bad", "default/worse"]
    assert len(loaded.faults) == 4


def test_a_broken_spec_keeps_its_name_where_it_can_be_told(tmp_path: Path) -> None:
    write(tmp_path, file=spec_text(more="name: orders\nversion: 9"))
    (broken,) = load_specs(tmp_path).broken
    assert isinstance(broken, BrokenSpec)
    assert broken.name == "orders"


def test_a_relative_url_is_relative_to_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "specs", acme__orders=spec_text().replace("url: data", "url: ../../in/x/"))
    monkeypatch.chdir(tmp_path)
    assert only(Path("specs")).spec.source.url == str(tmp_path / "in" / "x")


def test_an_absolute_url_and_links_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to("release-1")
    url = tmp_path / "current" / "in"
    write(tmp_path / "specs", orders=spec_text().replace("url: data", f"url: {url}"))
    source = only(tmp_path / "specs").spec.source
    assert isinstance(source, LocalSource)
    assert source.url == str(url)


def test_a_byte_order_mark_and_crlf_are_no_fault(tmp_path: Path) -> None:
    text = spec_text(more="description: größer").replace("\n", "\r\n")
    (tmp_path / "orders.yaml").write_bytes(text.encode("utf-8-sig"))
    assert only(tmp_path).spec.description == "größer"


def test_words_are_read_as_editors_read_them(tmp_path: Path) -> None:
    """YAML 1.1 would make false of NO, 90 of 1:30 and 8 of 010."""
    more = (
        "tags: {land: NO, at: 1.10, id: 007, n: 3, b: true}\n"
        "partition: {start: '2020-01-22'}\n"
        "status: active # on\n"
    )
    text = spec_text(more=more).replace(
        "csv}", "csv, options: {header: no, null_values: [NO, -999]}}"
    )
    write(tmp_path, orders=text)
    spec = only(tmp_path).spec
    assert spec.tags == {"land": "NO", "at": "1.10", "id": "007", "n": "3", "b": "true"}
    assert isinstance(spec.format, CsvFormat)
    assert spec.format.options.header is False
    assert spec.format.options.null_values == ("NO", "-999")


def test_comments_and_order_do_not_change_the_hash_but_content_does(tmp_path: Path) -> None:
    lines = spec_text().splitlines()
    texts = [spec_text(), "# note\n" + "\n".join(reversed(lines)), spec_text(more="status: paused")]
    hashes = [only(write(tmp_path, orders=text)).text_hash for text in texts]
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_name_twice_in_a_tenant_breaks_both(tmp_path: Path) -> None:
    write(
        tmp_path,
        a=spec_text(more="name: orders"),
        orders=spec_text("lake.shop.b"),
        c=spec_text("lake.c.c"),
    )
    loaded = load_specs(tmp_path)
    assert [spec.name for spec in loaded.broken] == ["orders", "orders"]
    assert [fault.text for fault in loaded.faults] == [
        f"name: 'orders' is the name of {tmp_path / 'orders.yaml'} too",
        f"name: 'orders' is the name of {tmp_path / 'a.yaml'} too",
    ]
    assert loaded.faults[0].line == 4
    assert [spec.spec.name for spec in loaded.specs] == ["c"]


def test_a_broken_rival_takes_no_good_spec_with_it(tmp_path: Path) -> None:
    write(tmp_path, orders=spec_text(), copy=spec_text(more="name: orders\nversion: 2"))
    loaded = load_specs(tmp_path)
    assert [spec.path.name for spec in loaded.specs] == ["orders.yaml"]
    assert [fault.text for fault in loaded.faults] == [
        f"name: 'orders' is the name of {tmp_path / 'orders.yaml'} too",
        "version: '2' is not 1",
    ]


def test_a_table_belongs_to_one_spec_unless_all_share_it(tmp_path: Path) -> None:
    shared = spec_text().replace("orders}", "orders, shared: true}")
    write(tmp_path, a=shared, acme__b=shared)
    assert load_specs(tmp_path).faults == ()
    write(tmp_path, c=spec_text())
    loaded = load_specs(tmp_path)
    assert loaded.specs == ()
    assert loaded.faults[0].text == (
        f"table.name: 'lake.shop.orders' is the table of {tmp_path / 'c.yaml'} too; give each its "
        "own, or say table.shared: true in all of them"
    )


def test_tables_of_two_catalogs_that_would_be_one_asset_are_told(tmp_path: Path) -> None:
    write(tmp_path, a=spec_text(), b=spec_text("prod.shop.orders"))
    assert load_specs(tmp_path).faults[0].text == (
        f"table.name: 'lake.shop.orders' and 'prod.shop.orders' ({tmp_path / 'b.yaml'}) would be "
        "one Dagster asset, shop/orders; give them other names"
    )


@pytest.mark.parametrize("name", ["orders", "default/orders"])
def test_get_finds_a_spec_by_name(tmp_path: Path, name: str) -> None:
    assert load_specs(write(tmp_path, orders=spec_text())).get(name).spec.name == "orders"


def test_get_says_what_there_is(tmp_path: Path) -> None:
    write(tmp_path, orders=spec_text(), sales=spec_text("lake.shop.sales"), bad="version: 3\n")
    loaded = load_specs(tmp_path)
    with pytest.raises(SpecError) as error:
        loaded.get("order")
    assert error.value.what == "there is no spec 'order'; did you mean 'orders'?"
    assert error.value.hint == "The specs are orders, sales."
    with pytest.raises(SpecError, match=r"the spec 'bad' is broken:\n  .*bad.yaml:1  version: '3'"):
        loaded.get("bad")
    (tmp_path / "none").mkdir()
    with pytest.raises(SpecError, match="There are no specs yet"):
        load_specs(tmp_path / "none").get("orders")


def test_get_asks_which_tenant_is_meant(tmp_path: Path) -> None:
    write(tmp_path, acme__orders=spec_text(), beta__orders=spec_text("lake.beta.orders"))
    loaded = load_specs(tmp_path)
    with pytest.raises(SpecError, match="several specs named 'orders': acme/orders, beta/orders"):
        loaded.get("orders")
    assert loaded.get("beta/orders").tenant == "beta"
    with pytest.raises(SpecError, match="The specs are acme/orders, beta/orders"):
        loaded.get("x")


def test_a_fault_is_shown_as_a_person_would_type_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "ingestion_specs", orders=spec_text(more="partition:\n  every: dayly"))
    monkeypatch.chdir(tmp_path)
    (fault,) = load_specs(tmp_path / "ingestion_specs").faults
    assert str(fault) == (
        "ingestion_specs/orders.yaml:5  partition.every: 'dayly' is not one of hour, day, week, "
        "month; did you mean 'day'?"
    )
