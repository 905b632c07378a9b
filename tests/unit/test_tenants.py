"""Twenty ways out of a tenant, each refused by name, and nothing else broken by it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from autoloader_dagster.cli.app import main
from autoloader_dagster.errors import FileChanged, SourceAccessDenied, SpecError
from autoloader_dagster.sources.registry import open_source
from autoloader_dagster.specs.loader import load_specs
from autoloader_dagster.specs.spec_set import SpecSet

KEYS = {"access_key_id": "env:ACME_KEY", "secret_access_key": "env:ACME_SECRET"}


class Site:
    """Specs of the operator and of two tenants, all of them good."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.specs = root / "specs"
        self.data = root / "data" / "acme"
        self.other = root / "data" / "beta"
        self.secrets = root / "secrets" / "acme"
        for folder in (self.data / "in", self.other / "in", self.secrets):
            folder.mkdir(parents=True)
        (root / "secrets" / "beta").write_text("secret-of-beta")
        (self.secrets / "key").write_text("secret-of-acme")
        self.allow()
        self.write("_connections.yaml", landing={"type": "s3", **KEYS})
        self.spec("root.yaml", "lake.main.root")
        self.spec("acme/orders.yaml", "lake.acme.orders", url=str(self.data / "in"))
        self.spec("beta/orders.yaml", "lake.beta.orders", url=str(self.other / "in"))

    def allow(self, **acme: Any) -> None:
        rules = {
            "namespaces": ["lake.acme"],
            "buckets": ["s3://acme", "s3://shared/acme/"],
            "folders": [str(self.data)],
            "variables": ["ACME_*"],
            "secret_folders": [str(self.secrets)],
        }
        beta = {"namespaces": ["lake.beta"], "folders": [str(self.other)]}
        self.write("_tenant.yaml", acme=rules | acme, beta=beta)

    def write(self, name: str, **content: Any) -> Path:
        path = self.specs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(content))
        return path

    def spec(self, name: str, table: str, url: str = "/in", more: Any = None, **parts: Any) -> Path:
        content = {
            "source": {"type": "local", "url": url},
            "format": {"type": "csv"},
            "table": {"name": table, **(more or {})},
        }
        return self.write(name, **(content | parts))

    def s3(self, url: str, connection: str | None = "landing", **entry: Any) -> None:
        source = {"type": "s3", "url": url}
        if connection:
            source["connection"] = connection
        self.spec("acme/new.yaml", "lake.acme.new", source=source)
        if entry:
            self.write("acme/_connections.yaml", **{str(connection): {"type": "s3", **entry}})

    def load(self) -> SpecSet:
        return load_specs(self.specs)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def _ids(specs: SpecSet) -> set[str]:
    return {spec.ingestion_id for spec in specs.specs}


GOOD = {"default/root", "acme/orders", "beta/orders"}


