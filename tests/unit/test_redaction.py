"""Canary secrets of every shape: no message, log, print, tick or event shows one of them."""

import json
import logging
import secrets
import sys
import threading
import traceback
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import botocore.exceptions
import dagster as dg
import pytest
import sqlalchemy.exc
import yaml
from dagster._utils.error import serializable_error_info_from_exc_info

from autoloader_dagster.cli.app import main
from autoloader_dagster.definitions import load_definitions
from autoloader_dagster.errors import AutoloaderError, UsageError
from autoloader_dagster.orchestration import run_locks
from autoloader_dagster.orchestration.resources import SparkConnectResource
from autoloader_dagster.redaction import remember, strike, strike_error, struck_errors
from autoloader_dagster.settings import Settings
from tests.fixtures.spark import settings_for

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")


def _unique(text: str) -> str:
    return text.replace("*", secrets.token_hex(8))


SHAPES = [
    "canary*plain",
    "canary*/with+slash=",
    "canary*'\"quotes",
    "canary*\\back\\slash",
    "canary*&<xml>",
    "canary*%41{env}$HOME",
    "canary*\u00e9\u4e2d\U0001f511",
    "canary*" + "x" * 10_000,
    "\x1b[31mcanary*",
    "canary*\nnext line",
]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_secret_of_any_shape_is_struck_out_in_any_form(shape: str) -> None:
    secret = _unique(shape)
    remember(secret)
    forms = [
        secret, repr(secret), ascii(secret), repr(secret.encode()), json.dumps(secret),
        json.dumps({"a": [secret]}, ensure_ascii=False), quote(secret), quote(secret, safe=""),
    ]  # fmt: skip
    for form in forms:
        struck = strike(f"before {form} after")
        assert "canary" not in struck
        assert struck.startswith("before ")
        assert struck.endswith(" after")
    assert "canary" not in str(AutoloaderError(f"no {secret!r}", f"mend {secret}"))


def test_a_short_secret_is_a_word_and_a_very_short_one_is_none() -> None:
    remember("minio1admin")
    remember("key")
    assert strike("user minio1admin, key minio1administrator") == (
        "user ***, key minio1administrator"
    )


def _foreign(secret: str) -> list[Exception]:
    cause = ValueError(f"Invalid header value {secret.encode()!r}")
    client = botocore.exceptions.ClientError(
        {"Error": {"Code": "InvalidAccessKeyId", "Message": f"no {secret}"}}, "ListObjectsV2"
    )
    statement = sqlalchemy.exc.DBAPIError(f"SELECT '{secret}'", {"p": secret}, cause)
    wrapped = RuntimeError("outer")
    wrapped.__cause__ = KeyError(secret)
    wrapped.__cause__.__context__ = OSError(5, secret, secret)

    class Stubborn(Exception):
        def __str__(self) -> str:
            return f"I say {secret}"

    return [cause, client, statement, wrapped, Stubborn(), UnicodeDecodeError(
        "utf-8", secret.encode(), 0, 1, secret
    )]  # fmt: skip


@pytest.mark.parametrize("number", range(6))
def test_errors_of_other_packages_are_struck_with_their_causes(number: int) -> None:
    secret = _unique("canary*/'quoted'")
    remember(secret)
    error = _foreign(secret)[number]
    with pytest.raises(Exception) as caught, struck_errors():  # noqa: PT011
        raise error
    info = serializable_error_info_from_exc_info(
        (type(caught.value), caught.value, caught.value.__traceback__)
    )
    assert type(caught.value).__name__ == type(error).__name__
    shown = str(info) + "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert secret[:20] not in shown


def test_an_error_without_a_secret_stays_the_same_object() -> None:
    remember(_unique("canary*"))
    error = ValueError("plain")
    assert strike_error(error) is error
    with pytest.raises(ValueError, match="plain") as caught, struck_errors():
        raise error
    assert caught.value is error


