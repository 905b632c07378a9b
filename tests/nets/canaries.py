"""Canary secrets of every shape in each place that takes one, through the paths of errors.

``script/soak --secrets --minutes 10 --seed 7`` draws them until the time is over; ``--seed 7/46
--cases 1`` draws one case again.
"""

import argparse
import base64
import contextlib
import html
import io
import json
import logging
import os
import random
import re
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote, quote_plus

import dagster as dg

from autoloader_dagster import redaction
from autoloader_dagster.cli.app import main as autoloader
from autoloader_dagster.orchestration.resources import SparkConnectResource
from autoloader_dagster.settings import Settings
from tests.fixtures.spark import settings_for
from tests.nets.error_paths import environment, ticks_and_runs, write_specs
from tests.nets.talkative import SERVERS, Talkative

# The parts of a secret; each * becomes a canary of its own, so that a piece of it is found too.
_SHAPES = [
    "*", "*/*+*=", "*'*", '*"*', "*'\"*", "*\\*", "*\\n*", "*&<*>", "*%*", "*%2F*", "*%2f*%3D",
    "*%%41{env}$HOME*", "*\u00e9*\u4e2d\U0001f511*", "*\u00a0*", "*\u2028*", "*\x85*", "* *",
    "*  *", "*\n*", "*\r\n*", "*\t*", "*\x1b[31m*", "*\x7f*", "*.*", "(*)+[*]?{*}", "^*$", "*|*",
    "*\\d*\\", "*;*", "*?*#*", "*@*", "*:*", "*://u:*@h/*", '{"k": "*"}', "'*'", '"*"', "*==",
    "*-*_*", "-----BEGIN KEY-----\n*\n*\n-----END KEY-----", "***", "\\x*", "\\u00e9*", "n*", "F*",
    "*\ufffd*", "\ufeff*", "*,*", "*\\\\*", "*\\'*", "*``*",
]  # fmt: skip
# They are also elsewhere in what the program says; it must go on saying something.
_WORDS = ["orders", "landing", "source", "SPARK_REMOTE", "127.0.0.1", "connection", "Bearer"]


KINDS = ("connection", "database", "spark", "catalog")

# Settings of a Spark server that hold a secret.
_SPARK_SETTINGS = (
    ("lake.uri", "jdbc:postgresql://cat:5432/ice?user=me&password={}"),
    ("lake.uri", "jdbc:postgresql://cat:5432/ice?user=me@x&password={}&ssl=true"),
    ("lake.uri", "jdbc:postgresql://me:{}@cat:5432/ice"),
    ("lake.uri", "jdbc:sqlserver://cat:1433;user=me;password={};encrypt=true"),
    ("lake.uri", "jdbc:oracle:thin:me/{}@//cat:1521/ice"),
    ("lake.jdbc.password", "{}"),
    ("lake.credential", "me:{}"),
    ("lake.token", "{}"),
    ("lake.header.Authorization", "Bearer {}"),
    ("lake.s3.secret-access-key", "{}"),
)


@dataclass(frozen=True)
class Secret:
    """A secret, and the canaries in it that must be seen nowhere; none in a word."""

    text: str
    canaries: tuple[str, ...]


def draw_secret(rng: random.Random) -> Secret:
    """A secret of some shape: short, long, very long, or a word that is elsewhere too."""
    if rng.random() < 0.04:
        return Secret(rng.choice(_WORDS), ())
    digits = rng.choice((10, 14, 24))
    shape = rng.choice(_SHAPES) if rng.random() < 0.8 else _joined_shape(rng)
    canaries: list[str] = []

    def canary(_: object) -> str:
        canaries.append(f"{rng.getrandbits(4 * digits):0{digits}x}")
        return canaries[-1]

    text = re.sub(r"\*", canary, shape)
    if rng.random() < 0.05:
        text += "x" * 10_000 + canary(None)
    return Secret(text, tuple(canaries))


def _joined_shape(rng: random.Random) -> str:
    return "".join(rng.choice(_SHAPES) for _ in range(rng.randint(2, 3)))


def draw_secrets(rng: random.Random, count: int) -> list[Secret]:
    """Secrets of one process; one may be the beginning or a part of another one."""
    secrets = [draw_secret(rng) for _ in range(count)]
    for at in range(1, count):
        if rng.random() < 0.3:
            first, own = secrets[at - 1], draw_secret(rng)
            between = rng.choice(("", "/", "+", "-", "=", "%"))
            pair = [first.text, own.text] if rng.random() < 0.7 else [own.text, first.text]
            secrets[at] = Secret(between.join(pair), first.canaries + own.canaries)
    return secrets


