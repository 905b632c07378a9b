"""Reads one YAML file into plain data, with the line of every key and every fault of its syntax.

The words are read by the rules of YAML 1.2, as editors read them: ``no`` and ``on`` are text, and a
number becomes a number only if it would be written back as it is, so ``007`` and ``1.10`` are
text. PyYAML's own constructors lose duplicate keys without a word, turn ``NO`` into false and
``1:30`` into 90; here they are not used.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import ComposerError
from yaml.reader import ReaderError

from autoloader_dagster.specs.fault import SpecFault, first_faults

KeyPath = tuple[str | int, ...]

# A file of a tenant must not stop the process that reads the files of all. A spec with a hint for
# each of 5,000 columns is below all of them.
MAX_FILE_BYTES = 256 << 10
MAX_NODES = 20_000
MAX_LEVELS = 30

_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,17}")
_DECIMAL = re.compile(r"-?[0-9]{1,15}\.[0-9]{1,15}")
_WORDS = {
    "": None,
    "~": None,
    **dict.fromkeys(("null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_PLAIN_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "seq", "map")}
_QUOTE_IT = "a value that begins with one of * & ! % @ ` { [ needs quotes"

# What PyYAML says, what we say, and whether the line to go to is where it began (an opened quote)
# or where it ended. The first that fits is taken. Ours never repeat what is in the file, for
# that might be a secret.
_SYNTAX = (
    (r"scanning an (alias|anchor)|alias", f"YAML aliases are not used here; {_QUOTE_IT}", False),
    (r"'\\t'", "a tab is not allowed here; indent with spaces", False),
    (r"cannot start any token|%|directive|tag", _QUOTE_IT, False),
    (
        r"mapping values are not",
        "a ':' too many; quote the value, or correct the indentation",
        False,
    ),
    (r"expected ':'", "neither 'key: value' nor part of the value above", True),
    (r"quoted scalar.*(end of stream|separator)", "a quote is opened and never closed", True),
    (r"escape|quoted scalar", "a \\ before a letter YAML does not know; use single quotes", False),
    (r"flow (mapping|sequence)", "a { or [ is not closed, or a comma is missing", True),
    (r"single document", "a second document (---) begins here; a file holds one", False),
    (r"block (mapping|coll|seq)", f"the indentation fits nothing above, or {_QUOTE_IT}", False),
)


@dataclass(frozen=True)
class Document:
    """What is in a file.

    Attributes:
        file: The file.
        data: Plain data; keys are always text. None if the file could not be read or is empty.
        lines: Line of each key and list entry, from 1.
        texts: Each scalar as it is written.
        faults: What is wrong with the file before anyone asks what it means.
    """

    file: Path
    data: Any = field(default=None, repr=False)  # might hold a secret, written where none should be
    lines: Mapping[KeyPath, int] = field(default_factory=dict, repr=False)
    texts: Mapping[KeyPath, str] = field(default_factory=dict, repr=False)
    faults: tuple[SpecFault, ...] = ()

    def line(self, path: KeyPath) -> int:
        """The line of this key or, where it is missing, of the nearest section around it."""
        while path:
            if path in self.lines:
                return self.lines[path]
            path = path[:-1]
        return 1

    def fault(self, path: KeyPath, message: str, at: KeyPath | None = None) -> SpecFault:
        """A fault of a key of this file; ``at`` points to another line than the key's own."""
        key = ".".join(str(part) for part in path)
        return SpecFault(self.file, self.line(path if at is None else at), key, message)


