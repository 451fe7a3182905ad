"""How a column of a table of results is shown: said once, where its row is defined.

Imports pydantic only. A row is a pydantic model; each field's description is its column's, and a `Shown` among the
field's annotations says what no type can.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

Form = Literal["plain", "p"]


@dataclass(frozen=True, slots=True)
class Shown:
    """unit: as astropy writes it, empty for a pure number, a text or a truth value.

    form: how people read the numbers: `plain`, or `p` for probabilities, of which the small ones matter. printed:
    whether the column stands in a printed table; identifiers and provenance do not.
    """

    unit: str = ""
    form: Form = "plain"
    printed: bool = True

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The field's JSON schema, with the unit as `x-unit`."""
        described = handler(schema)
        return {**described, "x-unit": self.unit} if self.unit else described


MILLIONS = Shown(unit="1e+06")
MILLIONS_UNPRINTED = Shown(unit="1e+06", printed=False)
PROBABILITY = Shown(form="p")
UNPRINTED = Shown(printed=False)
