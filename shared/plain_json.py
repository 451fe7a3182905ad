"""JSON as RFC 8259 has it, and nothing that readers would take differently: UTF-8, each key once, no NaN.

Imports the standard library only.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn


def load_json(raw: bytes) -> Any:
    """The value of a JSON text, of plain Python values. Raises ValueError, saying why, for anything else."""
    try:
        value = json.loads(raw.decode(), object_pairs_hook=_without_twins, parse_constant=_refuse_constant)
        if b"\\u" in raw:  # an escape may be half of a pair, which no text can hold
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError("a text in it holds half of a surrogate pair") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 (byte {error.start})") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return value


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)[:80]!r} stands twice")
    return values


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")
