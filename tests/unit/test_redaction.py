"""Canary secrets of every shape: no message, log, print, tick or event shows one of them."""

import base64
import contextlib
import html
import json
import logging
import random
import re
import secrets
import sqlite3
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import botocore.exceptions
import dagster as dg
import pytest
import sqlalchemy.exc
from dagster._utils.error import serializable_error_info_from_exc_info

from autoloader_dagster.cli.app import main
from autoloader_dagster.errors import AutoloaderError, UsageError
from autoloader_dagster.orchestration.resources import SparkConnectResource
from autoloader_dagster.redaction import remember, strike, strike_error, struck_errors
from autoloader_dagster.settings import Settings, check_remote, without_parameters
from autoloader_dagster.state.database import Database
from autoloader_dagster.state.failures import explain
from tests.fixtures.spark import settings_for
from tests.nets import talkative
from tests.nets.canaries import FORMS, Secret, draw_secrets, seen, shown_as
from tests.nets.error_paths import ticks_and_runs, write_specs


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
        *(form(secret) for form in FORMS.values()),
    ]  # fmt: skip
    for form in forms:
        struck = strike(f"before {form} after")
        assert not seen(Secret(secret, (secret[6:22],)), struck), form
        assert struck.startswith("before ")
        assert struck.endswith(" after")
    assert "canary" not in str(AutoloaderError(f"no {secret!r}", f"mend {secret}"))


def test_a_short_secret_is_a_word_and_a_very_short_one_is_none() -> None:
    remember("minio1admin")
    remember("key")
    assert strike("user minio1admin, key minio1administrator") == (
        "user ***, key minio1administrator"
    )


# Found by the soak: forms of forms, and base64 of more than the secret.
FOUND = [
    # 41127/448
    lambda secret: quote(json.dumps(f"failed\n{secret}\n"), safe=""),
    # 41127/614, 1002; a message that was cut shows the beginning of a long one
    lambda secret: base64.b64encode(f"u:{secret}".encode()).decode(),
    lambda secret: base64.b64encode(f"u:{secret}".encode())[:4_000].decode(),
    lambda secret: base64.encodebytes(json.dumps([secret]).encode()).decode(),
    lambda secret: json.dumps(base64.encodebytes(secret.encode()).decode()),
    lambda secret: quote(base64.b64encode(f'{{"a": {json.dumps(secret)}}}'.encode()), safe=""),
    lambda secret: base64.b64encode(base64.urlsafe_b64encode(secret.encode())).decode(),
    lambda secret: f"login {secret}".encode().hex(),
    lambda secret: quote(html.escape(quote(repr(secret)))),
    lambda secret: html.escape(json.dumps(ascii(secret))),
    lambda secret: secret.encode().decode("latin-1"),
]
HARD = [
    "\\u00e9*%2f*%3D*\u00e9*\u4e2d\U0001f511*-*\\'*'\"*;*",
    "*'\"*-----BEGIN KEY-----\n*\n*\n-----END KEY-----",
    "*" + "x" * 10_000 + "*",
    "\\\\*'\"*" + "y" * 300 + "\"*'",
    "'*\u00e9*'",
]


@pytest.mark.parametrize("shape", HARD)
@pytest.mark.parametrize("form", FOUND)
def test_a_form_of_a_form_is_struck(shape: str, form: Callable[[str], str]) -> None:
    canaries: list[str] = []

    def canary(_: object) -> str:
        canaries.append(secrets.token_hex(6))
        return canaries[-1]

    secret = re.sub(r"\*", canary, shape)
    remember(secret)
    struck = strike(f"before {form(secret)} after")
    assert not seen(Secret(secret, tuple(canaries)), struck)
    assert struck.startswith("before ")
    assert struck.endswith("after")


def test_secrets_in_a_form_of_a_form_are_struck() -> None:
    for seed in range(150):
        rng = random.Random(seed)
        drawn = draw_secrets(rng, 2)
        for secret in drawn:
            remember(secret.text)
        for secret in drawn:
            struck = strike(f"before {shown_as(rng, secret.text)} after")
            assert not seen(secret, struck), (seed, secret.text)
            assert struck.startswith("before ")
            assert struck.endswith(" after")


