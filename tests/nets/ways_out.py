"""Specs of a tenant that try to get out of it, and a judge that shares no code with the boundary.

``script/soak --tenants --minutes 10 --seed 7`` draws them until the time is over.
"""

import argparse
import os
import posixpath
import random
import shutil
import sys
import tempfile
import time
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import yaml

from autoloader_dagster.sources.local.kind import LocalSource
from autoloader_dagster.sources.registry import open_source
from autoloader_dagster.specs.loader import load_specs
from autoloader_dagster.specs.spec_set import LoadedSpec, SpecSet

_KEYS = {"access_key_id": "env:ACME_KEY", "secret_access_key": "env:ACME_SECRET"}
_GOOD = {"default/root", "beta/orders"}
_ALIKE = {"a": "\u0430", "c": "\u0441", "e": "\uff45", "m": "\u217f", "/": "\u2215", ".": "\uff0e"}


class Site:
    """The operator's specs, a good tenant ``beta``, and ``acme`` with what it is allowed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.specs = root / "specs"
        self.data, self.other = root / "data" / "acme", root / "data" / "beta"
        self.secrets, self.foreign = root / "secrets" / "acme", root / "secrets" / "beta"
        for folder in (self.data / "in", self.other / "in", self.secrets, self.foreign):
            folder.mkdir(parents=True)
            (folder / "a.csv").write_text("id\n1\n")
        (root / "data" / "acme2").mkdir()
        self.namespaces, self.buckets = ["lake.acme"], ["s3://acme", "s3://shared/acme/"]
        self.variables = ["ACME_*", "SHARED_KEY"]
        self.profiles = ["acme"]
        self.follow_links = False

    def write(self, name: str, content: Any) -> None:
        path = self.specs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")

    def write_rest(self) -> None:
        """The operator's files, and those of the good tenant."""
        acme = {
            "namespaces": self.namespaces, "buckets": self.buckets, "folders": [str(self.data)],
            "variables": self.variables, "secret_folders": [str(self.secrets)],
            "profiles": self.profiles, "follow_links": self.follow_links,
        }  # fmt: skip
        beta = {"namespaces": ["lake.beta"], "folders": [str(self.other)]}
        self.write("_tenant.yaml", {"acme": acme, "beta": beta})
        self.write("_connections.yaml", {"landing": {"type": "s3", **_KEYS}})
        self.write("root.yaml", _spec("lake.main.root", {"type": "local", "url": "/in"}))
        source = {"type": "local", "url": str(self.other / "in")}
        self.write("beta/orders.yaml", _spec("lake.beta.orders", source))


def _spec(table: str, source: dict[str, Any], **properties: str) -> dict[str, Any]:
    named: dict[str, Any] = {"name": table}
    if properties:
        named["properties"] = properties
    return {"source": source, "format": {"type": "csv"}, "table": named}


def _twisted(rng: random.Random, text: str) -> str:
    """The text, or what looks like it or may be taken for it."""
    ways = rng.choices(range(12), k=rng.choice((0, 0, 0, 0, 1, 1, 2)))
    for way in ways:
        at = rng.randrange(len(text) + 1)
        slash = rng.choice([n for n, each in enumerate(text) if each == "/"] or [len(text)])
        if way == 0:
            text = text.swapcase()
        elif way == 1:
            text = f"{text[:at]}{text[at : at + 1].upper()}{text[at + 1 :]}"
        elif way == 2:
            text = text[:at] + "".join(_ALIKE.get(c, c) for c in text[at : at + 1]) + text[at + 1 :]
        elif way == 3:
            text += rng.choice(
                ("/", "//", ".", "/.", "/..", " ", "%", "%00", "\t", "/*", "2", "_2")
            )
        elif way == 4:
            dots = rng.choice(("..", ".", "", "%2e%2e", "..%2f", "..."))
            text = f"{text[:slash]}/{dots}{text[slash:]}"
        elif way == 5:
            text = text.replace("/", rng.choice(("%2F", "//", "\\", "/./", "%252f")), 1)
        elif way == 6:
            text += "/../" + rng.choice(("beta", "beta/in", "acme", "acme2"))
        elif way == 7:
            text = text.replace("acme", rng.choice(("beta", "acme2", "acm", "acme.", "main")), 1)
        elif way == 8:
            text = rng.choice((" ", ".", "/", "./", "~/", "~root/", "file:", "\u200b")) + text
        elif way == 9:
            text = unicodedata.normalize(
                rng.choice(("NFD", "NFKC")), text.replace("a", "\u00e1", 1)
            )
        elif way == 10:
            text = text.replace(".", rng.choice(("..", "\u3002", "`.`", "%2E")), 1)
        else:
            text = (
                text[:at]
                + rng.choice(("\u200b", "\u00ad", "{a,b}", "*", "?", "$HOME", "@", ":"))
                + text[at:]
            )
    return text


