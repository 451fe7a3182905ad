"""The demonstration: one study of a simulated sky on real weights, from nothing to a table and a figure."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

from rich.console import Console

from services.cli.tables import score_table
from services.cli.watching import watch
from services.client import Client
from services.local import running
from shared.progress import StudyProgress
from shared.settings import Settings
from shared.states import State

MODELS = ("efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2")
MODALITIES = ("hsc", "jwst", "legacysurvey")


def study(galaxies: int) -> dict[str, object]:
    """The study of the demonstration."""
    return {
        "title": "Demonstration: a simulated sky seen by three surveys",
        "datasets": [{"name": "mocksky", "limit": galaxies, "modalities": list(MODALITIES)}],
        "models": list(MODELS),
        "pairs": ["crossmodal", "intramodal"],
    }


def run(settings: Settings, folder: Path, *, galaxies: int, console: Console, stay: bool) -> StudyProgress:
    """Run the demonstration; with `stay`, serve its results until the user presses Enter.

    Its table goes to the console, its figure to `folder`. A second run finds everything done.
    """
    started = time.monotonic()
    say = partial(console.print, soft_wrap=True, highlight=False)
    say(f"Starting Redis, embedder, scorer, reconciler and api on this machine; data in {folder}")
    token = settings.token or next(iter(settings.tokens), None)  # its own api takes any of its tokens
    with running(settings, folder, any_port=True) as stack, Client(stack.api_url, token=token) as client:
        console.print(
            f"{galaxies} simulated galaxies, {len(MODALITIES)} surveys, {len(MODELS)} models with real weights"
        )
        accepted = client.submit(study(galaxies))
        progress = watch(client, accepted.id, console)
        console.print(score_table(client.scores(accepted.id)))
        if progress.state is State.DONE:
            figure = folder / "scaling.png"
            figure.write_bytes(client.figure(accepted.id, "scaling", "png"))
            say(f"Figure: {figure}")
        say(f"Done in {time.monotonic() - started:.0f} s. Study {accepted.id}")
        url = f"{stack.api_url}/v1/studies/{accepted.id}/scores"
        if stay:
            say(f"Results: {url}\nPress Enter to stop.")
            console.input()
        else:
            say(f"Results, whenever `samesky up` runs: {url}")
    return progress
