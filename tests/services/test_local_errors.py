"""What cannot be started on this machine is refused in one line."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from services.board import Board
from services.local import Stack, _held, running
from shared.errors import BadInput, BadSetting
from shared.settings import Settings


def test_a_folder_that_cannot_be_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    partly = tmp_path / "partly"
    partly.mkdir()
    (partly / "logs").touch()
    for folder in (file, file / "below", partly):
        with pytest.raises(BadInput, match="data cannot lie in"), running(Settings.read({}), folder):
            pass


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    with (
        (tmp_path / "lock").open("a+") as lock,
        _held(lock, tmp_path),
        pytest.raises(BadInput, match="another installation runs in"),
        running(Settings.read({}), tmp_path),
    ):
        pass


def test_a_taken_port_is_refused_unless_any_will_do(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        settings = Settings.read({"SAMESKY_API_PORT": str(port)})
        with pytest.raises(BadInput, match=f"port {port} of 127.0.0.1 is not free"):
            Stack(settings, tmp_path)
        assert Stack(settings, tmp_path, any_port=True).api_port != port


@pytest.mark.parametrize("rest", ["elsewhere:port/0", "elsewhere:99999/0", "[::1/0", "elsewhere?socket_timeout=x"])
def test_a_redis_url_that_cannot_be_is_refused_without_showing_it(rest: str) -> None:
    with pytest.raises(BadSetting, match="SAMESKY_REDIS_URL is no Redis URL") as refused:
        Board.open(Settings.read({"SAMESKY_REDIS_URL": f"redis://:secret@{rest}"}))
    assert "secret" not in str(refused.value)
    assert refused.value.__suppress_context__
