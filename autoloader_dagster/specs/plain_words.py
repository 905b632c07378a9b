"""Says pydantic's errors in words for people, at the key and line that they mean.

pydantic speaks of inputs and tags ("Input should be a valid string", ``format.csv.options``); who
writes a spec has keys and lines. Everything here follows from the model's own annotations, so a new
key or choice needs no word here.
"""

import re
import types
from collections.abc import Iterator
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from autoloader_dagster.specs.fault import SpecFault, first_faults
from autoloader_dagster.specs.registry import UNSUPPORTED_FORMATS, UNSUPPORTED_SOURCES
from autoloader_dagster.specs.section import KeyFault
from autoloader_dagster.specs.values import did_you_mean
from autoloader_dagster.specs.yaml_document import Document, KeyPath

_NOT_YET = (*UNSUPPORTED_SOURCES, *UNSUPPORTED_FORMATS)
_LONGEST_VALUE = 60  # characters of a value that a message repeats
_CREDENTIAL = re.compile(r"(?i)secret|passw|token|access_key|key_id|credential|^(aws_|user|login)")
_EMPTY = "is empty; fill it in, or leave the key out"
_LIMITS = {
    "greater_than": ("gt", "greater than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}
_KINDS = {
    "int": "a whole number",
    "bool": "true or false",
    "float": "a number",
}


def faults_of(
    error: ValidationError,
    model: type[BaseModel],
    document: Document,
    below: KeyPath = (),
    secret: bool = False,
) -> list[SpecFault]:
    """The faults that a validation found, each at its line.

    Args:
        error: What pydantic found.
        model: What was validated.
        document: Where the data stood.
        below: The keys from the document's root to the data that was validated.
        secret: Whether values may be credentials and must not be repeated.
    """
    speaker = _Speaker(model, document, below, secret)
    details = error.errors(include_url=False, include_input=False)
    return list(first_faults(map(speaker.fault, details)))


class _Speaker:
    def __init__(
        self, model: type[BaseModel], document: Document, below: KeyPath, secret: bool
    ) -> None:
        self.model = model
        self.document = document
        self.below = below
        self.secret = secret

    def fault(self, detail: ErrorDetails) -> SpecFault:
        path, kind = _follow(self.model, detail["loc"])
        what, context = detail["type"], detail.get("ctx", {})
        cause = context.get("error")
        if isinstance(cause, KeyFault):
            return self._at((*path, *cause.path), cause.message)
        if isinstance(cause, ValueError):
            return self._at(path, str(cause))
        if what == "extra_forbidden":
            return self._unknown_key(path)
        if what in ("union_tag_not_found", "union_tag_invalid"):
            choices = [tag for tag, _ in _members(kind)]
            path = (*path, context["discriminator"].strip("'"))
            if what == "union_tag_not_found":
                return self._at(path, f"is missing; it is one of {', '.join(choices)}")
            if context["tag"] in _NOT_YET:
                return self._at(path, f"{context['tag']} is not supported yet")
            return self._at(path, self._not_one_of(path, choices))
        if what == "missing":
            return self._at(path, "is missing")
        if self._is_empty(path):
            return self._at(path, self._nothing_there(path, kind))
        return self._at(path, self._wrong_value(what, context, path, kind, detail["msg"]))

    def _nothing_there(self, path: KeyPath, kind: Any) -> str:
        text = self.document.texts.get((*self.below, *path))
        if text:  # ~ or null
            return f"'{text}' means 'nothing' in YAML; put it in quotes if it is text"
        needed = [field.alias or name for name, field in _fields(kind) if field.is_required()]
        return f"is empty; it needs {', '.join(needed)}" if needed else _EMPTY

    def _wrong_value(
        self, what: str, context: dict[str, Any], path: KeyPath, kind: Any, said: str
    ) -> str:
        value = self._value(path)
        if what == "literal_error":
            return self._not_one_of(path, [_written(choice) for choice in get_args(kind)])
        if what == "string_type":
            text = self.document.texts.get((*self.below, *path))
            quotes = f"; put it in quotes: '{text}'" if text and not self.secret else ""
            return f"{value} is not text{quotes}"
        if what in ("tuple_type", "list_type"):
            text = self.document.texts.get((*self.below, *path))
            example = f"['{text}']" if text and not self.secret else "[a, b]"
            return f"{value} is not a list; write it like {example}"
        if what in ("dict_type", "model_type", "model_attributes_type"):
            keys = f": {', '.join(_keys(kind))}" if _is_model(kind) else ""
            return f"{value} is not a section; keys go below it{keys}"
        if what in _LIMITS:
            limit, words = _LIMITS[what]
            return f"{value} is not {words} {context[limit]}"
        if what in ("too_short", "string_too_short"):
            return _EMPTY
        wanted = _KINDS.get(what.split("_")[0])
        if wanted:
            return f"{value} is not {wanted}"
        # Not met so far: pydantic's sentence, without its way of beginning one.
        return said.replace("Input should be", "must be").replace("Value error, ", "")

    def _unknown_key(self, path: KeyPath) -> SpecFault:
        *section, name = path
        name = str(name)
        message = f"'{name}' is not a key here"
        places = [
            label for label, keys in _sections(self.model) if name in keys and "." not in name
        ]
        if section[:1] == ["source"] and not self.below and _CREDENTIAL.search(name):
            message += (
                "; credentials go into _connections.yaml, and source.connection names them there"
            )
            return self._at(tuple(section), message, at=path)
        known = _keys(_follow(self.model, self._tagged(tuple(section)))[1])
        if places and not self.below:
            message += f"; it belongs in {' or '.join(dict.fromkeys(places))}"
        else:
            message += did_you_mean(name, known) or f"; the keys are {', '.join(known)}"
        return self._at(tuple(section), message, at=path)

    def _tagged(self, section: KeyPath) -> KeyPath:
        """The section's path with the tags of its unions in it, as pydantic gives it."""
        tagged: KeyPath = ()
        data = self.document.data
        for part in self.below:
            data = data[part]
        for part in section:
            data, tagged = data[part], (*tagged, part)
            if _members(_follow(self.model, tagged)[1]):
                tagged = (*tagged, data["type"])
        return tagged

    def _not_one_of(self, path: KeyPath, choices: list[str]) -> str:
        text = self.document.texts.get((*self.below, *path), "")
        # Only one choice of many is ever supported: it says more than the whole list would.
        must = f"is not one of {', '.join(choices)}" if len(choices) > 1 else f"is not {choices[0]}"
        return f"{self._value(path)} {must}{'' if self.secret else did_you_mean(text, choices)}"

    def _value(self, path: KeyPath) -> str:
        """The value as it is written, short enough for a message."""
        if self.secret:
            return "what is here"
        text = self.document.texts.get((*self.below, *path))
        if text is None:
            return "what is here"
        return f"'{text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + '…'}'"

    def _is_empty(self, path: KeyPath) -> bool:
        data = self.document.data
        for part in (*self.below, *path):
            data = data[part]
        return data is None

    def _at(self, path: KeyPath, message: str, at: KeyPath | None = None) -> SpecFault:
        line = (*self.below, *(path if at is None else at))
        return self.document.fault((*self.below, *path), message, line)


# --- the model's annotations --------------------------------------------------------------------


def _follow(model: type[BaseModel], loc: tuple[str | int, ...]) -> tuple[KeyPath, Any]:
    """Follow an error's location through the model.

    Returns:
        The keys as they are in the file, and the annotation of what is there.
    """
    path: KeyPath = ()
    kind: Any = model
    for part in loc:
        if _is_model(kind):
            path = (*path, part)
            field = _field(kind, part)
            if field is None:
                return path, Any
            kind = _without_none(field.annotation)
        elif members := dict(_members(kind)):
            kind = members[str(part)]
        elif get_origin(kind) in (tuple, list, dict) and part != "[key]":
            path = (*path, part)
            kind = _without_none(get_args(kind)[1 if get_origin(kind) is dict else 0])
        else:
            break
    return path, kind


def _without_none(annotation: Any) -> Any:
    options = [option for option in get_args(annotation) if option is not type(None)]
    return options[0] if _is_union(annotation) and len(options) == 1 else annotation


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _members(kind: Any) -> list[tuple[str, type[BaseModel]]]:
    """The models of a union that is told apart by ``type``, with their tags."""
    if not _is_union(kind) or not all(_is_model(member) for member in get_args(kind)):
        return []
    return [
        (tag, member)
        for member in get_args(kind)
        for tag in get_args(member.model_fields["type"].annotation)
    ]


def _field(model: type[BaseModel], key: str | int) -> FieldInfo | None:
    return next((f for name, f in model.model_fields.items() if (f.alias or name) == key), None)


def _fields(kind: Any) -> list[tuple[str, FieldInfo]]:
    return list(kind.model_fields.items()) if _is_model(kind) else []


def _keys(kind: Any) -> list[str]:
    return [field.alias or name for name, field in _fields(kind)]


def _sections(model: type[BaseModel], name: str = "") -> Iterator[tuple[str, list[str]]]:
    """Every section of a spec and the keys that belong there."""
    if name:
        yield name, _keys(model)
    for key, field in model.model_fields.items():
        kind = _without_none(field.annotation)
        below = f"{name}.{field.alias or key}".lstrip(".")
        members = _members(kind)
        shared = set.intersection(*(set(_keys(m)) for _, m in members)) if members else set()
        if members:
            yield below, sorted(shared)
        for tag, member in members or ([("", kind)] if _is_model(kind) else []):
            for label, keys in _sections(member, below):
                tagged = f"{label} with type: {tag}" if members and label == below else label
                own = [k for k in keys if label != below or k not in shared]
                yield tagged, own


def _written(choice: object) -> str:
    return str(choice).lower() if isinstance(choice, bool) else str(choice)