def test_what_is_beside_a_secret_is_left_as_it_is() -> None:
    remember("7f3Kq/9sLm+Tz4Wd=Ua1Xc")
    remember("landing2")
    text = "s3://landing/in/landing2024/part-0000.parquet YWJjZGVmZ2hpamtsbW5vcA== 2026-11-27T10:15"
    assert strike(text) == text
    login = base64.b64encode(b"the user:7f3Kq/9sLm+Tz4Wd=Ua1Xc, and the rest").decode()
    struck = strike(f"Basic {login}, 7f3Kq%2F9sLm%2BTz4Wd%3DUa1Xc and landing2.")
    assert struck.startswith(f"Basic {login[:12]}***")
    assert struck.endswith("wgYW5kIHRoZSByZXN0, *** and ***.")


def test_runs_that_seem_to_be_coded_cost_little_time() -> None:
    remember("nothing-of-this-is-here")
    texts = ["%0A" * 20_000, ("A" + "\\n" * 5_000) * 10, "A%2B" * 20_000, "&#43;" * 20_000]
    began = time.process_time()
    for text in texts:
        assert strike(text) == text
    # It took minutes where each beginning of a run was tried.
    assert time.process_time() - began < 20


@pytest.mark.parametrize(
    "shown",
    ["'ab''cd!12'", '"ab\'cd!12"', "ab&#39;cd&#033;12", "ab&#x0027;cd!12"],
)
def test_quotes_that_are_doubled_and_entities_with_zeros_are_struck(shown: str) -> None:
    remember("ab'cd!12")
    assert "cd" not in strike(f"refused {shown} here")


def test_a_large_text_and_many_secrets_cost_little_time() -> None:
    rng = random.Random(1)
    for _ in range(500):
        remember(base64.b64encode(rng.randbytes(rng.choice((12, 20, 30)))).decode())
    secret = f"{secrets.token_hex(7)}/{secrets.token_hex(7)}"
    remember(secret)
    code = base64.b64encode(rng.randbytes(200_000)).decode()
    # The first letters of a secret, and what could follow for ever.
    endless = secret[:14] + "\\" * 200_000 + "%41" * 50_000
    words = " ".join(rng.choices(["batch", "orders/part-0000.parquet", "a\\b"], k=30_000))
    began = time.process_time()
    struck = strike(f"{code} {endless} {words} {secret} end")
    assert time.process_time() - began < 5
    assert struck == f"{code} ***{endless[14:]} {words} *** end"


@pytest.mark.parametrize("between", ["/", "+", "-", "_", "%2F", "'", "x"])
def test_a_secret_that_another_one_begins_with_is_struck_whole(between: str) -> None:
    first = secrets.token_hex(7)
    rest = secrets.token_hex(7)
    remember(first)
    remember(f"{first}{between}{rest}")
    for form in (str, repr, quote):
        struck = strike(f"before {form(first + between + rest)} and {first} after")
        assert rest not in struck
        assert first not in struck


def test_a_secret_that_is_used_all_the_time_outlives_keys_that_change() -> None:
    steady = secrets.token_hex(16)
    for _ in range(2):
        remember(steady)
        for _ in range(300):
            remember(secrets.token_hex(16))
    assert strike(f"before {steady} after") == "before *** after"


def test_a_long_secret_that_was_cut_is_struck_too() -> None:
    secret = _unique("canary*/") + "x" * 2_000 + _unique("*")
    remember(secret)
    for cut in (40, 1_000, 2_000):
        assert strike(f"refused '{secret[:cut]}' here") == "refused '***' here"
        assert strike(f"refused {quote(secret, safe='')[:cut]}") == "refused ***"
    # Too little of it to tell it from a word.
    assert strike(f"refused {secret[:10]}") != "refused ***"


def test_what_follows_the_beginning_of_a_long_secret_is_left_as_it_is() -> None:
    short = _unique("canary*") + _unique("*")[:9]
    remember(short)
    remember(f"{short}={_unique('*')}{'x' * 300}")
    assert strike(f'["{short}"] here') == '["***"] here'


def test_the_line_of_an_error_that_is_shown_holds_no_part_of_a_secret() -> None:
    canaries = [secrets.token_hex(12), secrets.token_hex(12)]
    secret = f"\ufeff{canaries[0]}\\xe0{canaries[1]}n{secrets.token_hex(12)}"
    remember(secret)
    code = base64.encodebytes(f"u:{secret}".encode()).decode()
    error = explain(sqlite3.OperationalError(f"refused {code}"), "/x/state.db", None)
    assert not seen(Secret(secret, tuple(canaries)), str(error))
    assert "refused" in str(error)


