"""From what a validator refused to sentences that name the field: one door for HTTP bodies, study files and notebooks.

Imports pydantic and `shared` only.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from shared import plain_json
from shared.errors import BadInput, one_line

M = TypeVar("M", bound=BaseModel)
Path = tuple[str | int, ...]
_LONGEST_NAME = 200  # of a field, in a sentence


class FieldError(NamedTuple):
    """One refused field. path: keys and indices from the root, empty for the whole; remedy: may be empty."""

    path: Path
    wrong: str
    remedy: str = ""

    @property
    def name(self) -> str:
        """The path as people write it: `datasets.0.modalities`."""
        return ".".join(str(step) for step in self.path)

    @property
    def sentence(self) -> str:
        """Field and fault: `scoring.k: should be a valid integer, not 'ten'`."""
        return f"{one_line(self.name)[:_LONGEST_NAME]}: {self.wrong}" if self.path else self.wrong


class InvalidFields(Exception):
    """What a validator refused, field by field. The caller turns it into an error for people."""

    def __init__(self, fields: Sequence[FieldError]) -> None:
        self.fields = tuple(fields)
        super().__init__("; ".join(field.sentence for field in fields))

    def as_error(self, kind: type[BadInput], where: str = "") -> BadInput:
        """The error for people: the first field's, prefixed by `where`, with the number of others."""
        first, others = self.fields[0], len(self.fields) - 1
        more = f" (and {others} more)" if others else ""
        return kind(f"{where}{first.sentence}{more}", "", first.remedy)


def validate(model: type[M], data: Any) -> M:
    """`data`, of plain JSON values, as a `model`. Raises InvalidFields."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise InvalidFields(_field_errors(error, model, data)) from error


def load_json(raw: bytes) -> Any:
    """The value of a JSON text. Raises InvalidFields for text that is not plain JSON: see `shared.plain_json`."""
    try:
        return plain_json.load_json(raw)
    except ValueError as error:
        raise InvalidFields([FieldError((), f"this is not JSON: {error}")]) from error


def _field_errors(error: ValidationError, model: type[BaseModel], data: Any) -> list[FieldError]:
    found = []
    for detail in error.errors(include_url=False):
        path = _without_branches(detail["loc"], data)
        if path is not None and not _is_echo(detail):
            found.append(_field_error(path, detail, model))
    found.sort(key=lambda field: not field.remedy)  # what is mistyped explains what is missing
    return found or [FieldError((), str(error))]


def _without_branches(loc: Path, data: Any) -> Path | None:
    """`loc` without the names pydantic gives to the branches of a union, and without the index of a bare value that
    may stand for a list of one; None in a branch `data` did not mean.
    """
    path: list[str | int] = []
    for step in loc:
        if isinstance(step, str) and step.startswith(("tuple[", "dict[", "literal[")):
            if step.startswith("dict[") != isinstance(data, Mapping):
                return None
            continue
        if step == "[key]" or (isinstance(step, int) and not isinstance(data, list | tuple)):
            continue
        if step in ("float", "str") and not isinstance(data, Mapping):
            continue
        path.append(step)
        data = _inside(data, step)
    return tuple(path)


def _inside(data: Any, step: str | int) -> Any:
    if isinstance(data, Mapping):
        return data.get(step)
    if isinstance(data, list | tuple) and isinstance(step, int) and step < len(data):
        return data[step]
    return None


def _is_echo(detail: Any) -> bool:
    """Whether this says only that a list is short once its bad items, named on their own, are left out."""
    return bool(detail["type"] == "too_short" and len(detail["input"]) >= detail["ctx"]["min_length"])


def _field_error(path: Path, detail: Any, model: type[BaseModel]) -> FieldError:
    if detail["type"] == "extra_forbidden":
        return FieldError(path, "there is no such field", _near(str(path[-1]), _known_fields(model, path[:-1])))
    if detail["type"] == "missing":
        return FieldError(path, "this field is needed")
    if detail["type"] == "too_short":
        return FieldError(path, "should not be empty")
    near = (
        _near(detail["input"], detail["ctx"]["expected"].split("'")[1::2]) if detail["type"] == "literal_error" else ""
    )
    return FieldError(path, _reason(detail), near)


def _reason(detail: Any) -> str:
    reason, given = str(detail["msg"]).removeprefix("Value error, "), detail["input"]
    reason = reason.replace("Input should", "should").replace("a valid tuple", "a list")
    if detail["type"] == "value_error" or not isinstance(given, str | int | float | None):
        return reason
    return f"{reason}, not {given[:80]!r}" if isinstance(given, str) else f"{reason}, not {json.dumps(given)}"


def _near(name: object, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=2, cutoff=0.7) if isinstance(name, str) else []
    return f"did you mean {' or '.join(near)}?" if near else ""


def _known_fields(model: type[BaseModel], path: Path) -> set[str]:
    models = {model}
    for step in path:
        fields = [one.model_fields[step] for one in models if isinstance(step, str) and step in one.model_fields]
        if fields:  # an index or a key of a mapping stays where it is
            models = {one for field in fields for one in _models_in(field.annotation)}
    return {name for one in models for name in one.model_fields}


def _models_in(annotation: Any) -> set[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    return {model for argument in get_args(annotation) for model in _models_in(argument)}