def _lower_quote(text: str) -> str:
    return re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), quote(text, safe=""))


# How libraries write what they repeat.
FORMS: dict[str, Callable[[str], str]] = {
    "raw": lambda text: text,
    "repr": lambda text: repr(text),
    "repr in other quotes": lambda text: repr(f"\"'{text}'\""),
    "ascii": ascii,
    "bytes": lambda text: repr(text.encode("utf-8", "surrogateescape")),
    "json": json.dumps,
    "json, not ascii": lambda text: json.dumps({"k": [text]}, ensure_ascii=False),
    "in a line of json": lambda text: json.dumps(f"failed\n{text}\n"),
    "quote": lambda text: quote(text, safe="", errors="surrogateescape"),
    "quote a path": lambda text: quote(f"/x/{text}", errors="surrogateescape"),
    "quote_plus": lambda text: quote_plus(text, errors="surrogateescape"),
    "quote, lower case": _lower_quote,
    "html": html.escape,
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 of a login": lambda text: base64.b64encode(f"user:{text}".encode()).decode(),
    "base64 for addresses": lambda text: base64.urlsafe_b64encode(f"u:{text}".encode()).decode(),
    "base64 in lines": lambda text: base64.encodebytes(f"u:{text}".encode()).decode().strip(),
    "base64 of json": lambda text: base64.b64encode(json.dumps({"k": text}).encode()).decode(),
    "hex": lambda text: f"u:{text}".encode().hex(),
    "json, slashes escaped": lambda text: json.dumps(text).replace("/", "\\/"),
    "unicode_escape": lambda text: text.encode("unicode_escape").decode(),
}


def shown_as(rng: random.Random, text: str) -> str:
    """The text in one of the forms, or in a form of a form; it is coded twice at most."""
    coded = 0
    for name in rng.choices(list(FORMS), k=rng.choice((1, 1, 2, 3))):
        coded += _is_coded(name)
        if coded <= 2 or not _is_coded(name):
            text = FORMS[name](text)
    return text


def _is_coded(name: str) -> bool:
    return name.startswith(("base64", "hex"))


def seen(secret: Secret, text: str) -> bool:
    """Whether a canary is in a text: as it is, split by blanks or line breaks, or in base64."""
    together = re.sub(r"\s|\\+[rnt]|[│┃|]", "", text)
    return any(
        form in text or form in together for canary in secret.canaries for form in _coded(canary)
    )


@lru_cache(maxsize=1000)
def _coded(canary: str) -> list[str]:
    """The canary as it is, coded, and coded twice."""
    once = _coded_once(canary)
    return [canary, *once, *(twice for each in once for twice in _coded_once(each))]


