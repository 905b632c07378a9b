"""Connections: secrets are referred to and never shown, and tenants see only what is theirs."""

# ruff: noqa: E501  (the words are compared whole, and read best as a table)
import os
import threading
import traceback
from pathlib import Path

import pytest
from pydantic import SecretStr

from autoloader_dagster.errors import SpecError
from autoloader_dagster.sources.s3.connection import S3Connection
from autoloader_dagster.specs.connections import Connection, load_connections
from autoloader_dagster.specs.loader import load_specs

CANARY = "CANARY/s3cr3t+Value"
SPEC = """\
source: {type: s3, url: s3://in/x, connection: landing}
format: {type: csv}
table: {name: lake.shop.orders}
"""
LANDING = "landing: {type: s3, access_key_id: env:KEY, secret_access_key: env:SECRET}\n"


def connection(tmp_path: Path, text: str) -> Connection:
    (tmp_path / "_connections.yaml").write_text(text)
    loaded = load_connections(tmp_path, [])
    assert loaded.faults == ()
    return loaded.get("default", "landing")


def plain(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None


def faults_of(tmp_path: Path, text: str) -> list[str]:
    (tmp_path / "_connections.yaml").write_text(text)
    return [
        str(fault).split("_connections.yaml", 1)[1]
        for fault in load_connections(tmp_path, []).faults
    ]


def test_no_file_and_a_file_of_comments_are_no_connections(tmp_path: Path) -> None:
    assert load_connections(tmp_path, []).names("default") == []
    assert faults_of(tmp_path, "# none yet\n") == []


def test_keys_come_from_the_environment_and_from_files(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text(f"{CANARY}\n")
    found = connection(
        tmp_path,
        "landing:\n  type: s3\n  endpoint_url: env:URL\n  region: env:REGION\n"
        "  access_key_id: env:KEY\n  secret_access_key: file:secret.txt\n  session_token: env:TOKEN\n",
    )
    environ = {"URL": "http://127.0.0.1:9000/", "REGION": "eu-1", "KEY": "id", "TOKEN": "t"}
    resolved = found.resolve(environ)
    assert (resolved.name, resolved.endpoint_url) == ("landing", "http://127.0.0.1:9000")
    assert (resolved.region, resolved.path_style, resolved.anonymous) == ("eu-1", True, False)
    secrets = (resolved.access_key_id, resolved.secret_access_key, resolved.session_token)
    assert [plain(secret) for secret in secrets] == ["id", CANARY, "t"]
    for shown in (repr(resolved), str(resolved), f"{resolved}"):
        assert CANARY not in shown


def test_the_environment_is_read_when_the_connection_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = connection(tmp_path, LANDING)
    monkeypatch.setenv("KEY", "id")
    monkeypatch.setenv("SECRET", CANARY)
    resolved = found.resolve()
    assert plain(resolved.secret_access_key) == CANARY


def test_without_keys_the_sdk_finds_its_own(tmp_path: Path) -> None:
    resolved = connection(tmp_path, "landing: {type: s3, region: eu-1}").resolve({})
    assert resolved.access_key_id is None
    assert resolved.path_style is False
    resolved = connection(tmp_path, "landing: {type: s3, profile: p, path_style: yes}").resolve({})
    assert (resolved.profile, resolved.path_style) == ("p", True)
    assert connection(tmp_path, "landing: {type: s3, anonymous: true}").resolve({}).anonymous


@pytest.mark.parametrize(
    ("environ", "what"),
    [
        ({}, "connection 'landing': environment variable KEY is not set"),
        ({"KEY": " "}, "connection 'landing': environment variable KEY is empty"),
    ],
)
def test_a_missing_variable_is_named(tmp_path: Path, environ: dict[str, str], what: str) -> None:
    found = connection(tmp_path, LANDING)
    with pytest.raises(SpecError) as error:
        found.resolve(environ)
    assert error.value.what == what


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "is empty"),
        (CANARY.encode() + b"\xff", "is not text"),
    ],
)
def test_a_secret_file_that_cannot_be_used_is_named(
    tmp_path: Path, content: bytes | None, why: str
) -> None:
    if content is not None:
        (tmp_path / "s").write_bytes(content)
    found = connection(tmp_path, LANDING.replace("env:SECRET", "file:s"))
    with pytest.raises(SpecError) as error:
        found.resolve({"KEY": "id"})
    assert error.value.what == f"connection 'landing': file {tmp_path / 's'} {why}"
    assert CANARY not in "".join(traceback.format_exception(error.value))


def test_a_named_pipe_is_no_secret_file_and_keeps_nobody_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    found = connection(tmp_path, LANDING.replace("env:SECRET", "file:pipe"))
    refused: list[str] = []

    def resolve() -> None:
        try:
            found.resolve({"KEY": "id"})
        except SpecError as error:
            refused.append(error.what)

    thread = threading.Thread(target=resolve, daemon=True)
    thread.start()
    thread.join(20)
    assert refused == [
        f"connection 'landing': file {tmp_path / 'pipe'} cannot be read: it is not a regular file"
    ]


