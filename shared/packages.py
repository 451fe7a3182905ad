"""Which versions of which packages a number was made with."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version


def package_versions(*names: str) -> dict[str, str]:
    """The version of each named distribution that is installed, by name, in order of name."""
    found = {name: _find_version(name) for name in sorted(names)}
    return {name: known for name, known in found.items() if known is not None}


@cache  # finding one out takes milliseconds, which small scores would pay again and again
def _find_version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:  # a room's image holds only what the room needs
        return None