def _link(path: Path, target: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def _local(site: Site, url: str, **parts: Any) -> None:
    site.spec("acme/new.yaml", "lake.acme.new", url=url, **parts)


def _link_to_beta(site: Site) -> None:
    _link(site.data / "out", site.other / "in")
    _local(site, str(site.data / "out"))


def _secret_by_link(site: Site) -> None:
    _link(site.specs / "acme" / "key", site.root / "secrets" / "beta")
    site.s3("s3://acme/in", "own", **KEYS | {"secret_access_key": "file:key"})


def _own(site: Site, **entry: Any) -> None:
    site.s3("s3://acme/in", "own", **KEYS | entry)


WAYS: dict[str, tuple[Callable[[Site], Any], str]] = {
    "a table in another tenant's namespace": (
        lambda s: s.spec("acme/new.yaml", "lake.beta.new", url=str(s.data)),
        "tenant 'acme' must not write 'lake.beta.new'; its namespaces in _tenant.yaml: lake.acme",
    ),
    "the very table of another tenant": (
        lambda s: s.spec("acme/new.yaml", "lake.beta.orders", url=str(s.data)),
        "tenant 'acme' must not write 'lake.beta.orders'",
    ),
    "a table of another tenant, called shared": (
        lambda s: s.spec(
            "acme/new.yaml", "lake.beta.orders", url=str(s.data), more={"shared": True}
        ),
        "tenant 'acme' must not write 'lake.beta.orders'",
    ),
    "a namespace that begins in the same way": (
        lambda s: s.spec("acme/new.yaml", "lake.acme_2.new", url=str(s.data)),
        "must not write 'lake.acme_2.new'",
    ),
    "the same namespace of another catalog": (
        lambda s: s.spec("acme/new.yaml", "pond.acme.new", url=str(s.data)),
        "must not write 'pond.acme.new'",
    ),
    "a table that is stored elsewhere": (
        lambda s: _local(s, str(s.data), more={"properties": {"write.data.path": "/x"}}),
        "tenant 'acme' must not set where or how a table is stored",
    ),
    "another bucket": (
        lambda s: s.s3("s3://beta/in"),
        "tenant 'acme' must not read 's3://beta/in'; its buckets in _tenant.yaml: s3://acme,",
    ),
    "a prefix that begins in the same way": (
        lambda s: s.s3("s3://shared/acme2/in"),
        "must not read 's3://shared/acme2/in'",
    ),
    "dots in an address": (
        lambda s: s.s3("s3://shared/acme/../beta/"),
        "must not read 's3://shared/acme/../beta/'",
    ),
    "a bucket with the worker's own credentials": (
        lambda s: s.s3("s3://beta/in", None),
        "must not read 's3://beta/in'",
    ),
    "another folder": (
        lambda s: _local(s, "/etc"),
        "tenant 'acme' must not read '/etc'; its folders in _tenant.yaml: ",
    ),
    "a folder by dots": (
        lambda s: _local(s, str(s.data / ".." / "beta" / "in")),
        "data/beta/in'; its folders",
    ),
    "a folder that begins in the same way": (
        lambda s: _local(s, f"{s.data}2"),
        "data/acme2'; its folders",
    ),
    "a folder that is a link": (_link_to_beta, "data/acme/out', which leads to"),
    "a variable that is not its own": (
        lambda s: _own(s, secret_access_key="env:BETA_SECRET"),
        "tenant 'acme' must not use the variable BETA_SECRET; "
        "its variables in _tenant.yaml: ACME_*",
    ),
    "a variable as the region": (
        lambda s: _own(s, region="env:OTHER_SECRET"),
        "must not use the variable OTHER_SECRET",
    ),
    "a variable as the endpoint": (
        lambda s: _own(s, endpoint_url="env:OTHER_SECRET"),
        "must not use the variable OTHER_SECRET",
    ),
    "a secret file": (
        lambda s: _own(s, secret_access_key=f"file:{s.root / 'secrets' / 'beta'}"),
        "tenant 'acme' must not use the file",
    ),
    "a secret file by dots": (
        lambda s: _own(s, secret_access_key=f"file:{s.secrets}/../beta"),
        "tenant 'acme' must not use the file",
    ),
    "a secret file by a link": (_secret_by_link, "must not use the file key; its secret_folders"),
    "a profile of the worker": (
        lambda s: s.s3("s3://acme/in", "own", profile="admin"),
        "tenant 'acme' must not use this profile; its profiles in _tenant.yaml: none",
    ),
    "the worker's own credentials, sent to its own endpoint": (
        lambda s: s.s3("s3://acme/in", "own", endpoint_url="https://evil.example"),
        "tenant 'acme' must not use the worker's own credentials",
    ),
    "a spec file that is a link to another's": (
        lambda s: _link(s.specs / "acme" / "new.yaml", s.specs / "beta" / "orders.yaml"),
        "is a link out of the folder of tenant 'acme'",
    ),
    "connections that are a link to another's": (
        lambda s: (
            s.s3("s3://acme/in", "landing"),
            s.write("beta/_connections.yaml", landing={"type": "s3", **KEYS}),
            _link(s.specs / "acme" / "_connections.yaml", s.specs / "beta" / "_connections.yaml"),
        ),
        "is a link out of the folder of tenant 'acme'",
    ),
    "a folder of the root's own name": (
        lambda s: s.spec("default/new.yaml", "lake.acme.new"),
        "its folder 'default' would have the rights of the specs at the root",
    ),
    "a folder that nobody allowed": (
        lambda s: s.spec("gamma/new.yaml", "lake.acme.new", url=str(s.data)),
        "tenant 'gamma' has no good entry in _tenant.yaml",
    ),
    "a sensor with the name of one of the root's": (
        lambda s: (
            s.spec("acme__new.yaml", "lake.main.new"),
            s.spec("acme/new.yaml", "lake.acme.new", url=str(s.data)),
        ),
        "would both be the sensors and schedules acme__new_*",
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_way_out_of_a_tenant_is_refused_by_name_and_breaks_nothing_else(
    site: Site, way: str
) -> None:
    go, said = WAYS[way]
    go(site)
    specs = site.load()
    assert _ids(specs) >= GOOD
    assert [spec.path.name for spec in specs.broken] == ["new.yaml"]
    assert said in "\n".join(map(str, specs.faults))
    # Without the file all tenants are one trust domain.
    (site.specs / "_tenant.yaml").unlink()
    assert not any("tenant 'acme' may not" in str(fault) for fault in site.load().faults)


def test_what_is_allowed_is_loaded(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_KEY", "id")
    site.s3(
        "s3://shared/acme/in/", "own",
        **KEYS | {"secret_access_key": f"file:{site.secrets / 'key'}"},
    )  # fmt: skip
    site.spec("acme/deep.yaml", "lake.acme.deep.er", url="../../data/acme/in")
    specs = site.load()
    assert specs.faults == ()
    assert _ids(specs) == GOOD | {"acme/new", "acme/deep"}
    assert specs.connections.get("acme", "own").resolve().secret_access_key is not None


def test_a_secret_file_is_looked_at_again_when_it_is_read(site: Site) -> None:
    key = site.secrets / "late"
    key.write_text("own-secret")
    site.s3("s3://acme/in", "own", **KEYS | {"secret_access_key": f"file:{key}"})
    connection = site.load().connections.get("acme", "own")
    key.unlink()
    key.symlink_to(site.root / "secrets" / "beta")
    with pytest.raises(SpecError, match="is not in a folder of this tenant's secrets"):
        connection.resolve({"ACME_KEY": "id"})


def _files(site: Site) -> dict[str, str | None]:
    (loaded,) = (spec for spec in site.load().specs if spec.ingestion_id == "acme/orders")
    source = open_source(loaded.spec, None, loaded.fence)
    return {ref.relative_path: ref.unusable for page in source.list_pages() for ref in page}


@pytest.mark.parametrize("follow", [False, True])
def test_links_in_a_landing_folder_are_not_followed_unless_they_are_allowed(
    site: Site, follow: bool
) -> None:
    site.allow(follow_links=follow)
    landing = site.data / "in"
    (landing / "a.csv").write_text("id\n1\n")
    (site.data / "inside.csv").write_text("id\n2\n")
    (site.other / "in" / "b.csv").write_text("id\n3\n")
    _link(landing / "inside.csv", site.data / "inside.csv")
    _link(landing / "beta.csv", site.other / "in" / "b.csv")
    _link(landing / "passwd.csv", Path("/etc/passwd"))
    _link(landing / "folder", site.other / "in")
    _link(landing / "nowhere.csv", site.data / "no")
    found = _files(site)
    assert set(found) == {"a.csv", "inside.csv", "beta.csv", "passwd.csv"}
    assert found["a.csv"] is None
    for name, reason in found.items():
        if name in ("beta.csv", "passwd.csv"):
            said = "out of the folders of tenant 'acme'" if follow else "it is a link"
            assert reason is not None
            assert said in reason
    assert (found["inside.csv"] is None) == follow
    # Without the file they are followed, as before.
    (site.specs / "_tenant.yaml").unlink()
    assert set(_files(site).values()) == {None}


def test_a_file_that_gives_way_to_a_link_is_not_read(site: Site) -> None:
    file = site.data / "in" / "a.csv"
    file.write_text("id\n1\n")
    (loaded,) = (spec for spec in site.load().specs if spec.ingestion_id == "acme/orders")
    source = open_source(loaded.spec, None, loaded.fence)
    ((ref,),) = source.list_pages()
    file.unlink()
    file.symlink_to("/etc/passwd")
    with pytest.raises(FileChanged, match="gave way to a link"):
        source.open(ref)
    looked = source.stat([ref.path])[ref.path]
    assert looked is None or looked.version != ref.version
    (site.data / "in").rename(site.data / "was")
    (site.data / "in").symlink_to("/etc")
    with pytest.raises(SourceAccessDenied, match="out of the folders of tenant 'acme'"):
        list(source.list_pages())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("acme: [", "not valid YAML"),
        ("- acme", "is not a list of tenants"),
        ("acme: {namespaces: lake.acme}", "acme.namespaces"),
        ("acme: {namespace: [lake.acme]}", "'namespace' is not a key here"),
        ("acme: {namespaces: [lake]}", "'lake' is not catalog.namespace"),
        ("acme: {namespaces: [lake.source]}", "'source' is a name of Dagster's assets"),
        ("acme: {folders: [/]}", "'/' is not an absolute folder"),
        ("acme: {folders: [data]}", "'data' is not an absolute folder"),
        ("acme: {variables: ['*']}", "'*' is not a variable"),
        ("acme: {buckets: ['s3://']}", "'s3://' is not a bucket"),
        ("acme: all", "is not a section"),
        ("a__b: {}", "'a__b' is not a name"),
        ("default: {}", "names the specs at the root"),
        ("acme: " + "[" * 31, "has more than 30 levels"),
        (
            "acme: {namespaces: [lake.acme]}\nbeta: {namespaces: [pond.acme.in]}",
            "'lake.acme' and 'pond.acme.in' of tenant 'beta' meet",
        ),
    ],
)
def test_a_broken_tenant_file_allows_nothing(site: Site, content: str, said: str) -> None:
    (site.specs / "_tenant.yaml").write_text(content)
    specs = site.load()
    assert _ids(specs) == {"default/root"}
    assert said in "\n".join(map(str, specs.tenants.faults))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("checks: [" + "a," * 120_000 + "]", "has more than 20,000 keys and values"),
        ("checks: " + "[" * 150 + "a," * 100_000 + "]" * 150, "has more than 30 levels"),
        ("#" * (256 << 10) + "\n", "is larger than 256 KiB"),
        ("".join(f"key{number}: 1\n" for number in range(9_000)), "these are the first 100"),
        ("name: a\n" * 9_000, "these are the first 100"),
        ("".join(f"k{n}: {{type: s4}}\n" for n in range(4_500)), "these are the first 100"),
    ],
)
@pytest.mark.parametrize("name", ["new.yaml", "_connections.yaml"])
def test_a_huge_file_of_a_tenant_is_broken_alone(
    site: Site, name: str, content: str, said: str
) -> None:
    (site.specs / "acme" / name).write_text(content)
    specs = site.load()
    assert _ids(specs) == GOOD
    assert said in "\n".join(map(str, specs.faults))
    assert len(specs.faults) <= 101


