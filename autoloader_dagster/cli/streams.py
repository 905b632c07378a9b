"""Standard streams whose faults have names: the reader is gone, the stream is closed, no room."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, TextIO, cast

from autoloader_dagster.errors import UsageError


class ReaderGone(Exception):
    """The program that reads stdout has ended, as ``head`` does when it has enough."""


class _Output:
    """Passes text on to stdout until that fails once; the error is raised once.

    Typer and Rich end a program with exit code 1 when they meet a ``BrokenPipeError``, so it must
    not reach them under that name.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._failed = False

    def write(self, text: str) -> int:
        self._attempt(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._attempt(self._stream.flush)

    def _attempt(self, call: Callable[[], Any]) -> None:
        if self._failed:
            return
        try:
            call()
        except UnicodeEncodeError as error:
            self._failed = True
            self._discard()
            raise UsageError(
                "the output cannot be written to stdout: its encoding "
                f"{error.encoding} has no {error.object[error.start]!a}",
                "Set PYTHONIOENCODING=utf-8.",
            ) from error
        except OSError as error:
            self._failed = True
            self._discard()
            if isinstance(error, BrokenPipeError):
                raise ReaderGone from error
            raise UsageError(
                f"the output cannot be written to stdout: {error.strerror or error}",
                "Check where stdout goes: it may be closed, or its disk may be full.",
            ) from error

    def _discard(self) -> None:
        """Throw away what is not written yet, because Python would try again at its end."""
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Messages:
    """Passes text on to stderr. If nobody can be told, the exit code still tells."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            return self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def standard_streams() -> Iterator[None]:
    """Within, stdin, stdout and stderr exist, and what stdout cannot take is an error with a name.

    Raises:
        ReaderGone: The reader of stdout has ended.
        UsageError: Stdout is closed, or there is no room where it goes.
    """
    before = sys.stdin, sys.stdout, sys.stderr
    # In this order, so that each one gets the number that it must have. A database that is opened
    # later would get it otherwise, and what is printed would be written into the database.
    sys.stdin = before[0] or _opened(os.O_RDONLY, "r")
    # Whatever is written to it fails, as if it were still closed.
    sys.stdout = cast(TextIO, _Output(before[1] or _opened(os.O_RDONLY, "w")))
    sys.stderr = cast(TextIO, _Messages(before[2] or _opened(os.O_WRONLY, "w")))
    try:
        # A character that the terminal does not have is no reason to show nothing.
        with _errors("backslashreplace"):
            yield
    finally:
        sys.stdin, sys.stdout, sys.stderr = before


def has_all_characters(stream: TextIO) -> bool:
    """Whether the encoding of a stream has every character; a stream without one takes them all."""
    return (stream.encoding or "utf-8").lower().replace("_", "-").startswith("utf")


def characters_as_they_are() -> AbstractContextManager[None]:
    """Within, a character that the encoding of stdout lacks is an error.

    Raises:
        UsageError: There was one.
    """
    return _errors("strict")


@contextmanager
def _errors(handler: str) -> Iterator[None]:
    """Have stdout treat so what its encoding lacks, if it lacks anything."""
    stream: Any = sys.stdout
    if has_all_characters(stream) or not hasattr(stream, "reconfigure"):
        yield
        return
    before = stream.errors
    stream.reconfigure(errors=handler)
    try:
        yield
    finally:
        with suppress(OSError, ValueError):
            stream.reconfigure(errors=before)


def _opened(flags: int, mode: str) -> TextIO:
    descriptor = os.open(os.devnull, flags)
    os.set_inheritable(descriptor, True)
    return cast(TextIO, os.fdopen(descriptor, mode))
