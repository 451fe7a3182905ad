"""What cannot be started on this machine is refused in one line."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from services.board import Board
from services.local import Stack, _held, running
from shared.errors import BadInput, BadSetting
from shared.settings import Settings


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_a_folder_that_cannot_be_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    partly = tmp_path / "partly"
    partly.mkdir()
    (partly / "logs").touch()
    for folder in (file, file / "below", partly):
        with pytest.raises(BadInput, match="data cannot lie in"), running(Settings.read({}), folder, any_port=True):
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


@pytest.mark.skipif(not _has_ipv6(), reason="this machine has no ::1")
def test_an_api_on_ipv6_has_an_address_in_brackets(tmp_path: Path) -> None:
    stack = Stack(Settings.read({"SAMESKY_API_HOST": "::1"}), tmp_path, any_port=True)
    assert stack.api_url == f"http://[::1]:{stack.api_port}"


def test_only_the_api_is_given_the_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMESKY_TOKENS", "a-token-for-the-api-alone")
    stack = Stack(Settings.read({}), tmp_path, any_port=True)
    assert [child.name for child in stack._children if "SAMESKY_TOKENS" in child.environment] == ["api"]


@pytest.mark.parametrize("rest", ["elsewhere:port/0", "elsewhere:99999/0", "[::1/0", "elsewhere?socket_timeout=x"])
def test_a_redis_url_that_cannot_be_is_refused_without_showing_it(rest: str) -> None:
    with pytest.raises(BadSetting, match="SAMESKY_REDIS_URL is no Redis URL") as refused:
        Board.open(Settings.read({"SAMESKY_REDIS_URL": f"redis://:secret@{rest}"}))
    assert "secret" not in str(refused.value)
    assert refused.value.__suppress_context__
