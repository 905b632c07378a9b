"""``deploy/cluster-test`` itself: what it prints, and that nothing of it is left."""

import json
import shlex
import signal
import subprocess
import threading
from pathlib import Path

import psutil
import pytest

from tests.fixtures.cluster_places import VARIABLE
from tests.fixtures.project import ROOT, wait_for

_SECONDS = 180


@pytest.mark.whole_cluster
def test_ctrl_c_ends_every_process_and_removes_the_files() -> None:
    command = [str(ROOT / "deploy" / "cluster-test"), "--workers", "1", "up"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as up:
        giving_up = threading.Timer(_SECONDS, up.kill)
        giving_up.start()
        try:
            assert up.stdout is not None
            printed = []
            while not (line := up.stdout.readline()).startswith("# web pages"):
                assert line, "it has ended"
                printed.append(line)
            exports = dict(
                shlex.split(each)[1].split("=", 1) for each in printed if each.startswith("export ")
            )
            assert exports["SPARK_REMOTE"].startswith("sc://127.0.0.")
            root = Path(json.loads(exports[VARIABLE])["client"]).parent
            assert {"SparkConnectServer", "Master", "Worker"} <= _classes(root)
            up.send_signal(signal.SIGINT)
            assert up.wait(60) == 130
        finally:
            giving_up.cancel()
            up.terminate()
    wait_for(lambda: not _classes(root), 30, "the executors to end")
    assert not root.exists()


def _classes(root: Path) -> set[str]:
    """The last parts of the class names of the Java processes of a cluster."""
    found: set[str] = set()
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if str(root) in " ".join(words):
            found |= {word.rsplit(".", 1)[-1] for word in words if word.startswith("org.apache")}
    return found