def test_a_link_in_a_circle_breaks_no_other_spec(site: Site) -> None:
    for folder in (site.specs, site.specs / "acme"):
        (folder / "loop.yaml").symlink_to(folder / "loop.yaml")
        (folder / "loop").symlink_to(folder / "loop")
    specs = site.load()
    assert _ids(specs) == GOOD
    assert {broken.path.name for broken in specs.broken} == {"loop.yaml"}


def test_more_specs_than_a_tenant_may_have_are_not_read_and_are_named(site: Site) -> None:
    # With the spec that is there: ten, thirty, and thirty-one.
    for number in range(30):
        (site.specs / "acme" / f"z{number:02}.yaml").write_text("{broken")
    site.allow(max_specs=1)
    specs = site.load()
    assert _ids(specs) == GOOD
    assert len(specs.broken) == 20
    said = "is not read, because tenant 'acme' has 31 spec files and may have 1 (max_specs in"
    assert all(said in str(fault) for fault in specs.faults)
    assert "z19.yaml  is not read" in str(specs.faults[-1])
    assert str(specs.faults[-1]).endswith("; nor are 10 more files after it")
    with pytest.raises(SpecError, match=r"z00' is broken:\n.*is not read, because"):
        specs.get("acme/z00")
    # What the state knows of them is not taken for that of deleted specs.
    assert {"acme/z00", "acme/z29", "acme/orders"} <= specs.specs[0].named_ingestions
    assert specs.unread == {"acme"}

    site.allow(max_specs=31)
    assert all("is not read" not in str(fault) for fault in site.load().faults)
    site.allow(max_specs=0)
    assert "max_specs" in str(site.load().faults[0])
    (site.specs / "_tenant.yaml").unlink()
    assert len(site.load().broken) == 30, "without the file nobody is limited"


