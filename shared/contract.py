"""What every contract is: a frozen value, validated, that knows its own digest. Imports pydantic only.

A digest covers the identity of a value, which is what would change the vectors or the numbers made by it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache, cached_property, lru_cache
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict


class Contract(BaseModel):
    """A frozen value that refuses unknown fields and knows its own digest."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    NOT_IDENTITY: ClassVar[frozenset[str]] = frozenset()
    LATER: ClassVar[frozenset[str]] = frozenset()
    """Fields that came after digests were first stored: at their default they are left out, and no digest changes."""

    def __hash__(self) -> int:
        """That of its digest: equal values have equal digests, and fields may be mappings."""
        return hash(self.digest)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with some fields changed, its own digest, and nothing kept that was made of the old ones."""
        copy = super().model_copy(update=update, deep=deep)
        for kept in vars(copy).keys() - type(self).model_fields.keys():
            vars(copy).pop(kept)
        return copy

    def canonical(self) -> str:
        """The identity, which is the fields that decide the content, as JSON: ASCII, names in order, no spaces."""
        values = ((start, getattr(self, name), default) for start, name, default in _identity_of(type(self)))
        return "{" + ",".join(start + _canonical(value) for start, value, default in values if value != default) + "}"

    @cached_property
    def digest(self) -> str:
        """128 bits of the SHA-256 of the identity's canonical JSON, as 32 hexadecimal digits."""
        return hashlib.sha256(self.canonical().encode()).hexdigest()[:32]

    def to_json(self) -> bytes:
        """The whole record as UTF-8 JSON; the same value always gives the same bytes."""
        return self.model_dump_json(indent=1).encode()


class Nested(Contract):
    """A contract that stands in many others, whose digests need its canonical JSON again: it is kept."""

    def canonical(self) -> str:
        """See `Contract.canonical`."""
        return self.kept_canonical

    @cached_property
    def kept_canonical(self) -> str:
        """What `canonical` gives."""
        return super().canonical()


_NEVER = object()  # no field's value


@cache
def _identity_of(contract: type[Contract]) -> list[tuple[str, str, object]]:
    """The fields of an identity, in order: how each begins in JSON, its name, and the value at which it is left out."""
    fields = sorted(contract.model_fields.keys() - contract.NOT_IDENTITY)
    defaults = {name: contract.model_fields[name].default for name in contract.LATER}
    return [(f"{json.dumps(name)}:", name, defaults.get(name, _NEVER)) for name in fields]


def _canonical(value: Any) -> str:
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, Contract):
        return value.canonical()
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{_quoted(key)}:{_canonical(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, tuple | list):
        return "[" + ",".join(map(_canonical, value)) + "]"
    return json.dumps(value)


_quoted = lru_cache(maxsize=4096)(json.dumps)  # names, mostly, and the same ones again