@pytest.mark.parametrize(
    ("path", "why"),
    [("~no_such_user/key", "a user who is not known"), ('"a\\0b"', "character that no path")],
)
def test_a_secret_file_that_nobody_can_look_up_is_a_fault(
    tmp_path: Path, path: str, why: str
) -> None:
    quoted = path.startswith('"')
    reference = f'"file:{path[1:]}' if quoted else f"file:{path}"
    text = f"a: {{type: s3, access_key_id: env:K, secret_access_key: {reference}}}"
    (tmp_path / "_connections.yaml").write_text(text)
    assert why in str(load_connections(tmp_path, []).faults[0])


@pytest.mark.parametrize(
    "inside", ["\n", "\r\n", "\t", " ", "\x00", "\x1b", "\x85", "\u2028", "\xa0"]
)
@pytest.mark.parametrize("reference", ["env:SECRET", "file:secret.txt"])
def test_a_secret_with_a_line_break_or_a_blank_is_refused_and_not_shown(
    tmp_path: Path, inside: str, reference: str
) -> None:
    broken = f"{CANARY}{inside}{CANARY}"
    (tmp_path / "secret.txt").write_bytes(broken.encode())
    found = connection(tmp_path, LANDING.replace("env:SECRET", reference))
    with pytest.raises(SpecError, match="within the secret") as refused:
        found.resolve({"KEY": "id", "SECRET": broken})
    assert reference.removeprefix("env:").removeprefix("file:") in refused.value.what
    assert CANARY not in "".join(traceback.format_exception(refused.value))


def test_an_endpoint_from_the_environment_is_checked_without_being_shown(tmp_path: Path) -> None:
    found = connection(tmp_path, "landing: {type: s3, endpoint_url: env:URL}")
    with pytest.raises(SpecError) as error:
        found.resolve({"URL": f"https://user:{CANARY}@host"})
    assert error.value.what == (
        "connection 'landing': endpoint_url (env:URL): it contains a user name or password; use "
        "access_key_id and its like"
    )
    assert CANARY not in "".join(traceback.format_exception(error.value))


REFERENCE = "must be env:NAME or file:path; secrets never belong into a file"


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        (
            "a: {type: s3, access_key_id: %s, secret_access_key: env:S}",
            f"a.access_key_id: {REFERENCE}",
        ),
        (
            "a: {type: s3, access_key_id: env:K, secret_access_key: %s}",
            f"a.secret_access_key: {REFERENCE}",
        ),
        (
            "a: {type: s3, access_key_id: env:%s, secret_access_key: env:S}",
            f"a.access_key_id: {REFERENCE}",
        ),
        (
            "a: {type: s3, access_key_id: 'file:', secret_access_key: env:S}",
            f"a.access_key_id: {REFERENCE}",
        ),
        (
            "a: {type: s3, access_key_id: 123, secret_access_key: env:S}",
            f"a.access_key_id: {REFERENCE}",
        ),
        (
            "a: {type: s3, access_key_id: [%s], secret_access_key: env:S}",
            f"a.access_key_id: {REFERENCE}",
        ),
        (
            "a: {type: s3, access_key_id: env:K}",
            "a.secret_access_key is missing; access_key_id needs it",
        ),
        (
            "a: {type: s3, secret_access_key: env:K}",
            "a.access_key_id is missing; secret_access_key needs it",
        ),
        (
            "a: {type: s3, session_token: env:K}",
            "a.access_key_id is missing; session_token needs it",
        ),
        (
            "a: {type: s3, access_key_id: env:K, secret_access_key: env:S, profile: p}",
            "a.profile: cannot be used with access_key_id; keep one of them",
        ),
        (
            "a: {type: s3, anonymous: true, profile: p}",
            "a.anonymous: cannot be used with keys or a profile; keep one of them",
        ),
        (
            "a: {type: s3, endpoint_url: 'https://user:%s@host'}",
            "a.endpoint_url: it contains a user name or password; use access_key_id and its like",
        ),
        (
            "a: {type: s3, endpoint_url: 'https://host:port/%s'}",
            "a.endpoint_url is not an address; write it like https://host:9000",
        ),
        (
            "a: {type: s3, endpoint_url: '%s'}",
            "a.endpoint_url is not an address; write it like https://host:9000",
        ),
        (
            "a: {type: s3, endpoint_url: 'https://host/%s'}",
            "a.endpoint_url holds more than scheme, host and port; leave the rest out",
        ),
        ("a: {type: s3, path_style: %s}", "a.path_style: what is here is not true or false"),
        ("a: {type: s3, region: [%s]}", "a.region: what is here is not text"),
        (
            "a: {type: s3, acces_key_id: %s}",
            "a: 'acces_key_id' is not a key here; did you mean 'access_key_id'?",
        ),
        ("a: {type: %s}", "a.type: what is here is not s3"),
        ("a: {type: azure, key: %s}", "a.type: azure is not supported yet"),
        ("a: {region: x}", "a.type is missing"),
        ("a: %s", "a is not a section; keys go below it, such as type: s3"),
        ("A-b: {type: s3}", "'A-b' is not a name in lower-case letters, digits and _"),
        ("- %s", "is not a list of connections; write 'name: {type: s3}'"),
        ("a: {type: s3, region: '%s}", "not valid YAML: a quote is opened and never closed"),
        ("a: {type: s3}\na: {type: s3, profile: %s}", "'a' is written twice, first on line 1"),
    ],
)
def test_a_fault_never_shows_what_might_be_a_secret(tmp_path: Path, entry: str, fault: str) -> None:
    text = entry.replace("%s", CANARY)
    faults = faults_of(tmp_path, text)
    assert [said.split("  ", 1)[1] for said in faults] == [fault]
    loaded = load_connections(tmp_path, [])
    assert CANARY not in repr(loaded)
    with pytest.raises(SpecError) as error:
        loaded.get("default", "a")
    assert CANARY not in "".join(traceback.format_exception(error.value))