def _coded_once(text: str) -> list[str]:
    found = [text.encode().hex()]
    for skipped in range(3):
        code = base64.b64encode(b"\0" * skipped + text.encode()).decode()
        # Only the characters that nothing beside the text has a part in.
        found.append(code[-(-skipped * 8 // 6) : (skipped + len(text)) * 8 // 6])
    return found


@dataclass
class Tally:
    """What was driven, and what was seen."""

    cases: Counter[tuple[str, str]] = field(default_factory=Counter)
    hits: Counter[tuple[str, str]] = field(default_factory=Counter)
    found: list[str] = field(default_factory=list)
    drawn: int = 0

    def table(self) -> str:
        """A line for each place of a secret and each path, and a last one for all."""
        lines = [f"{'secret in':<22} {'seen through':<22} {'cases':>7} {'hits':>5}"]
        for (place, path), cases in sorted(self.cases.items()):
            lines.append(f"{place:<22} {path:<22} {cases:>7} {self.hits[place, path]:>5}")
        lines.append(f"{'all':<45} {self.cases.total():>7} {self.hits.total():>5}")
        return "\n".join(lines)


class Net:
    """Draws secrets, drives the paths, and looks at everything that was shown.

    Args:
        folder: For specs, secret files and homes.
        seed: What is drawn first.
        number: The number of the first case.
        blind: Leave redaction out, to see whether the net finds anything.
    """

    def __init__(self, folder: Path, seed: int, *, number: int = 0, blind: bool = False) -> None:
        self.tally = Tally()
        self._folder, self._seed, self._blind = folder, seed, blind
        self._stack = ExitStack()
        self._number = number
        self._servers: dict[str, Talkative] = {}

    def __enter__(self) -> "Net":
        home = self._folder / "dagster"
        home.mkdir()
        self._instance = self._stack.enter_context(dg.DagsterInstance.local_temp(str(home)))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def next(self, kinds: tuple[str, ...] = KINDS) -> None:
        """One case, drawn by the seed and its number."""
        rng = random.Random(f"{self._seed}/{self._number}")
        kind = kinds[self._number % len(kinds)]
        self._number += 1
        with _own_memory(self._blind):
            {
                "connection": self._connection, "database": self._database, "spark": self._spark,
                "catalog": self._catalog,
            }[kind](rng)  # fmt: skip

    def _server(self, name: str) -> Talkative:
        if name not in self._servers:
            self._servers[name] = self._stack.enter_context(SERVERS[name]())
        return self._servers[name]

    def _judge(self, place: str, path: str, secrets: list[Secret], texts: list[str]) -> None:
        self.tally.cases[place, path] += 1
        for secret in secrets:
            text = next((text for text in texts if seen(secret, text)), None)
            if text is not None:
                self.tally.hits[place, path] += 1
                self.tally.found.append(
                    f"case {self._seed}/{self._number - 1}, {place}, {path}: "
                    f"{secret.text[:200]!r} in {_around(secret, text)}"
                )
                return

    def _connection(self, rng: random.Random) -> None:
        fields = ["access_key_id", "secret_access_key", "session_token"]
        secrets = draw_secrets(rng, 3)
        specs = self._folder / "specs"
        connection, variables = {}, {}
        specs.mkdir(exist_ok=True)
        for number, (name, secret) in enumerate(zip(fields, secrets, strict=True)):
            if rng.random() < 0.5:
                # A variable holds no NUL, and a file is read as UTF-8.
                variables[f"CANARY_{number}"] = secret.text
                connection[name] = f"env:CANARY_{number}"
            else:
                (specs / f"key{number}").write_text(f"{secret.text}\n", encoding="utf-8")
                connection[name] = f"file:key{number}"
        server = self._server("store")
        server.text = rng.choice((html.escape, str))(_repeated(rng, secrets))
        endpoint = rng.choice((server.port, server.port, 9))
        connection["endpoint_url"] = f"http://127.0.0.1:{endpoint}"
        url = rng.choice(("s3://landing/in/", "s3://land_ing!/in/", "s3://landing/"))
        if rng.random() < 0.3:
            clean = re.sub(r"[^\x20-\x7e]|[:@?]", "", secrets[0].text)[:500] or "x"
            url = rng.choice((f"s3://landing/{clean}/", f"s3://{clean}/in/"))
            # A spec names what the operator wrote there himself, unless it is the secret.
            secrets = secrets[1:] if clean != secrets[0].text else secrets
            if any(each in url for secret in secrets for each in secret.canaries):
                url = "s3://landing/in/"
        write_specs(specs, connection, url)
        place = "a connection"
        with self._site(**variables) as settings:
            command = rng.choice(("files", "preview", "run", "doctor", "validate", "status"))
            arguments = [command] + (["orders"] if command in ("files", "preview", "run") else [])
            self._judge(place, f"autoloader {command}", secrets, [self._terminal(arguments)])
            if self._number % 8 == 1:
                settings = replace(settings, specs_dir=specs)
                shown = self._ticks_and_runs(settings)
                self._judge(place, "ticks, runs, GraphQL", secrets, shown)

    def _database(self, rng: random.Random) -> None:
        (secret,) = draw_secrets(rng, 1)
        server = self._server("postgresql")
        server.text = _repeated(rng, [secret])
        port = rng.choice((server.port, server.port, 1))
        # As a person should write it, and as one might.
        written = rng.choice((quote(secret.text, safe=""), secret.text))
        url = rng.choice(
            (
                f"postgresql://me:{written}@127.0.0.1:{port}/state",
                f"postgresql://me:{written}@127.0.0.1:{port}/state?application_name=x",
                f"postgresql://me@127.0.0.1:{port}/state?password={written}",
                f"postgresql+psycopg://me:{written}@127.0.0.1:{port}/state",
                f"postgres://me:{written}@127.0.0.1:{port}/state",
                f"mysql://me:{written}@127.0.0.1:{port}/state",
            )
        )
        write_specs(self._folder / "specs", {"anonymous": True}, "s3://landing/in/")
        with self._site(AUTOLOADER_DATABASE_URL=url) as settings:
            command = rng.choice(("status", "history", "run", "doctor", "files", "db upgrade"))
            arguments = command.split() + (["orders"] if command in ("history", "run") else [])
            shown = self._terminal(arguments)
            self._judge("the database's address", f"autoloader {command}", [secret], [shown])
            if self._number % 24 == 2:
                settings = replace(settings, specs_dir=self._folder / "specs")
                told = self._ticks_and_runs(settings)
                self._judge("the database's address", "ticks, runs, GraphQL", [secret], told)

    def _spark(self, rng: random.Random) -> None:
        (secret,) = draw_secrets(rng, 1)
        server = self._server("spark")
        server.text = ascii(_repeated(rng, [secret]))[1:-1]
        port = rng.choice((server.port, 1))
        written = rng.choice((secret.text, quote(secret.text, safe=""), quote(secret.text)))
        remote = rng.choice(
            (
                f"sc://127.0.0.1:{port}/;token={written}",
                f"sc://127.0.0.1:{port};token={written}",
                f"sc://127.0.0.1:{port}/;x-key={written}",
                f"sc://127.0.0.1:{port}/;use_ssl=false;x-key={written};user_id=me",
                f"sc://127.0.0.1:{port}/;Token={written}",
                f"sc://127.0.0.1:{port}/token={written}",
                f"sc://me:{written}@127.0.0.1:{port}",
                f"https://me:{written}@127.0.0.1:{port}/;token=abc",
                f"127.0.0.1:{port}/;token={written}",
            )
        )
        write_specs(self._folder / "specs", {"anonymous": True}, "s3://landing/in/")
        with self._site(SPARK_REMOTE=remote):
            command = rng.choice(("query", "query", "doctor", "spark status", "run"))
            rest = {"query": ["select 1"], "run": ["orders"]}.get(command, [])
            shown = self._terminal([*command.split(), *rest])
            self._judge("SPARK_REMOTE", f"autoloader {command}", [secret], [shown])
        with self._site():
            try:
                with SparkConnectResource(remote=remote).session():
                    pass
            except Exception as error:
                told = "".join(traceback.format_exception(redaction.strike_error(error)))
            else:
                raise AssertionError("a server that refuses everything gave a session")
            self._judge("SPARK_REMOTE", "the resource's error", [secret], [told])

    def _catalog(self, rng: random.Random) -> None:
        """A secret among the settings of a Spark server, which repeats it when it fails."""
        (secret,) = draw_secrets(rng, 1)
        while len(secret.text) > 1000:  # what a server cuts is not known as a secret
            (secret,) = draw_secrets(rng, 1)
        # A setting is one line, and its value has no blanks around it.
        text = re.sub(r"[\r\n\x85\u2028]", "-", secret.text).strip()
        key, pattern = rng.choice(_SPARK_SETTINGS)
        address = "uri" in key
        # In an address it is written as it must be; some drivers take it as it is.
        written = quote(text, safe=rng.choice(("", "/+="))) if address else text
        value = pattern.format(written)
        server = self._server("spark without catalog")
        server.conf = {"spark.app.name": "theirs", f"spark.sql.catalog.{key}": value}
        variables = {"SPARK_REMOTE": f"sc://127.0.0.1:{server.port}"}
        place, shown = "a server's settings", value
        if not address or rng.random() < 0.5:
            # A server hides it from its clients, but the file may be here.
            conf = self._folder / "spark.conf"
            escaped = value.replace("\\", "\\\\")
            conf.write_text(f"spark.sql.catalog.{key} {escaped}\n", encoding="utf-8")
            variables["AUTOLOADER_SPARK_CONF"] = str(conf)
            place, shown = "AUTOLOADER_SPARK_CONF", rng.choice((value, text, written))
            shown = shown_as(rng, shown)
        server.text = ascii(f"Failed to connect: {shown}")[1:-1]
        write_specs(self._folder / "specs", {"anonymous": True}, "s3://landing/in/")
        with self._site(**variables):
            told = self._terminal(["query", "select * from lake.a.b"])
            self._judge(place, "autoloader query", [secret], [told])
            try:
                with SparkConnectResource(remote=variables["SPARK_REMOTE"]).session() as session:
                    session.sql("select * from lake.a.b").collect()
            except Exception as error:
                told = "".join(traceback.format_exception(redaction.strike_error(error)))
            else:
                raise AssertionError("a server without a catalog answered")
            self._judge(place, "the resource's error", [secret], [told])

    @contextmanager
    def _site(self, **variables: str) -> Iterator:
        home = self._folder / "home"
        base = {
            "AUTOLOADER_HOME": str(home),
            "AUTOLOADER_SPECS_DIR": str(self._folder / "specs"),
            "DAGSTER_HOME": "",
            "AUTOLOADER_DEBUG": "1",
            "COLUMNS": "80",
            "SPARK_REMOTE": "",
            "AWS_MAX_ATTEMPTS": "1",
        }
        # A variable holds no NUL, and none of ours has one.
        with environment(base | variables):
            yield settings_for(home)

    def _ticks_and_runs(self, settings: Settings) -> list[str]:
        """What they leave in Dagster, and what they log."""
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            shown = ticks_and_runs(settings, self._instance)
        assert "STEP_FAILURE" in out.getvalue(), "Dagster logged no failure"
        return [*shown, out.getvalue()]

    def _terminal(self, arguments: list[str]) -> str:
        """What a command shows, with the log of all libraries."""
        out = io.StringIO()
        handler = logging.StreamHandler(out)
        logging.getLogger("autoloader_dagster").addHandler(handler)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
                autoloader(arguments)
        finally:
            logging.getLogger("autoloader_dagster").removeHandler(handler)
        assert out.getvalue().strip(), f"{arguments} showed nothing"
        return out.getvalue()


def _repeated(rng: random.Random, secrets: list[Secret]) -> str:
    return " ".join(f"refused {shown_as(rng, secret.text)} here" for secret in secrets)


def _around(secret: Secret, text: str) -> str:
    places = [text.find(form) for canary in secret.canaries for form in _coded(canary)]
    at = max(min((place for place in places if place >= 0), default=0) - 150, 0)
    return repr(text[at : at + 400])


@contextmanager
def _own_memory(blind: bool) -> Iterator[None]:
    """Remember no secret of an earlier case; blind: none at all."""
    before = redaction._memory
    redaction._memory = redaction._Memory()
    if blind:
        redaction._memory.add = lambda secret: None
    try:
        yield
    finally:
        redaction._memory = before


def main() -> int:
    """Draw cases until the time is over; exit 1 if a secret was seen."""
    parser = argparse.ArgumentParser(prog="script/soak --secrets", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", default="1", help="7, or 7/46 to begin with its case 46")
    parser.add_argument("--cases", type=int, default=sys.maxsize, help="at most so many")
    options = parser.parse_args()
    seed, _, first = options.seed.partition("/")
    warnings.simplefilter("ignore")
    began, number, broken = time.monotonic(), int(first or 0), 0
    with ExitStack() as stack:
        tell = stack.enter_context(_own_lines_alone())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        net = stack.enter_context(Net(folder, int(seed), number=number))
        tally = net.tally
        while time.monotonic() < began + options.minutes * 60 and tally.drawn < options.cases:
            before = len(tally.found)
            try:
                net.next()
            except Exception:
                broken += 1
                tell(f"case {seed}/{number} broke:\n{traceback.format_exc()}")
            for hit in tally.found[before:]:
                tell(f"HIT {hit}\nagain: script/soak --secrets --seed {seed}/{number} --cases 1")
            tally.drawn += 1
            number += 1
            if tally.drawn % 100 == 0:
                minutes = (time.monotonic() - began) / 60
                tell(f"{tally.drawn} cases, {len(tally.found)} hits, {minutes:.1f} minutes")
        tell(f"{tally.table()}\n{tally.drawn} cases of seed {seed}, {broken} broke")
    return 1 if tally.found or broken else 0


@contextmanager
def _own_lines_alone() -> Iterator[Callable[[str], None]]:
    """Gives what writes a line to the terminal; whatever else is written there is dropped."""
    with os.fdopen(os.dup(1), "w") as terminal, Path(os.devnull).open("w") as nothing:
        kept = os.dup(2)
        # gRPC writes there by itself.
        os.dup2(nothing.fileno(), 2)

        def tell(line: str) -> None:
            terminal.write(f"{line}\n")
            terminal.flush()

        try:
            with contextlib.redirect_stdout(nothing), contextlib.redirect_stderr(nothing):
                yield tell
        finally:
            os.dup2(kept, 2)
            os.close(kept)


if __name__ == "__main__":
    sys.exit(main())
