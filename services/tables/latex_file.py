r"""A table as LaTeX, ready to paste: a `table` with caption and label, ruled by the package `booktabs`.

Pure text; imports nothing else. What is the same in all rows is said once, below the table. Escaped text stands for
itself in any font encoding.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from services.tables.table import Cell, Column, Table
from shared.errors import one_line

_ESCAPED = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "{": r"\{",
        "}": r"\}",
        "$": r"\$",
        "&": r"\&",
        "#": r"\#",
        "%": r"\%",
        "_": r"\_",
        "^": r"\textasciicircum{}",
        "~": r"\textasciitilde{}",
        "|": r"\textbar{}",  # these three print as dash and inverted marks in TeX's old encoding
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "`": r"\textasciigrave{}",  # two of these, or of the next two, would run together
        "'": "'{}",
        "-": "-{}",
        "[": "{[}",  # after a line's end, TeX would take these two for a part of it
        "*": "{*}",
    }
)
_HEADINGS = {"p_value": "$p$", "q_value": "$q$", "k": "$k$"}
_LONE_HYPHEN = re.compile(r"(?<=\w)-\{\}(?=\w)")
_NOTHING = "--"
_FEW_COLUMNS = 8


def to_latex(table: Table) -> bytes:
    r"""UTF-8. Columns of identifiers and provenance are left out, and so are those that are empty.

    Columns of the left and of the right side that are the same in all rows become one. Numbers have four decimals, or
    four digits where they are large; probabilities two digits, small ones with their power of ten. A row that lacks a
    value has a dash.
    """
    columns, constant = _choose(table)
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_caption(table, constant)}}}",
        rf"\label{{tab:{_label(table)}}}",
        r"\small" if len(columns) <= _FEW_COLUMNS else "\\footnotesize\n\\setlength{\\tabcolsep}{3pt}",
        rf"\begin{{tabular}}{{{''.join('l' if column.kind in ('text', 'truth') else 'r' for column in columns)}}}",
        r"\toprule",
        _row(map(_heading, columns.values(), columns)),
        r"\midrule",
        *(_row(map(_cell, columns, cells)) for cells in zip(*map(table.cells, columns), strict=True)),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return ("\n".join(lines) + "\n").encode()


Headed = Mapping[Column, str]
"""Columns, and what each is called where it is printed."""


def _choose(table: Table) -> tuple[Headed, Headed]:
    """The columns to print, and those that are the same in all rows, of several, and are told in the caption."""
    printed = [column for column in table.columns if column.printed]
    filled = [column for column in printed if set(table.cells(column)) - {None}] or printed
    headed = _join_sides(table, filled)
    constant = {
        column: name for column, name in headed.items() if len(table.rows) > 1 and len(set(table.cells(column))) == 1
    }
    varied = {column: name for column, name in headed.items() if column not in constant}
    return (varied, constant) if varied else (headed, {})


def _join_sides(table: Table, columns: Iterable[Column]) -> Headed:
    """The columns by their names; one for both sides where they are the same in all rows."""
    named = {column.name: column for column in columns}
    headed: dict[Column, str] = {}
    for name, column in named.items():
        side, _, what = name.partition("_")
        other = named.get(f"{'right' if side == 'left' else 'left'}_{what}") if side in ("left", "right") else None
        same = other is not None and bool(table.rows) and table.cells(other) == table.cells(column)
        if not (same and side == "right"):
            headed[column] = what if same else name
    return headed


def escape(text: str) -> str:
    """LaTeX that prints `text`, whatever it is, on one line."""
    return _LONE_HYPHEN.sub("-", one_line(text).translate(_ESCAPED)).replace(",,", ",{},")


def _caption(table: Table, constant: Headed) -> str:
    same = ", ".join(
        f"{_heading(name, column)} {_cell(column, table.cells(column)[0], short=True)}"
        for column, name in constant.items()
    )
    return f"{escape(table.title)}{f' All rows: {same}.' if same else ''}"


def _label(table: Table) -> str:
    return "-".join([table.name, *([str(table.meta["study"])[:8]] if "study" in table.meta else [])])


def _heading(name: str, column: Column) -> str:
    heading = _HEADINGS.get(name) or escape(name.replace("_", " "))
    return f"{heading} ({_unit(column.unit)})" if column.unit else heading


def _unit(unit: str) -> str:
    power = re.fullmatch(r"1e\+?(-?)0*(\d+)", unit)
    return f"$10^{{{power[1]}{power[2]}}}$" if power else escape(unit)


def _row(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def _cell(column: Column, cell: Cell, *, short: bool = False) -> str:
    """A cell as it is printed. short: without noughts at the end of its decimals."""
    match cell:
        case None:
            return _NOTHING
        case bool():
            return "yes" if cell else "no"
        case str():
            return escape(cell)
        case int():
            return f"${cell}$" if cell < 0 else str(cell)
    if column.form == "p":
        return _probability(cell)
    number = _number(cell)
    return re.sub(r"(\.\d*?)0+(\$?)$", r"\1\2", number).replace(".$", "$").removesuffix(".") if short else number


def _number(number: float) -> str:
    if number == int(number) and abs(number) >= 1:
        return f"${number:.0f}$" if number < 0 else f"{number:.0f}"
    if 10 <= abs(number) < 10_000:
        text = f"{number:.4g}"
    elif abs(number) < 10:
        text = f"{number:.4f}"
    else:
        return _scientific(number, 3)
    return f"${text}$" if number < 0 else text


def _probability(number: float) -> str:
    if number == 0 or number >= 0.01:
        return f"{number:.2f}"
    return _scientific(number, 1)


def _scientific(number: float, decimals: int) -> str:
    mantissa, _, exponent = f"{number:.{decimals}e}".partition("e")
    return rf"${mantissa}\times10^{{{int(exponent)}}}$"
