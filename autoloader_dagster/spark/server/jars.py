"""The jars that Spark needs beside its own, pinned by checksum and fetched once for the user.

script/bootstrap fetches them by ``python -m autoloader_dagster.spark.server.jars``.
"""

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from autoloader_dagster.errors import AutoloaderError, SparkSetupError
from autoloader_dagster.sources.jar import Jar
from autoloader_dagster.spark.server.locks import file_lock
from autoloader_dagster.specs.registry import SOURCES, source_of

Progress = Callable[[str, int, int], None]
"""Is told the file's name, the bytes that are here, and the bytes there will be."""

# Long enough for another process to fetch everything over a slow line.
_LOCK_SECONDS = 1800
_CHUNK = 1 << 20


JARS = (
    # The newest Spark with an Iceberg runtime is 4.1; raise both together.
    Jar(
        "org.apache.iceberg:iceberg-spark-runtime-4.1_2.13:1.12.0",
        "3123c3798af642dd537230923548e013ef41cc28b6626e5225808cf5670a0f82",
        48_309_426,
    ),
    # The embedded catalog.
    Jar(
        "org.xerial:sqlite-jdbc:3.50.3.0",
        "a3f53a2aa15ae9425a9e793bbe9c8e5288febeb4b65ef5c1a4e80d4c2045cf08",
        14_346_720,
    ),
    # What the kinds of sources need; two may need the same.
    *dict.fromkeys(jar for kind in SOURCES for jar in source_of(kind).jars),
)


def ensure_jars(
    cache: Path, progress: Progress | None = None, jars: tuple[Jar, ...] = JARS
) -> list[Path]:
    """Have every jar in the cache, and answer where they are.

    A jar that is there is recognised by its size and by the checksum noted when it was verified;
    one without that note is verified again. Any number of processes may call this at once.

    Raises:
        SparkSetupError: A jar cannot be downloaded, or it is not the content that is pinned.
    """
    folder = cache / "jars"
    paths = [folder / jar.file_name for jar in jars]
    if all(_is_verified(jar, path) for jar, path in zip(jars, paths, strict=True)):
        return paths
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with file_lock(folder / ".lock", timeout=_LOCK_SECONDS):
            for jar, path in zip(jars, paths, strict=True):
                if not _is_verified(jar, path):
                    _have(jar, path, progress)
    except OSError as error:
        raise SparkSetupError(
            f"the jars cannot be kept in {folder}: {error}",
            "Make room there and give yourself the right to write, or set XDG_CACHE_HOME.",
        ) from error
    return paths


def _note(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _is_verified(jar: Jar, path: Path) -> bool:
    try:
        return path.stat().st_size == jar.size and _note(path).read_text() == jar.sha256
    except OSError:
        return False


def _have(jar: Jar, path: Path, progress: Progress | None) -> None:
    # A jar without its note may have been copied here by hand, from a machine with a network.
    if not (path.exists() and _sha256(path) == jar.sha256):
        with tempfile.TemporaryDirectory(prefix=".download-", dir=path.parent) as scratch:
            fetched = _download(jar, Path(scratch), progress)
            found = _sha256(fetched)
            if found != jar.sha256:
                raise SparkSetupError(
                    f"{jar.coordinates} has the sha256 {found}, and {jar.sha256} is pinned; "
                    "the download was deleted",
                    "Try again. If it stays so, the repository or a proxy on the way serves "
                    "something else than the release.",
                )
            fetched.replace(path)
    note = _note(path)
    fresh = note.with_name(f"{note.name}.{os.getpid()}")
    fresh.write_text(jar.sha256)
    fresh.replace(note)


def _download(jar: Jar, scratch: Path, progress: Progress | None) -> Path:
    import requests
    from jgo.config import GlobalSettings
    from jgo.maven import MavenContext, PythonResolver
    from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

    @contextmanager
    def report(_name: str, total: int) -> Iterator[Callable[[int], None]]:
        done = 0

        def add(count: int) -> None:
            nonlocal done
            done += count
            if progress:
                progress(jar.file_name, done, total)

        yield add

    def fetch() -> Path:
        # The resolver writes in place, so each try gets a folder of its own.
        context = MavenContext(
            resolver=PythonResolver(progress_callback=report),
            repo_cache=Path(tempfile.mkdtemp(dir=scratch)),
            local_repos=[],
            # A company's mirror is in jgo's own settings file.
            remote_repos=GlobalSettings.load().repositories or None,
        )
        group, artifact, version, *classifier = jar.coordinates.split(":")
        return context.project(group, artifact).at_version(version).artifact(*classifier).resolve()

    retrying = Retrying(
        retry=retry_if_exception_type(requests.RequestException),
        stop=stop_after_attempt(3),
        wait=wait_exponential(multiplier=0.5),
        reraise=True,
    )
    try:
        return retrying(fetch)
    except (requests.RequestException, RuntimeError) as error:
        raise SparkSetupError(
            f"cannot download {jar.coordinates}: {error}",
            "Connect to the network once (HTTPS_PROXY and REQUESTS_CA_BUNDLE are followed), name a "
            "mirror under [repositories] in ~/.config/jgo.conf, or copy the folder "
            f"{scratch.parent} from a machine that has it.",
        ) from error


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _print_progress() -> Progress:
    """One line a jar, with a mark for every tenth of it."""
    state = {"name": "", "tenths": 0}

    def report(name: str, done: int, total: int) -> None:
        if name != state["name"]:
            state.update(name=name, tenths=0)
            sys.stderr.write(f"  {name} ({total / 1e6:.1f} MB) ")
        while state["tenths"] < done * 10 // total:
            state["tenths"] += 1
            sys.stderr.write("." if done < total or state["tenths"] < 10 else ".\n")
        sys.stderr.flush()

    return report


def main() -> int:
    """Fetch what is missing; 0 if all is there, 2 if it cannot be had."""
    from autoloader_dagster.settings import load_settings

    try:
        ensure_jars(load_settings().cache, _print_progress())
    except AutoloaderError as error:
        sys.stderr.write(f"\n{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
