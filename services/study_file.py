"""A study file: YAML in, a `StudyRequest` out, or an error that names file, line and field.

Only plain values are read (no tags, no aliases, no dates), a key may stand once, and the file is small.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from services.field_errors import FieldError, InvalidFields, validate
from services.text_file import read_text
from shared.errors import BadStudy, one_line
from shared.requests import StudyRequest

_MOST_KIB = 256
_TEXT = "tag:yaml.org,2002:str"


def read_study_file(path: str | os.PathLike[str]) -> StudyRequest:
    """The study asked for in the YAML file at `path`; a relative `folder` is taken from the file's own folder.

    Raises BadStudy, naming line and field.
    """
    file = Path(path)
    text = read_text(file, BadStudy, "a study in YAML", _MOST_KIB)
    try:
        root, data = _parse(text)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise BadStudy(f"{file.name}{line}: {one_line(error.problem or error.context)}", "a study in YAML") from error
    except (yaml.YAMLError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else one_line(error)
        raise BadStudy(f"{file.name}: {reason}", "a study in YAML") from error
    if root is None:
        raise BadStudy(f"{file.name} is empty", "a study in YAML", "see examples/ for some")
    try:
        return _with_absolute_folders(validate(StudyRequest, data), file)
    except InvalidFields as error:
        raise error.as_error(BadStudy, f"{file.name}:{_line_of(root, error.fields[0])}: ") from error


class _Loader(yaml.SafeLoader):
    """The safe loader without dates and aliases, for which a key that stands twice is an error."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        mark: Any = event.start_mark
        if isinstance(event, yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem="aliases are not read: write it out", problem_mark=mark)
        if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) and event.tag is not None:
            raise yaml.MarkedYAMLError(problem="tags are not read: write a plain value", problem_mark=mark)
        return super().compose_node(parent, index)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except ValueError as error:  # more digits than Python takes for a number
            raise yaml.MarkedYAMLError(problem=f"no number: {error}", problem_mark=node.start_mark) from error

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag != _TEXT:
                raise yaml.MarkedYAMLError(problem="a key must be a plain word", problem_mark=key.start_mark)
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {key.value!r} stands twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _parse(text: str) -> tuple[yaml.Node | None, Any]:
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        return root, None if root is None else loader.construct_document(root)
    finally:
        loader.dispose()


def _line_of(root: yaml.Node, field: FieldError) -> int:
    """The line, from 1, on which a field stands, or the nearest one around it that is in the file."""
    node, line = root, root.start_mark.line
    for step in field.path:
        found = _child(node, step)
        if found is None:
            break
        line, node = found
    return line + 1


def _child(node: yaml.Node, step: str | int) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        item = node.value[step]
        return item.start_mark.line, item
    if isinstance(node, yaml.MappingNode):
        return next(((key.start_mark.line, value) for key, value in node.value if key.value == str(step)), None)
    return None


def _with_absolute_folders(study: StudyRequest, file: Path) -> StudyRequest:
    home = file.resolve().parent
    datasets = tuple(
        dataset.model_copy(update={"folder": os.path.normpath(home / Path(dataset.folder).expanduser())})
        if dataset.folder
        else dataset
        for dataset in study.datasets
    )
    return study.model_copy(update={"datasets": datasets})