def test_what_is_logged_and_printed_is_struck(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    secret = _unique("canary*")
    remember(secret)
    caplog.set_level(logging.DEBUG)
    logging.getLogger("some.library").debug("headers: %s", {"token": secret})
    try:
        raise ValueError(secret)
    except ValueError:
        logging.getLogger("some.library").exception("failed with %r", secret)
    print("printed", secret)  # noqa: T201
    sys.stderr.write(f"written {secret}\n")
    out, err = capsys.readouterr()
    for text in (caplog.text, out, err):
        assert "canary" not in text
    assert "printed ***" in out
    assert "written ***" in err


class _Store(BaseHTTPRequestHandler):
    """A store that refuses every request, and repeats the key in its answer."""

    def do_GET(self) -> None:
        key = self.headers["Authorization"].partition("Credential=")[2].partition("/")[0]
        message = f"<Code>InvalidAccessKeyId</Code><Message>no key {key} here</Message>"
        body = f"<?xml version='1.0'?><Error>{message}</Error>".encode()
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Store)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str) -> Settings:
    """A spec whose bucket has the secret's own name, so that every message of the source shows it.

    The secrets are in a variable and in a file.
    """
    secret = f"canary{secrets.token_hex(8)}"
    specs = tmp_path / "specs"
    specs.mkdir()
    (specs / "token.txt").write_text(f"token{secret}\n")
    (specs / "_connections.yaml").write_text(
        f"landing: {{type: s3, endpoint_url: '{store}', access_key_id: env:CANARY,\n"
        f"  secret_access_key: file:token.txt}}\n"
    )
    (specs / "orders.yaml").write_text(
        yaml.safe_dump(
            {
                "source": {"type": "s3", "url": f"s3://{secret}/in/", "connection": "landing"},
                "format": {"type": "csv"},
                "table": {"name": "lake.shop.orders"},
                "trigger": {"on_arrival": {"every": "60s"}, "schedule": "daily"},
            }
        )
    )
    environ = {
        "CANARY": secret,
        "AUTOLOADER_HOME": str(tmp_path / "home"),
        "AUTOLOADER_SPECS_DIR": str(specs),
        "DAGSTER_HOME": "",
    }
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return replace(settings_for(tmp_path / "home"), specs_dir=specs)


def test_ticks_and_runs_show_no_secret(settings: Settings, tmp_path: Path) -> None:
    definitions = load_definitions(settings)
    resources = definitions.resources or {}
    home = tmp_path / "dagster"
    home.mkdir()
    shown: list[str] = []
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        sensor = definitions.resolve_sensor_def("orders_on_arrival")
        schedule = definitions.resolve_schedule_def("orders_schedule")
        # Closed, or its resources' own instance is still the current one in a later test.
        with (
            dg.build_sensor_context(instance=instance, resources=resources) as at_sensor,
            dg.build_schedule_context(instance=instance, resources=resources) as at_schedule,
        ):
            ticks = (
                lambda: sensor.evaluate_tick(at_sensor),
                lambda: schedule.evaluate_tick(at_schedule),
            )
            for tick in ticks:
                with pytest.raises(Exception) as caught:  # noqa: PT011
                    tick()
                shown.append(str(serializable_error_info_from_exc_info(caught._excinfo)))
        result = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance, partition_key="2026-01-01", raise_on_error=False
        )
        run_locks.let_go(result.run_id)
        assert not result.success
        shown += [str(entry) for entry in instance.all_logs(result.run_id)]
    assert "***" in "".join(shown)
    assert [text for text in shown if "canary" in text] == []


@pytest.mark.parametrize(
    "arguments",
    [["files", "orders"], ["preview", "orders"], ["doctor"], ["run", "orders"]],
)
@pytest.mark.usefixtures("settings")
def test_the_terminal_shows_no_secret(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOLOADER_DEBUG", "1")
    main(arguments)
    out, err = capsys.readouterr()
    assert "***" in out + err
    assert "canary" not in out + err


# What ``openssl rand -base64 32`` and others write; ! stands for the canaries.
TOKENS = ["!/!", "!+!", "!=", "!/!=", "!%2F!", "!%2F!%3D", "!?!", "!#!", "!/?!"]


@pytest.mark.parametrize("rest", ["", ";use_ssl=false"])
@pytest.mark.parametrize("token", TOKENS)
def test_no_shape_of_a_spark_token_is_shown(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    token: str,
    rest: str,
) -> None:
    canary = f"canary{secrets.token_hex(12)}"
    parts = token.split("!")
    shaped = "".join(f"{part}{canary}{n}" for n, part in enumerate(parts[:-1])) + parts[-1]
    monkeypatch.setenv("AUTOLOADER_HOME", str(settings.home))
    for remote in (
        f"sc://127.0.0.1:1/;token={shaped}{rest}",
        f"sc://127.0.0.1:1;token={shaped}{rest}",
        f"sc://127.0.0.1:1/;x-key={shaped}{rest}",
        f"sc://127.0.0.1:1/token={shaped}{rest}",
        f"127.0.0.1:1/;token={shaped}{rest}",
    ):
        monkeypatch.setenv("SPARK_REMOTE", remote)
        assert main(["query", "select 1"]) == 2
        shown = "".join(capsys.readouterr())
        assert "SPARK_REMOTE" in shown
        assert "canary" not in shown
        raw = [sign for sign in "/?#=" if sign in shaped]
        if raw and remote.startswith("sc://127.0.0.1:1/;"):
            assert f"write {raw[0]} as %" in shown
        elif remote.startswith("sc://127.0.0.1:1/;"):
            assert "cannot be reached" in shown


def test_a_spark_token_of_a_resource_is_checked_too(settings: Settings) -> None:
    canary = f"canary{secrets.token_hex(12)}"
    resource = SparkConnectResource(remote=f"sc://127.0.0.1:1/;token={canary}/x")
    with pytest.raises(UsageError, match="write / as %2F"), resource.session():
        pass
    assert strike(f"token={canary}/x") == "token=***"
