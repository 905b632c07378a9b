"""F19: canaries in every field of a credential; whatever fails, none is seen anywhere after."""

import secrets
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tests.fixtures.project import Project
from tests.fixtures.s3 import S3Bucket

CLI = "autoloader_dagster.cli.app"


def _canary(what: str) -> str:
    return f"canary{what}{secrets.token_hex(8)}"


def _found(canaries: dict[str, str], places: list[Path], texts: dict[str, str]) -> list[str]:
    found = [
        f"{what} in {name}"
        for name, text in texts.items()
        for what, canary in canaries.items()
        if canary in text
    ]
    for place in places:
        for path in place.rglob("*"):
            if path.is_file() and not path.is_symlink():
                content = path.read_bytes()
                found += [f"{w} in {path}" for w, c in canaries.items() if c.encode() in content]
    return found


@pytest.mark.timeout(300)
def test_no_secret_is_seen_whatever_fails(
    project: Project, s3_bucket: S3Bucket, postgres_database_url: str
) -> None:
    canaries = {
        "the access key": _canary("key"),
        "the secret key": _canary("secret"),
        "the session token": _canary("token"),
        "the database's password": _canary("password"),
    }
    server, _, database = postgres_database_url.rpartition("/")
    user = f"u_{secrets.token_hex(4)}"
    with psycopg.connect(postgres_database_url, autocommit=True) as admin:
        password = canaries["the database's password"]
        admin.execute(f"CREATE ROLE {user} LOGIN SUPERUSER PASSWORD '{password}'")
    address = server.rpartition("@")[2]
    project.environ |= {
        "AUTOLOADER_DATABASE_URL": f"postgresql://{user}:{password}@{address}/{database}",
        "LANDING_KEY": canaries["the access key"],
        "LANDING_SECRET": canaries["the secret key"],
        "LANDING_TOKEN": canaries["the session token"],
    }
    connection = {
        "type": "s3",
        "endpoint_url": s3_bucket.server.endpoint,
        "access_key_id": "env:LANDING_KEY",
        "secret_access_key": "env:LANDING_SECRET",
        "session_token": "env:LANDING_TOKEN",
    }
    project.write_connections(
        landing=connection, nowhere={**connection, "endpoint_url": "http://127.0.0.1:9"}
    )
    for name, bucket, via in (
        ("orders", s3_bucket.name, "landing"),
        ("lost", "no-such-bucket-there", "landing"),
        ("unreachable", s3_bucket.name, "nowhere"),
    ):
        source = {"type": "s3", "url": f"s3://{bucket}/in/", "connection": via}
        project.write_spec(name, source=source)
    s3_bucket.put("in/a.csv", b"id\n1\n2\n")
    s3_bucket.put("in/bad.csv", b"\x1f\x8b\x08nonsense")
    texts: dict[str, str] = {}

    def run(*command: str, **environ: str) -> None:
        before, project.environ = project.environ, {**project.environ, **environ}
        try:
            done = project.run(CLI, *command, check=False)
        finally:
            project.environ = before
        texts[f"{' '.join(command)} {environ.get('AUTOLOADER_FAILPOINTS', '')}"] = (
            f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        )

    run("run", "orders", AUTOLOADER_FAILPOINTS="written=raise")
    run("run", "orders")
    assert "1 file loaded" in texts["run orders "], texts["run orders "]
    for command in (
        ("run", "lost"), ("run", "unreachable"), ("preview", "orders"), ("files", "orders"),
        ("validate",), ("doctor",), ("status",), ("history", "orders"),
    ):  # fmt: skip
        run(*command)
    # The database refuses this user now.
    with psycopg.connect(postgres_database_url, autocommit=True) as admin:
        admin.execute(f"ALTER ROLE {user} PASSWORD 'another'")
        run("run", "orders")
        refused = texts.pop("run orders ")
        assert refused.startswith("exit 2"), refused
        texts["run with a refused password"] = refused
        for table in ("processed_files", "batches", "followed_tables"):
            texts[f"the table {table}"] = str(
                admin.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(table))).fetchall()
            )
        admin.execute(f"REASSIGN OWNED BY {user} TO postgres")
        admin.execute(f"DROP OWNED BY {user}")
        admin.execute(f"DROP ROLE {user}")

    table = Path(project.settings.warehouse) / project.namespace
    assert table.is_dir(), "the snapshots must be looked into as well"
    places = [project.root, table, project.settings.spark_dir / "logs"]
    assert _found({"a row": "orders"}, places, {}), "the places that are searched hold something"
    assert _found(canaries, places, texts) == []