@pytest.mark.parametrize(
    "value",
    [
        "*CANARY",
        "&CANARY x",
        "!CANARY",
        "!!CANARY x",
        "@CANARY",
        "%CANARY",
        '"\\CANARY"',
        "`CANARY",
        "a: CANARY: b",
        "{CANARY",
    ],
)
def test_a_secret_that_is_no_yaml_is_not_shown_either(tmp_path: Path, value: str) -> None:
    faults = faults_of(tmp_path, f"landing:\n  type: s3\n  secret_access_key: {value}\n")
    assert faults
    assert not any("CANARY" in fault for fault in faults)


def test_pydantic_does_not_print_a_literal_secret() -> None:
    with pytest.raises(ValueError, match="secrets never belong into a file") as error:
        S3Connection.model_validate({"type": "s3", "access_key_id": CANARY})
    assert CANARY not in "".join(traceback.format_exception(error.value))


def test_one_bad_connection_leaves_the_others_alone(tmp_path: Path) -> None:
    (tmp_path / "_connections.yaml").write_text(f"{LANDING}bad: {{type: s3, region: []}}\n")
    (tmp_path / "orders.yaml").write_text(SPEC)
    (tmp_path / "sales.yaml").write_text(SPEC.replace("landing", "bad").replace("orders", "sales"))
    loaded = load_specs(tmp_path)
    assert [spec.spec.name for spec in loaded.specs] == ["orders"]
    connections = tmp_path / "_connections.yaml"
    assert [fault.text for fault in loaded.faults] == [
        "bad.region: what is here is not text",
        f"source.connection: connection 'bad' cannot be used, for {connections} is broken",
    ]


@pytest.mark.parametrize(
    ("connections", "fault"),
    [
        ("", "'landing' is not in _connections.yaml, which names no connection yet"),
        (
            "landingzone: {type: s3}\nother: {type: s3}\n",
            "'landing' is not one of the connections in _connections.yaml: landingzone, other; did "
            "you mean 'landingzone'?",
        ),
    ],
)
def test_an_unknown_connection_is_a_fault_of_the_spec(
    tmp_path: Path, connections: str, fault: str
) -> None:
    (tmp_path / "_connections.yaml").write_text(connections)
    (tmp_path / "orders.yaml").write_text(SPEC)
    (found,) = load_specs(tmp_path).faults
    assert (found.line, found.text) == (1, f"source.connection: {fault}")


def test_a_tenant_sees_its_own_connections_and_the_roots(tmp_path: Path) -> None:
    for tenant in ("acme", "beta"):
        (tmp_path / tenant).mkdir()
    (tmp_path / "_connections.yaml").write_text("landing: {type: s3}\nopen: {type: s3}\n")
    (tmp_path / "acme" / "_connections.yaml").write_text(LANDING + "own: {type: s3}\n")
    loaded = load_connections(tmp_path, ["acme", "beta"])
    assert loaded.names("acme") == ["landing", "open", "own"]
    assert loaded.names("beta") == ["landing", "open"]
    assert loaded.get("acme", "landing").settings.access_key_id is not None
    assert loaded.get("beta", "landing").settings.access_key_id is None
    with pytest.raises(SpecError, match="'own' is not one of the connections"):
        loaded.get("beta", "own")


@pytest.mark.parametrize("text", ["landing: {type: s4}\n", "landing: [", "- landing\n"])
def test_a_tenants_broken_connection_never_gives_way_to_the_roots(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / "acme").mkdir()
    (tmp_path / "_connections.yaml").write_text("landing: {type: s3}\n")
    (tmp_path / "acme" / "_connections.yaml").write_text(text)
    with pytest.raises(
        SpecError, match=r"'landing' cannot be used, for .*acme/_connections.yaml is"
    ):
        load_connections(tmp_path, ["acme"]).get("acme", "landing")