def _link(path: Path, target: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not os.path.lexists(path):
        path.symlink_to(target)


def _draw(rng: random.Random, site: Site, number: int) -> None:
    """One spec of acme, perhaps with links and a connection."""
    name = f"s{number}"
    table = (
        _twisted(rng, rng.choice(("lake.acme", "lake.acme", "lake.acme.deep", "lake.beta")))
        + f".{name}"
    )
    properties = {}
    if rng.random() < 0.1:
        key = rng.choice(("write.data.path", "Write.Metadata.Path", "location", "commit.retry.n"))
        properties[_twisted(rng, key)] = "/x"
    if rng.random() < 0.55:
        folders = [site.data, site.data / "in", site.other / "in", site.root / "data", Path("/etc")]
        url = str(rng.choice(folders))
        if rng.random() < 0.3:
            links = (site.data / f"link{number}", site.specs / "acme" / f"link{number}")
            link = rng.choice(links)
            _link(link, rng.choice((url, "../beta", "../../data/beta/in", "in", "/")))
            url = rng.choice((str(link), f"{link}/..", f"{link}/in", f"link{number}"))
        source = {"type": "local", "url": _twisted(rng, url)}
        if rng.random() < 0.3:
            targets = (str(site.other / "in" / "a.csv"), "/etc/passwd", str(site.data / "in/a.csv"))
            _link(site.data / "in" / f"l{number}.csv", rng.choice(targets))
    else:
        url = rng.choice(("s3://acme/in", "s3://shared/acme/in", "s3a://acme", "s3://shared/beta"))
        source = {"type": "s3", "url": _twisted(rng, url)}
        if rng.random() < 0.7:
            source["connection"] = rng.choice(("landing", name))
    site.write(f"acme/{name}.yaml", _spec(table, source, **properties))


def _draw_connections(rng: random.Random, site: Site, count: int) -> None:
    entries = {}
    for number in range(count):
        entry: dict[str, Any] = {"type": "s3"}
        for key in ("access_key_id", "secret_access_key"):
            entry[key] = _secret(rng, site, number)
        if rng.random() < 0.3:
            entry["endpoint_url"] = rng.choice(
                ("https://evil.example", f"env:{_twisted(rng, 'ACME_URL')}", "env:BETA_KEY")
            )
        if rng.random() < 0.2:
            entry["region"] = f"env:{_twisted(rng, rng.choice(('ACME_X', 'BETA_X')))}"
        if rng.random() < 0.25:
            entry = {"type": "s3", "profile": _twisted(rng, rng.choice(("acme", "admin")))}
        elif rng.random() < 0.1:
            entry = {"type": "s3", "endpoint_url": "https://evil.example"}
        entries[f"s{number}"] = entry
    site.write("acme/_connections.yaml", entries)


def _secret(rng: random.Random, site: Site, number: int) -> str:
    if rng.random() < 0.5:
        names = ("ACME_KEY", "SHARED_KEY", "BETA_KEY", "AWS_SECRET_ACCESS_KEY", "ACME")
        return f"env:{_twisted(rng, rng.choice(names))}"
    path = str(rng.choice((site.secrets, site.foreign)) / "a.csv")
    if rng.random() < 0.3:
        _link(site.specs / "acme" / f"key{number}", path)
        path = f"key{number}"
    return f"file:{_twisted(rng, path)}"


def _within(path: str, folders: list[Path]) -> bool:
    real = Path(path).resolve()
    return any(real.is_relative_to(folder.resolve()) for folder in folders)


def _plain(text: str) -> str:
    """What a program that is kind to its users might make of a text."""
    for _ in range(3):
        text = unquote(text)
    return unicodedata.normalize("NFKC", text).casefold().strip()


def reaches(spec: LoadedSpec, specs: SpecSet, site: Site) -> list[str]:
    """What a loaded spec of acme touches that the operator did not allow."""
    found: list[str] = []
    parts = spec.spec.table.name.split(".")
    if parts[:2] != ["lake", "acme"] or _plain(".".join(parts)).split(".")[:2] != parts[:2]:
        found.append(f"table {spec.spec.table.name}")
    for key in spec.spec.table.properties:
        if any(word in _plain(key) for word in ("path", "location")):
            found.append(f"property {key}")
    source = spec.spec.source
    if isinstance(source, LocalSource):
        if not _within(source.url, [site.data]):
            return [*found, f"folder {source.url}"]
        try:
            refs = [
                ref
                for page in open_source(spec.spec, None, spec.fence).list_pages()
                for ref in page
            ]
        except Exception:  # a folder that is not there
            return found
        for ref in refs:
            if not ref.unusable and not _within(ref.path, [site.data]):
                found.append(f"file {ref.path}")
            # Of two slashes at the beginning one is left out in the files' paths.
            root = "/" + source.url.lstrip("/")
            plain = os.path.realpath(root) + ref.path.removeprefix(root)
            if not ref.unusable and not site.follow_links and os.path.realpath(ref.path) != plain:
                found.append(f"link {ref.path} of {source.url}")
        return found
    bucket, _, key = source.url.removeprefix("s3://").partition("/")
    for read in (key, posixpath.normpath("/" + _plain(key)).lstrip("/"), _plain(key)):
        allowed = bucket == "acme" or (bucket == "shared" and f"{read}/".startswith("acme/"))
        if not allowed or "/../" in f"/{read}/":
            found.append(f"bucket {source.url} as {bucket}/{read}")
    if source.connection and source.connection != "landing":
        found += _of_connection(specs, source.connection, site)
    return found


def _of_connection(specs: SpecSet, name: str, site: Site) -> list[str]:
    written = yaml.safe_load((site.specs / "acme" / "_connections.yaml").read_text("utf-8"))[name]
    found: list[str] = []
    for value in written.values():
        kind, _, where = str(value).partition(":")
        if kind == "env" and not (where == "SHARED_KEY" or where.startswith("ACME_")):
            found.append(f"variable {where}")
        if kind == "file":
            path = os.path.join(site.specs / "acme", os.path.expanduser(where))  # noqa: PTH111, PTH118
            if not _within(path, [site.secrets, site.specs / "acme"]):
                found.append(f"secret file {where}")
    if written.get("profile", "acme") != "acme":
        found.append(f"profile {written['profile']}")
    if not ({"access_key_id", "profile"} & set(written)):
        found.append("the worker's own credentials")
    return found


def check(
    seed: int, number: int, folder: Path, tally: Counter[str], *, unguarded: bool = False
) -> list[str]:
    """Draw one site; what got out of it, or was broken by it.

    Args:
        seed: With the number, what is drawn.
        number: Of the site.
        folder: For the site; emptied first.
        tally: Counts sites, specs, and those that passed.
        unguarded: Leave ``_tenant.yaml`` out, to see whether the net finds anything.
    """
    rng = random.Random(f"{seed}/{number}")
    shutil.rmtree(folder, ignore_errors=True)
    site = Site(folder)
    site.follow_links = rng.random() < 0.5
    site.write_rest()
    if unguarded:
        (site.specs / "_tenant.yaml").unlink()
    count = 12
    for each in range(count):
        _draw(rng, site, each)
    _draw_connections(rng, site, count)
    specs = load_specs(site.specs)
    ids = {spec.ingestion_id for spec in specs.specs}
    wrong = [f"site {seed}/{number}: {name} is broken" for name in _GOOD - ids]
    for spec in specs.specs:
        if spec.tenant == "acme":
            wrong += [
                f"site {seed}/{number}, {spec.path.name}: {each}"
                for each in reaches(spec, specs, site)
            ]
    tally["sites"] += 1
    tally["specs"] += count
    tally["passed"] += len(ids) - len(_GOOD & ids)
    for broken in specs.broken:
        wrong += [f"site {seed}/{number}: {broken.path.name} has no fault"] * (not broken.faults)
    return wrong


def main() -> int:
    """Draw sites until the time is over; exit 1 if anything got out."""
    parser = argparse.ArgumentParser(prog="script/soak --tenants", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    end, number, tally = time.monotonic() + options.minutes * 60, 0, Counter[str]()
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() < end and len(wrong) < 20:
            wrong += check(options.seed, number, Path(folder) / "site", tally)
            number += 1
    counts = f"{tally['sites']} sites, {tally['specs']} specs, {tally['passed']} allowed"
    told = f"{counts}, {len(wrong)} wrong"
    sys.stdout.write("\n".join([*wrong, told]) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
