"""Names that may become keys, and object ids that travel with vectors.

Both are validated here, once, before anything is built from them.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated

from pydantic import AfterValidator, Field

from shared.errors import BadName

_NAME = re.compile(r"[a-z0-9][a-z0-9._+-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{32}")
LONGEST_OBJECT_ID = 256


def check_name(name: str) -> str:
    """Return `name` if it can be part of a key: lower-case ASCII letters, digits, `._+-`, at most 64.

    Raises BadName otherwise.
    """
    if not _NAME.fullmatch(name) or ".." in name:
        raise BadName(
            f"{name[:80]!r} cannot be a name",
            "1 to 64 of a-z, 0-9, '.', '_', '+', '-', starting with a letter or digit, without '..'",
        )
    return name


def check_object_id(object_id: str) -> str:
    """Return `object_id` if it names one galaxy: 1 to 256 characters, none of them a control character.

    Raises BadName otherwise.
    """
    if not 0 < len(object_id) <= LONGEST_OBJECT_ID:
        raise BadName(f"an object id of {len(object_id)} characters", f"1 to {LONGEST_OBJECT_ID} characters")
    # isprintable is one fast look at the whole id; only what fails it is looked at character by character
    if not object_id.isprintable() and any(unicodedata.category(c) in ("Cc", "Cs") for c in object_id):
        raise BadName(f"the object id {object_id!r} has control characters", "printable characters")
    return object_id


def check_digest(digest: str) -> str:
    """Return `digest` if it is one of ours: 32 lower-case hexadecimal digits. Raises BadName otherwise."""
    if not _DIGEST.fullmatch(digest):
        raise BadName(f"{digest[:80]!r} is not a digest", "32 hexadecimal digits")
    return digest


def _pydantic_name(name: str) -> str:
    try:
        return check_name(name)
    except BadName as error:  # pydantic collects ValueErrors, and names the field
        raise ValueError(str(error)) from error


Name = Annotated[str, AfterValidator(_pydantic_name)]


def _without_climbing(revision: str) -> str:
    if ".." in revision:  # as git has it; a revision may become part of a path in the hub's cache
        raise ValueError("a revision has no '..'")
    return revision


Revision = Annotated[
    str,
    Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/+-]*$"),
    AfterValidator(_without_climbing),
]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def _check_printable(text: str) -> str:
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text):
        raise ValueError("should have no control characters")
    return text


Printable = Annotated[str, AfterValidator(_check_printable)]