def test_the_state_of_a_spec_that_is_perhaps_there_is_not_handed_over(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(30):
        (site.specs / "acme" / f"z{number:02}.yaml").write_text("{broken")
    site.allow(max_specs=1)
    monkeypatch.setenv("AUTOLOADER_SPECS_DIR", str(site.specs))
    monkeypatch.setenv("AUTOLOADER_HOME", str(site.specs.parent / "home"))
    assert main(["adopt", "acme/orders", "--from", "acme/gone", "--yes"]) == 2
    assert "acme/gone has perhaps a spec of its own" in capsys.readouterr().err


def test_a_tenant_cannot_allow_itself_anything(site: Site) -> None:
    site.write("acme/_tenant.yaml", acme={"namespaces": ["lake.beta"]})
    specs = site.load()
    assert _ids(specs) == GOOD
    assert "has no effect" in str(specs.faults[0])


def test_a_tenant_file_in_a_folder_without_specs_is_named(site: Site) -> None:
    site.write("gamma/_tenant.yaml", gamma={"namespaces": ["lake.gamma"]})
    specs = site.load()
    assert _ids(specs) == GOOD
    (fault,) = specs.faults
    assert fault.file == site.specs / "gamma" / "_tenant.yaml"
    assert "has no effect" in str(fault)


def test_a_folder_of_the_roots_own_name_does_not_change_the_roots_connections(
    tmp_path: Path,
) -> None:
    source = {"type": "s3", "url": "s3://in/x", "connection": "landing"}
    for folder, key in (("", "OPERATOR"), ("default/", "STRANGER")):
        (tmp_path / folder).mkdir(exist_ok=True)
        entry = {"type": "s3", "access_key_id": f"env:{key}", "secret_access_key": f"env:{key}"}
        (tmp_path / folder / "_connections.yaml").write_text(yaml.safe_dump({"landing": entry}))
        spec = {"source": source, "format": {"type": "csv"}, "table": {"name": f"lake.a.{key}"}}
        spec["table"] = {"name": f"lake.a.{key.lower()}"}
        (tmp_path / folder / f"{key.lower()}.yaml").write_text(yaml.safe_dump(spec))
    specs = load_specs(tmp_path)
    key_id = specs.connections.get("default", "landing").settings.access_key_id
    assert key_id is not None
    assert key_id.where == "OPERATOR"
    assert "landing is a connection of the root" in "\n".join(map(str, specs.faults))


def test_validate_names_what_a_tenant_may_not(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AUTOLOADER_SPECS_DIR", str(site.specs))
    assert main(["validate"]) == 0
    _local(site, "/etc")
    assert main(["validate"]) == 1
    out, err = capsys.readouterr()
    assert "must not read '/etc'" in " ".join((out + err).split())


@pytest.mark.parametrize("region", ["a/b", "x" * 40, "eu west"])
def test_a_variable_that_is_no_region_is_not_shown(tmp_path: Path, region: str) -> None:
    (tmp_path / "_connections.yaml").write_text("landing: {type: s3, region: env:OTHER}\n")
    with pytest.raises(SpecError, match=r"region \(env:OTHER\) is not a region") as refused:
        load_specs(tmp_path).connections.get("default", "landing").resolve({"OTHER": region})
    assert region not in str(refused.value)


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize(
    "name", ["_tenant.yml", "_tenants.yaml", "_tenants.yml", "_Tenant.yaml", "_TENANT.YML"]
)
def test_a_misspelled_tenant_file_allows_nothing(site: Site, name: str, beside: bool) -> None:
    right = site.specs / "_tenant.yaml"
    (site.specs / name).write_text(right.read_text())
    if not beside:
        right.unlink()
    specs = site.load()
    assert _ids(specs) == {"default/root"}
    (fault,) = specs.tenants.faults
    assert fault.file == site.specs / name
    assert "rename it to _tenant.yaml, or remove it" in fault.message


def test_a_misspelled_tenant_file_in_a_tenants_folder_is_a_fault(site: Site) -> None:
    site.write("acme/_tenants.yml", acme={"namespaces": ["lake.beta"]})
    specs = site.load()
    assert _ids(specs) == GOOD
    assert "_tenants.yml  has no effect" in str(specs.faults[0])


@pytest.mark.parametrize("name", ["_connections.yml", "_connection.yaml", "_Connections.yaml"])
@pytest.mark.parametrize("folder", ["", "acme"])
def test_a_misspelled_file_of_connections_is_a_fault_and_gives_way_to_no_other(
    site: Site, name: str, folder: str
) -> None:
    site.s3("s3://acme/in", "landing")
    wrong = site.specs / folder / name
    if folder:
        wrong.write_text((site.specs / "_connections.yaml").read_text())
    else:
        (site.specs / "_connections.yaml").rename(wrong)
    specs = site.load()
    assert _ids(specs) == GOOD
    (fault,) = specs.connections.faults
    assert fault.file == wrong
    assert fault.message == "is not read; rename it to _connections.yaml"
    (broken,) = specs.broken
    assert "connection 'landing' cannot be used" in str(broken.faults[0])
