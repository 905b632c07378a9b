"""Loads thousands of generated files in one load and compares the table with an oracle's word.

A group is one spec and the files that are loaded by it together, because a load costs seconds and
a file in it a millisecond. What differs is run again in smaller groups until one small file is left
that shows it alone; it is kept in ``finds`` and replayed by the suite.
"""

import base64
import gzip
import hashlib
import itertools
import json
import secrets
import warnings
import zlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from autoloader_dagster.errors import AutoloaderError
from autoloader_dagster.loading.ingestion import Ingestion
from tests.differential.data_files import read_rows
from tests.differential.expectation import Expected, Found, difference
from tests.fixtures.json_lines import lines_apart
from tests.fixtures.lake import LINEAGE, Lake, iceberg_table
from tests.fixtures.s3 import S3Bucket
from tests.integration.s3_steps import s3_ingestion

FINDS = Path(__file__).parent / "finds"

# The spec's parts, the file's bytes as they are on disk, column -> type -> what must become of it.
Oracle = Callable[[Mapping[str, Any], bytes, Mapping[str, str]], Expected]


@dataclass(frozen=True)
class Group:
    """Files that are loaded by one spec.

    Attributes:
        format: ``csv``, ``json`` or ``parquet``; names the oracle.
        spec: The spec's parts besides source and table: ``format``, ``schema``, ``errors``, …
        files: What each file holds.
        suffix: Of their names.
        label: For messages.
    """

    format: str
    spec: Mapping[str, Any]
    files: Sequence[bytes]
    suffix: str = ""
    label: str = ""


@dataclass(frozen=True)
class Find:
    """A file that is not what the oracle expects.

    Attributes:
        group: With this file first; alone if it differs alone.
        what: The difference.
    """

    group: Group
    what: str

    def __str__(self) -> str:
        data = self.group.files[0]
        shown = repr(data[:400]) + (f" … ({len(data):,} bytes)" if len(data) > 400 else "")
        return f"{self.group.label} {dict(self.group.spec)}\n  {shown}\n  {self.what}"


@dataclass
class Bench:
    """Where groups are loaded: a lake, and a bucket if the files are to be in S3.

    Attributes:
        json_apart: Whether Python workers take JSON lines apart, however few they are.
    """

    lake: Lake
    oracles: Mapping[str, Oracle]
    bucket: S3Bucket | None = None
    json_apart: bool = False
    loads: int = 0
    files: int = 0
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    def differences(self, group: Group) -> dict[int, str]:
        """Load a group; the number of each file that differs, with what is different."""
        try:
            return self._differences(group)
        except AutoloaderError as error:
            failed = str(error)
            if len(group.files) == 1:
                return {0: f"the load failed: {failed}"}
        # No single file may stop the others, so this is a find in itself.
        halves: dict[int, str] = {}
        middle = len(group.files) // 2
        for start, some in ((0, group.files[:middle]), (middle, group.files[middle:])):
            for i, what in self.differences(replace(group, files=some)).items():
                halves[start + i] = what
        return halves or {0: f"the load failed, but not of either half of its files: {failed}"}

    def finds(self, groups: Sequence[Group], shrink: bool = True) -> list[Find]:
        """Load the groups; one find a kind of difference, as small as can be."""
        found: list[Find] = []
        for group in groups:
            kinds: dict[str, tuple[int, str]] = {}
            for i, what in self.differences(group).items():
                kind = what[:14]
                if kind not in kinds or len(group.files[i]) < len(group.files[kinds[kind][0]]):
                    kinds[kind] = (i, what)
            for i, what in kinds.values():
                alone = replace(group, files=[group.files[i]])
                if len(group.files) > 1 and not self.differences(alone):
                    others = [f for j, f in enumerate(group.files) if j != i]
                    found.append(Find(replace(group, files=[*alone.files, *others]), what))
                    continue
                find = Find(alone, what)
                found.append(self.shrunk(find) if shrink else find)
        return found

    def shrunk(self, find: Find, rounds: int = 12) -> Find:
        """The smallest file with a difference that is reached by taking parts out of this one."""
        for _ in range(rounds):
            smaller = _smaller(find.group.files[0])
            differ = self.differences(replace(find.group, files=smaller)) if smaller else {}
            if not differ:
                return find
            best = min(differ, key=lambda i: len(smaller[i]))
            find = Find(replace(find.group, files=[smaller[best]]), differ[best])
        return find

    def _differences(self, group: Group) -> dict[int, str]:
        ingestion, paths = self._placed(group)
        with warnings.catch_warnings(), lines_apart() if self.json_apart else nullcontext():
            warnings.simplefilter("ignore")
            self.lake.load(ingestion)
        self.loads += 1
        self.files += len(paths)
        types, rows = self._table(ingestion)
        states = {f.file_path: f for f in self.lake.store.files.find(ingestion.id)}
        oracle, differ = self.oracles[group.format], {}
        for i, path in enumerate(paths):
            state = states[path]
            found = Found(
                state.status,
                f"{state.error_type}: {state.reason}" if state.error_type else "",
                rows.get(path, ()),
                (state.rows or 0, state.bad_rows or 0),
            )
            expected = oracle(group.spec, group.files[i], types)
            what = difference(expected, found)
            if what:
                differ[i] = what
        return differ

    def _placed(self, group: Group) -> tuple[Ingestion, list[str]]:
        name = f"g{next(self._numbers)}_{secrets.token_hex(3)}"
        names = [f"{i:05d}{group.suffix}" for i in range(len(group.files))]
        if self.bucket is not None:
            below = f"{name}/"
            self.bucket.put_many(
                {below + n: data for n, data in zip(names, group.files, strict=True)}
            )
            paths = [f"s3://{self.bucket.name}/{below}{n}" for n in names]
            return s3_ingestion(self.lake, self.bucket, name, below, **group.spec), paths
        folder = self.lake.folder(name)
        for n, data in zip(names, group.files, strict=True):
            (folder / n).write_bytes(data)
        source = {"type": "local", "url": str(folder)}
        return (
            self.lake.ingestion(name, source=source, **group.spec),
            [str(folder / n) for n in names],
        )

    def _table(
        self, ingestion: Ingestion
    ) -> tuple[dict[str, str], dict[str, list[tuple[dict[str, Any], str | None]]]]:
        """Column -> Arrow type, and the rows of each file."""
        try:
            with iceberg_table(self.lake.settings, ingestion.spec.table.name) as table:
                kinds, columns = read_rows(table)
        except Exception as error:  # pyiceberg's own; without good files there is no table
            if type(error).__name__ != "NoSuchTableError":
                raise
            return {}, {}
        types = {name: kind for name, kind in kinds.items() if name not in LINEAGE}
        rows: dict[str, list[tuple[dict[str, Any], str | None]]] = defaultdict(list)
        lists = {name: columns[name] for name in types}
        files, texts = columns["_source_file"], columns["_rescued"]
        for i, (path, rescued) in enumerate(zip(files, texts, strict=True)):
            rows[path].append(({n: c[i] for n, c in lists.items() if c[i] is not None}, rescued))
        return types, rows