class _Loader(yaml.BaseLoader):
    """Builds nodes only; every scalar stays text, and an alias is refused.

    Aliases make a small file unfold without bound, and the lines of what they repeat are wrong.
    What is beyond the limits is not read any further.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._nodes = self._level = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        mark = self.peek_event().start_mark
        if self.check_event(yaml.AliasEvent):
            raise ComposerError(None, None, "alias", mark)
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise _TooMuch(f"has more than {MAX_NODES:,} keys and values; shorten it", mark)
        if self._level > MAX_LEVELS:
            raise _TooMuch(
                f"has more than {MAX_LEVELS} levels, one within the other; move it up, or take it "
                "out",
                mark,
            )
        self._level += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._level -= 1


class _TooMuch(yaml.YAMLError):
    """A limit is reached at this place."""

    def __init__(self, message: str, mark: yaml.Mark) -> None:
        super().__init__(message)
        self.message, self.line = message, mark.line + 1


def read_document(file: Path) -> Document:
    """Read a YAML file; what is wrong with it becomes ``faults``, never an exception."""

    def broken(line: int | None, message: str) -> Document:
        return Document(file, faults=(SpecFault(file, line, "", message),))

    try:
        if file.exists() and not file.is_file():
            return broken(None, "is not a file that can be read")
        with file.open("rb") as stream:
            raw = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        return broken(None, f"cannot be read: {error.strerror or error}")
    if len(raw) > MAX_FILE_BYTES:
        limit = f"{MAX_FILE_BYTES >> 10} KiB"
        return broken(
            None, f"is larger than {limit}, which no YAML file here should be; shorten it"
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        return broken(line, f"is not UTF-8 (byte 0x{raw[error.start]:02x}); save it as UTF-8")
    try:
        node = _compose(text)
        reader = _Reader(file)
        data = None if node is None else reader.value(node, ())
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        return broken(line, "there is a control character here; remove it")
    except yaml.MarkedYAMLError as error:
        return broken(*_in_plain_words(error))
    except _TooMuch as error:
        return broken(error.line, error.message)
    except (yaml.YAMLError, ValueError, OverflowError):  # an escape beyond Unicode, for one
        return broken(None, "is not valid YAML")
    return Document(file, data, reader.lines, reader.texts, first_faults(reader.faults))


def _compose(text: str) -> yaml.Node | None:
    loader = _Loader(text)
    try:
        return loader.get_single_node()
    finally:
        loader.dispose()


def _in_plain_words(error: yaml.MarkedYAMLError) -> tuple[int | None, str]:
    """The line to go to, and what is wrong there."""
    said = f"{error.context or ''} {error.problem or ''}"
    message, at_start = "is not valid YAML", False
    for pattern, words, begins in _SYNTAX:
        if re.search(pattern, said):
            message, at_start = f"not valid YAML: {words}", begins
            break
    marks = (error.context_mark, error.problem_mark)
    mark = (marks[0] or marks[1]) if at_start else (marks[1] or marks[0])
    return mark.line + 1 if mark else None, message


class _Reader:
    """Turns nodes into plain data and notes where each part is."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.lines: dict[KeyPath, int] = {}
        self.texts: dict[KeyPath, str] = {}
        self.faults: list[SpecFault] = []

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        if node.tag not in _PLAIN_TAGS:
            self._fault(node, path, f"YAML tags are not used here; {_QUOTE_IT}")
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            for index, entry in enumerate(node.value):
                self.lines[(*path, index)] = entry.start_mark.line + 1
            return [self.value(entry, (*path, index)) for index, entry in enumerate(node.value)]
        text = self._text(node, path)
        if text is None:
            return None
        self.texts[path] = text
        quoted = isinstance(node, yaml.ScalarNode) and node.style
        return text if quoted else _plain(text)

    def _text(self, node: yaml.Node, path: KeyPath) -> str | None:
        """A scalar's text; None, and a fault, if it cannot be written as UTF-8."""
        try:
            # An escaped pair, as JSON writes what is beyond U+FFFF, is one character.
            return node.value.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            self._fault(node, path, "holds one half of an escaped character (\\ud800 to \\udfff)")
            return None

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag not in _PLAIN_TAGS:
                self._fault(key, path, f"a key must be a word; {_QUOTE_IT}")
                continue
            name = self._text(key, path)
            if name is None:
                continue
            if name in found:
                first = self.lines[(*path, name)]
                self._fault(key, path, f"'{name}' is written twice, first on line {first}")
            else:
                self.lines[(*path, name)] = key.start_mark.line + 1
                found[name] = self.value(value, (*path, name))
        return found

    def _fault(self, node: yaml.Node, path: KeyPath, message: str) -> None:
        key = ".".join(str(part) for part in path)
        self.faults.append(SpecFault(self.file, node.start_mark.line + 1, key, message))


def _plain(text: str) -> str | int | float | bool | None:
    """The value of an unquoted scalar."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _DECIMAL.fullmatch(text) and repr(float(text)) == text:
        return float(text)
    return text
