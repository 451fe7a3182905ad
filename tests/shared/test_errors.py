"""The error tree: as its docstring draws it, each with a code of its own."""

from __future__ import annotations

import re

import pytest

from shared import errors
from shared.errors import Permanent, Retryable, SameSkyError, UnknownName


def _tree(root: type[SameSkyError], depth: int = 0) -> list[tuple[int, str]]:
    below = [
        line
        for child in root.__subclasses__()
        if child.__module__ == errors.__name__
        for line in _tree(child, depth + 1)
    ]
    return [(depth, root.__name__), *below]


def _classes() -> list[type[SameSkyError]]:
    return [getattr(errors, name) for _, name in _tree(SameSkyError)]


def test_the_docstring_draws_the_tree() -> None:
    drawn = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"^((?:[| ]   )*\+-- )?(\w+)(?:\s{2,}\S.*)?$", line)
        if found:
            drawn.append((len(found[1] or "") // 4, found[2]))
    assert drawn == _tree(SameSkyError)


def test_codes_are_unique_and_readable() -> None:
    codes = [error("wrong").code for error in _classes()]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", code) for code in codes)
    assert UnknownName("wrong").code == "unknown-name"


def test_every_error_is_retried_or_not() -> None:
    for error in _classes()[1:]:
        assert issubclass(error, Retryable) != issubclass(error, Permanent)


def test_an_error_says_what_was_wrong_expected_and_to_do() -> None:
    assert str(SameSkyError("a is b", "a to be c", "do d")) == "a is b; expected a to be c; do d"
    assert str(SameSkyError("a is b", remedy="do d")) == "a is b; do d"
    assert str(SameSkyError("a is b")) == "a is b"


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("vit-bse", "did you mean vit-base"),
        ("zzz", "known: dinov2-base, vit-base, vit-large"),
    ],
)
def test_an_unknown_name_is_answered_with_near_ones(name: str, remedy: str) -> None:
    error = UnknownName.of("model", name, {"vit-base", "vit-large", "dinov2-base"})
    assert error.remedy.startswith(remedy)
    assert f"no model {name!r}" in str(error)


def test_many_unknown_names_are_cut_short() -> None:
    assert UnknownName.of("model", "zzz", [f"m{number}" for number in range(99)]).remedy.endswith(", ...")
