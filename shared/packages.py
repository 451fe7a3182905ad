"""Which versions of which packages a number was made with."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def package_versions(*names: str) -> dict[str, str]:
    """The version of each named distribution that is installed, by name, in order of name."""
    found = {}
    for name in sorted(names):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # a room's image holds only what the room needs
            continue
    return found
