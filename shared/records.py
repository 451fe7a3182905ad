"""JSON records in the object store: read, checked against their contract, and hashed.

Imports the contracts, plain JSON and the store's protocol.
"""

from __future__ import annotations

import hashlib
from typing import TypeVar

from pydantic import ValidationError

from shared.contract import Contract
from shared.errors import BadRecord, ObjectMissing
from shared.plain_json import load_json
from shared.store import ObjectStore

C = TypeVar("C", bound=Contract)


def read_record(store: ObjectStore, key: str, model: type[C]) -> C | None:
    """The record at `key`, or None when there is none. Raises BadRecord when it does not follow `model`."""
    data = read_bytes(store, key)
    return None if data is None else parse_record(key, data, model)


def read_bytes(store: ObjectStore, key: str) -> bytes | None:
    """The bytes at `key`, or None when there are none."""
    try:
        return store.get(key)
    except ObjectMissing:
        return None


def parse_record(key: str, data: bytes, model: type[C]) -> C:
    """The record that `data`, read at `key`, holds. Raises BadRecord naming the key and the first bad field.

    What this release writes is read as it stands: no key twice, and no text or truth value taken for a number.
    """
    try:
        load_json(data)
        return model.model_validate_json(data, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(step) for step in first["loc"]) or "the record"
        raise _bad(key, model, f"{field!a:.200}: {first['msg']}") from error
    except ValueError as error:
        raise _bad(key, model, str(error)) from error


def _bad(key: str, model: type[C], reason: str) -> BadRecord:
    return BadRecord(
        f"{key} is not a {model.__name__} record: {reason}",
        f"a {model.__name__} record as this release writes it",
        "delete the object, and it will be made again",
    )


def sha256_of(data: bytes) -> str:
    """The SHA-256 of stored bytes, as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()
