"""The `Seeing` that an app was made with, for the views that show it."""

from __future__ import annotations

from flask import Flask, current_app

from services.seeing import Seeing

_NAME = "samesky.seeing"


def give_sight(app: Flask, seeing: Seeing) -> None:
    """Let the views of `app` look through `seeing`."""
    app.extensions[_NAME] = seeing


def sight() -> Seeing:
    """The `Seeing` of the app that answers the present request."""
    seeing: Seeing = current_app.extensions[_NAME]
    return seeing
