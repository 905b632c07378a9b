"""Strikes secrets out of every text before it leaves the process.

Whoever reads a secret calls ``remember``. From then on ``strike`` takes it out of a text, in each
form in which libraries show it, and whatever this process logs or prints is struck as well. Errors
of other packages are struck by ``struck_errors``, at the edges where Dagster stores them.
"""

import contextlib
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from autoloader_dagster.coded_text import decoded
from autoloader_dagster.secret_forms import SHORTEST, Form, forms

STRUCK = "***"

# Temporary keys change; the latest are the ones that a message can hold.
_KEPT = 500
# Base64 of what holds base64, as in a file of logins that was coded whole.
_CODED_TWICE = 2
_GUARDED = "_autoloader_strikes_secrets"


class _Memory:
    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._secrets: dict[str, list[Form]] = {}

    def add(self, secret: str) -> None:
        with self._lock:
            # The one that was read last is forgotten last.
            self._secrets[secret] = self._secrets.pop(secret, None) or forms(secret)
            while len(self._secrets) > _KEPT:
                del self._secrets[next(iter(self._secrets))]

    @property
    def is_empty(self) -> bool:
        return not self._secrets

    def spans(self, text: str, depth: int = _CODED_TWICE) -> list[tuple[int, int]]:
        """Where secrets are in a text, and in what its runs of base64 and the like mean."""
        with self._lock:
            known = list(self._secrets.values())
        return _spans(known, text, depth)

    def copy(self) -> "_Memory":
        with self._lock:
            copied = _Memory()
            copied._secrets = dict(self._secrets)
            return copied


def _spans(known: list[list[Form]], text: str, depth: int) -> list[tuple[int, int]]:
    found = [span for of_one in known for form in of_one for span in form.spans(text)]
    if depth:
        for coded in decoded(text):
            found += [coded.place(*span) for span in _spans(known, coded.text, depth - 1)]
    return found


_memory = _Memory()


def remember(secret: str | None) -> None:
    """Have a secret struck out of all texts of this process from now on."""
    secret = (secret or "").strip()
    if len(secret) < SHORTEST:
        return
    _memory.add(secret)
    _guard_output()


def strike(text: str) -> str:
    """The text with ``***`` in the place of each secret that was remembered."""
    if _memory.is_empty or len(text) < SHORTEST:
        return text
    kept: list[str] = []
    end = 0
    # One secret may be a part of another one, or begin within it.
    for start, after in sorted(_memory.spans(text)):
        if start > end or not kept:
            kept.append(text[end:start])
        end = max(end, after)
    return STRUCK.join([*kept, text[end:]]) if kept else text


def first_line(error: BaseException) -> str:
    """The first line of an error without secrets, or the error's name if it has no text.

    Base64 in lines holds a part of a secret in its first line, so the whole text is struck.
    """
    return (strike(str(error)).strip().splitlines() or [type(error).__name__])[0]


@contextmanager
def struck_errors() -> Iterator[None]:
    """Take the secrets out of an error that leaves the block, and out of its causes."""
    caught: BaseException | None = None
    try:
        yield
    except Exception as error:
        caught = strike_error(error)
    if caught is None:
        return
    context = caught.__context__
    try:
        raise caught
    finally:
        # Python has put the error that came there, with its secrets.
        caught.__context__ = context


def strike_error(error: BaseException) -> BaseException:
    """The error without secrets in it and in its causes.

    Returns:
        The same object, or a plain one with the same name and text if it cannot be changed.
    """
    return error if _memory.is_empty else _strike_error(error, {})


def _strike_error(error: BaseException, done: dict[int, BaseException]) -> BaseException:
    if id(error) in done:
        return done[id(error)]
    done[id(error)] = error
    clean = _strike_one(error)
    done[id(error)] = clean
    suppress = error.__suppress_context__
    if error.__cause__ is not None:
        clean.__cause__ = _strike_error(error.__cause__, done)
    if error.__context__ is not None:
        clean.__context__ = _strike_error(error.__context__, done)
    clean.__suppress_context__ = suppress
    return clean


def _strike_one(error: BaseException) -> BaseException:
    if not _shows_secret(error):
        return error
    with contextlib.suppress(Exception):
        error.args = _struck_value(error.args)
        for name, value in list(vars(error).items()):
            setattr(error, name, _struck_value(value))
    if not _shows_secret(error):
        return error
    plain = type(type(error).__name__, (Exception,), {"__module__": type(error).__module__})
    return plain(strike(_text(error))).with_traceback(error.__traceback__)


def _shows_secret(error: BaseException) -> bool:
    shown = "\n".join([_text(error), repr(error), *getattr(error, "__notes__", ())])
    return strike(shown) != shown


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return type(error).__name__


def _struck_value(value: Any) -> Any:
    if isinstance(value, str):
        return strike(value)
    if isinstance(value, bytes):
        text = value.decode("utf-8", "surrogateescape")
        return strike(text).encode("utf-8", "surrogateescape")
    if isinstance(value, dict):
        return {key: _struck_value(each) for key, each in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_struck_value(each) for each in value)
    if isinstance(value, BaseException):
        return strike_error(value)
    return value


def _guard_output() -> None:
    """Strike what this process logs and prints, from the moment on in which it has a secret."""
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        if stream is not None and not getattr(stream, _GUARDED, False):
            _guard_stream(stream)
    factory = logging.getLogRecordFactory()
    if not getattr(factory, _GUARDED, False):
        logging.setLogRecordFactory(_guarded_factory(factory))


def _guard_stream(stream: Any) -> None:
    write = stream.write

    def struck(text: Any) -> int:
        if not isinstance(text, str):
            return write(text)
        write(strike(text))
        return len(text)

    # Only a stream that is not one of Python's own takes no attributes.
    with contextlib.suppress(AttributeError):
        stream.write = struck
        setattr(stream, _GUARDED, True)


def _guarded_factory(factory: Any) -> Any:
    def make(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = factory(*args, **kwargs)
        if _memory.is_empty:
            return record
        with contextlib.suppress(Exception):  # arguments that do not fit are the logger's to tell
            message = record.getMessage()
            struck = strike(message)
            if struck != message:
                record.msg, record.args = struck, ()
        if record.exc_info and record.exc_info[1] is not None:
            kind, error, trace = record.exc_info
            clean = strike_error(error)
            record.exc_info = (kind if clean is error else type(clean), clean, trace)
        return record

    setattr(make, _GUARDED, True)
    return make
