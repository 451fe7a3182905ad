"""The command `samesky`.

A fault is one line on standard error, never a traceback. Exit status: 0 all is well, 1 work failed, 2 bad input,
3 something did not answer, 130 interrupted.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from services.cli import (
    asking,
    comparisons,
    crossmatching,
    overviews,
    planning,
    processes,
    publishing,
    reproducing,
    tending,
    trends,
)
from services.cli.output import complain, exit_status
from shared.errors import SameSkyError

_HELP = "Do foundation models, shown the same galaxies by different telescopes, arrange them alike?"
_EPILOG = "Exit status: 0 all is well, 1 work failed, 2 bad input, 3 something did not answer, 130 interrupted."


class _Commands(TyperGroup):
    """Turns the errors that have a name into one line and an exit status."""

    def main(self, *args: Any, **options: Any) -> Any:
        options["standalone_mode"] = False
        try:
            status = super().main(*args, **options)
        except typer.TyperException as error:
            complain(error.format_message())
            status = 2
        except SameSkyError as error:
            complain(error)
            status = exit_status(error)
        except typer.Abort:
            status = 130
        sys.exit(status if isinstance(status, int) else 0)


app = typer.Typer(
    cls=_Commands,
    help=_HELP,
    epilog=_EPILOG,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _ask(
    context: typer.Context,
    url: Annotated[str | None, typer.Option(help="Where the api is.", envvar="SAMESKY_API_URL")] = None,
) -> None:
    context.obj = url
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


for _command in (
    *asking.COMMANDS,
    *planning.COMMANDS,
    *overviews.COMMANDS,
    *comparisons.COMMANDS,
    *trends.COMMANDS,
    *tending.COMMANDS,
    *reproducing.COMMANDS,
    *publishing.COMMANDS,
    *crossmatching.COMMANDS,
    *processes.COMMANDS,
):
    app.command(_command.__name__.rstrip("_"))(_command)  # `import_`, since `import` is a word of Python


def main() -> None:
    """Run the command line."""
    app(prog_name="samesky")
