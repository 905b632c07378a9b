"""The jars: pinned by checksum, fetched once, by however many processes."""

import gc
import hashlib
import multiprocessing
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from autoloader_dagster.errors import SparkSetupError
from autoloader_dagster.spark.server.jars import JARS, Jar, ensure_jars

CONTENT = b"not really a jar " * 1000
PINNED = Jar("org.example:thing:1.0", hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))


class Repository:
    """A Maven repository on this machine that counts what it serves."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.served: list[str] = []
        repository = self

        class Handler(SimpleHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                repository.served.append(self.path)
                super().do_GET()

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder))
        # So that closing the server waits for what it still serves.
        self.server.daemon_threads = False
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def put(self, content: bytes, name: str = "thing-1.0.jar") -> None:
        path = self.folder / "org/example/thing/1.0" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def jars_served(self) -> int:
        return sum(path.endswith(".jar") for path in self.served)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    """A repository that the resolver's own settings name as the mirror to use."""
    repository = Repository(tmp_path / "repository")
    repository.put(CONTENT)
    use_mirror(tmp_path, monkeypatch, repository.url)
    thread = threading.Thread(target=repository.server.serve_forever)
    thread.start()
    yield repository
    repository.server.shutdown()
    repository.server.server_close()
    thread.join(timeout=10)


def use_mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    home = tmp_path / "user"
    (home / ".config").mkdir(parents=True)
    (home / ".config" / "jgo.conf").write_text(f"[repositories]\nmirror = {url}\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def test_a_jar_is_downloaded_once_and_its_progress_told(
    repository: Repository, tmp_path: Path
) -> None:
    told: list[tuple[str, int, int]] = []
    first = ensure_jars(tmp_path, lambda *step: told.append(step), (PINNED,))
    again = ensure_jars(tmp_path, None, (PINNED,))
    assert first == again == [tmp_path / "jars" / "thing-1.0.jar"]
    assert first[0].read_bytes() == CONTENT
    assert repository.jars_served() == 1
    assert told[-1] == ("thing-1.0.jar", len(CONTENT), len(CONTENT))
    left = {path.name for path in (tmp_path / "jars").iterdir()}
    assert left == {"thing-1.0.jar", "thing-1.0.jar.sha256", ".lock"}


def test_a_jar_with_a_classifier_is_another_file(repository: Repository, tmp_path: Path) -> None:
    tests = b"the tests of the thing"
    repository.put(tests, "thing-1.0-tests.jar")
    pinned = Jar(f"{PINNED.coordinates}:tests", hashlib.sha256(tests).hexdigest(), len(tests))
    paths = ensure_jars(tmp_path, None, (PINNED, pinned))
    assert [path.name for path in paths] == ["thing-1.0.jar", "thing-1.0-tests.jar"]
    assert [path.read_bytes() for path in paths] == [CONTENT, tests]


def test_another_content_is_refused_and_deleted(repository: Repository, tmp_path: Path) -> None:
    repository.put(CONTENT[:-1] + b"X")
    with pytest.raises(SparkSetupError, match=r"thing:1\.0 has the sha256 .* is pinned") as caught:
        ensure_jars(tmp_path, None, (PINNED,))
    assert "Try again" in caught.value.hint
    assert [path.name for path in (tmp_path / "jars").iterdir()] == [".lock"]


def test_a_jar_that_was_cut_short_in_the_cache_is_fetched_again(
    repository: Repository, tmp_path: Path
) -> None:
    [path] = ensure_jars(tmp_path, None, (PINNED,))
    path.write_bytes(CONTENT[:100])
    ensure_jars(tmp_path, None, (PINNED,))
    assert path.read_bytes() == CONTENT
    assert repository.jars_served() == 2


def test_a_jar_that_was_copied_by_hand_is_verified_and_used(
    repository: Repository, tmp_path: Path
) -> None:
    (tmp_path / "jars").mkdir()
    (tmp_path / "jars" / "thing-1.0.jar").write_bytes(CONTENT)
    ensure_jars(tmp_path, None, (PINNED,))
    assert repository.jars_served() == 0


def test_a_changed_pin_of_the_same_size_is_noticed(repository: Repository, tmp_path: Path) -> None:
    ensure_jars(tmp_path, None, (PINNED,))
    other = b"X" + CONTENT[1:]
    repository.put(other)
    pinned = Jar(PINNED.coordinates, hashlib.sha256(other).hexdigest(), PINNED.size)
    [path] = ensure_jars(tmp_path, None, (pinned,))
    assert path.read_bytes() == other


def test_processes_that_need_it_at_once_download_it_once(
    repository: Repository, tmp_path: Path
) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        waiting = pool.starmap_async(ensure_jars, [(tmp_path, None, (PINNED,))] * 3)
        results = waiting.get(timeout=60)
    assert results == [[tmp_path / "jars" / "thing-1.0.jar"]] * 3
    assert repository.jars_served() == 1


# The resolver leaves the refused answer open to the garbage collector, which is called for here.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_jar_that_the_repository_does_not_have_is_an_error(
    repository: Repository, tmp_path: Path
) -> None:
    missing = Jar("org.example:other:1.0", PINNED.sha256, PINNED.size)
    with pytest.raises(SparkSetupError, match=r"cannot download org\.example:other:1\.0"):
        ensure_jars(tmp_path, None, (missing,))
    gc.collect()


def test_without_a_network_the_message_says_what_to_do(tmp_path: Path) -> None:
    # By the command, as the bootstrap script calls it.
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "autoloader_dagster.spark.server.jars"],
        env={
            "HOME": str(tmp_path),
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
            "HTTPS_PROXY": "http://127.0.0.1:9",
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "cannot download org.apache.iceberg:iceberg-spark-runtime" in done.stderr
    assert "Connect to the network once" in done.stderr
    assert str(tmp_path / "cache/autoloader_dagster/jars") in done.stderr
    assert "Traceback" not in done.stderr


def test_a_cache_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "jars").write_text("a file where the folder should be")
    with pytest.raises(SparkSetupError, match="cannot be kept in"):
        ensure_jars(tmp_path, None, (PINNED,))


def test_the_pinned_jars_are_well_formed() -> None:
    for jar in JARS:
        assert re.fullmatch(r"[0-9a-f]{64}", jar.sha256)
        assert jar.coordinates.count(":") == 2
    assert len({jar.file_name for jar in JARS}) == len(JARS)