def test_a_line_of_a_secret_is_struck_too() -> None:
    key = f"-----BEGIN KEY-----\n{secrets.token_hex(16)}\n{secrets.token_hex(16)}\n"
    remember(key)
    for line in key.splitlines():
        assert strike(f"before {line} after") == "before *** after"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:a@!/x@127.0.0.1:1/state",
        "postgresql://me:a@b/!@127.0.0.1:1/state",
        "postgresql://me@127.0.0.1:1/state?password=!",
        "postgresql://me@127.0.0.1:1/state?password=a://u:b@h/!",
        "postgresql://127.0.0.1:1/state?user=me&password=a@h/!",
    ],
)
def test_a_password_in_any_part_of_the_databases_address_is_not_shown(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    url: str,
) -> None:
    canary = f"canary{secrets.token_hex(12)}"
    monkeypatch.setenv("AUTOLOADER_HOME", str(settings.home))
    monkeypatch.setenv("AUTOLOADER_DATABASE_URL", url.replace("!", canary))
    assert main(["status"]) == 2
    assert "canary" not in "".join(capsys.readouterr())
    if "@h" not in url and "password=" in url:
        assert strike(canary) == "***"
    else:
        with pytest.raises(UsageError, match="has an @ in its password"):
            Database(url.replace("!", canary))


def test_a_password_before_the_spark_servers_name_is_struck() -> None:
    canary = f"canary{secrets.token_hex(12)}"
    check_remote(f"sc://me:{canary}@127.0.0.1:1")
    assert strike(f"no {canary} here") == "no *** here"


# Found by the soak: 41127/46, 686, 1018.
@pytest.mark.parametrize("between", ["\n", "\r\n", "\u2028", ";", "@", "/", "=", "\n;x=\n"])
@pytest.mark.parametrize(
    "address", ["sc://me:!@127.0.0.1:1", "https://me:!@h:1/;token=a", "me:!@h"]
)
def test_no_character_of_a_password_keeps_it_in_a_spark_servers_address(
    address: str, between: str
) -> None:
    parts = [secrets.token_hex(7), secrets.token_hex(7)]
    remote = address.replace("!", between.join(parts))
    shown = without_parameters(remote)
    with contextlib.suppress(UsageError):
        check_remote(remote)
    for part in parts:
        assert part not in shown
        assert part not in strike(f"no {remote} here")


def test_a_parameter_with_an_at_leaves_the_spark_servers_name_as_it_is() -> None:
    remote = "sc://spark.example:15002/;token=canary-with@sign;user_id=me"
    check_remote(remote)
    assert without_parameters(remote) == "sc://spark.example:15002"
    assert strike("spark.example: no canary-with@sign") == "spark.example: no ***"


def test_a_password_with_a_line_break_in_the_databases_address_is_struck() -> None:
    parts = [secrets.token_hex(7), secrets.token_hex(7)]
    Database(f"postgresql://me:{parts[0]}%41\n{parts[1]}@127.0.0.1:1/state")
    for form in ("{}%41\n{}", "{}A\n{}"):
        assert strike(f"no {form.format(*parts)} here") == "no *** here"


@pytest.mark.parametrize("between", ["&<", "&", ";", "#", "\n"])
@pytest.mark.parametrize("rest", ["", "&application_name=x"])
def test_a_password_that_ends_a_parameter_too_early_is_struck_whole(
    between: str, rest: str
) -> None:
    parts = [secrets.token_hex(7), secrets.token_hex(7)]
    written = between.join(parts)
    Database(f"postgresql://me@127.0.0.1:1/state?password={written}{rest}")
    login = base64.b64encode(f"u:'{written}'".encode()).decode()
    for text in (f"no {written} here", f"no {login} here"):
        assert not seen(Secret(written, tuple(parts)), strike(text))
    assert strike("application_name=x") == "application_name=x"


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


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    with talkative.store() as server:
        yield f"http://127.0.0.1:{server.port}"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str) -> Settings:
    """A spec whose bucket has the secret's own name, so that every message of the source shows it.

    The secrets are in a variable and in a file.
    """
    secret = f"canary{secrets.token_hex(8)}"
    specs = tmp_path / "specs"
    connection = {
        "endpoint_url": store,
        "access_key_id": "env:CANARY",
        "secret_access_key": "file:token.txt",
    }
    write_specs(specs, connection, f"s3://{secret}/in/")
    (specs / "token.txt").write_text(f"token{secret}\n")
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
    home = tmp_path / "dagster"
    home.mkdir()
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        shown = ticks_and_runs(settings, instance)
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