def _smaller(data: bytes) -> list[bytes]:
    """Files with one part less, the smallest first."""
    try:
        plain = gzip.decompress(data)
    except (OSError, EOFError, zlib.error):
        plain = data
    found = []
    size = max(len(plain) // 2, 1)
    while size and len(found) < 150:
        for start in range(0, len(plain), size):
            found.append(plain[:start] + plain[start + size :])
        size //= 2
    found = sorted(set(found) - {plain}, key=len)
    return [gzip.compress(f, mtime=0) for f in found] if plain is not data else found


def keep(find: Find, folder: Path = FINDS) -> Path:
    """Write a find as a regression file."""
    data = find.group.files[0]
    text = json.dumps(
        {
            "format": find.group.format,
            "spec": find.group.spec,
            "suffix": find.group.suffix,
            "data": base64.b64encode(data).decode(),
            # Those without which it does not differ.
            "others": [base64.b64encode(other).decode() for other in find.group.files[1:]],
            "shown": repr(data[:200]),
            "found": find.what[:500],
        },
        indent=1,
        default=str,
    )
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{find.group.format}_{hashlib.sha256(text.encode()).hexdigest()[:10]}.json"
    (folder / name).write_text(text + "\n")
    return folder / name


def kept(format_name: str, folder: Path = FINDS) -> list[Group]:
    """All finds that were kept, grouped so that those of one spec share a load."""
    groups: dict[str, Group] = {}
    for path in sorted(folder.glob(f"{format_name}_*.json")):
        find = json.loads(path.read_text())
        others = find.get("others", [])
        own = path.name if others else ""
        key = json.dumps([find["spec"], find["suffix"], own], sort_keys=True)
        group = groups.get(key) or Group(
            format_name, find["spec"], [], find["suffix"], f"kept {path.name}"
        )
        files = [base64.b64decode(data) for data in (find["data"], *others)]
        groups[key] = replace(group, files=[*group.files, *files])
    return list(groups.values())


def together(groups: Sequence[Group]) -> list[Group]:
    """Join groups whose specs are equal."""
    joined: dict[str, Group] = {}
    for group in groups:
        key = json.dumps([group.format, group.spec, group.suffix], sort_keys=True, default=str)
        have = joined.get(key)
        joined[key] = replace(have, files=[*have.files, *group.files]) if have else group
    return list(joined.values())
