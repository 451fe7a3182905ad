"""Commands that run processes: demo, up, and one for each service.

What a process needs is imported when it starts, so that asking the api loads neither torch nor celery.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from shared.settings import Settings
from shared.states import State

FolderOption = Annotated[Path, typer.Option(help="Where the data lie.")]
DATA = Path("samesky-data")


def demo(
    folder: FolderOption = DATA,
    galaxies: Annotated[int, typer.Option(min=32, help="Simulated galaxies.")] = 512,
    stay: Annotated[bool, typer.Option("--stay", help="Serve the results until Enter is pressed.")] = False,
) -> None:
    """Run one whole study of a simulated sky on this machine, with real weights."""
    from services import demo

    progress = demo.run(Settings.read(), folder, galaxies=galaxies, console=Console(), stay=stay)
    if progress.state is not State.DONE:
        raise typer.Exit(1)


def up(
    folder: FolderOption = DATA,
    embedders: Annotated[int, typer.Option(min=0, help="Embedder processes; 0 starts one for each core.")] = 0,
    scorers: Annotated[int, typer.Option(min=1, help="Scorer processes.")] = 1,
) -> None:
    """Run everything on this machine until Ctrl-C: Redis, embedder, scorer, reconciler, api."""
    from services import local

    console = Console()
    for url in local.up(Settings.read(), folder, embedders=embedders, scorers=scorers):
        console.print(f"Same Sky is up at {url}, data in {folder}. Ctrl-C stops it.", soft_wrap=True, markup=False)


def embedder() -> None:
    """Run an embedder: takes jobs from Redis, writes embeddings."""
    from services import embed_worker

    embed_worker.run(Settings.read())


def scorer() -> None:
    """Run a scorer: compares embeddings that are whole, writes scores."""
    from services import score_worker

    score_worker.run(Settings.read())


def reconciler() -> None:
    """Run the reconciler: sends what is wanted and missing, again and again."""
    from services import reconciler

    reconciler.run(Settings.read())


def api() -> None:
    """Run the api."""
    from services.api import server

    server.run(Settings.read())


COMMANDS = (demo, up, embedder, scorer, reconciler, api)
