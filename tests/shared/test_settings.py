"""Settings: one table, read whole, refused by name."""

from __future__ import annotations

import traceback
from dataclasses import asdict, fields
from pathlib import Path
from types import UnionType
from typing import get_args, get_origin, get_type_hints

import pytest

from shared.errors import BadSetting
from shared.settings import TABLE, Secret, Settings


def test_the_table_and_the_values_are_of_one_mind() -> None:
    assert {row.name for row in TABLE} == {f"SAMESKY_{field.name.upper()}" for field in fields(Settings)}
    assert len({row.name for row in TABLE}) == len(TABLE)
    assert all(row.help for row in TABLE)


def test_an_empty_environment_gives_the_defaults() -> None:
    settings = Settings.read({})
    assert settings.api_port == 8765
    assert settings.hub_dir is None
    assert settings.dataset_roots == ()
    assert settings == Settings.read({row.name: "" for row in TABLE}), "empty means the default"


def test_values_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = Settings.read(
        {
            "PATH": "of no concern",
            "SAMESKY_API_PORT": "0080",
            "SAMESKY_THREADS": "0",
            "SAMESKY_DATASET_ROOTS": f"~/data::{tmp_path}/more",
            "SAMESKY_CACHE_DIR": "~/cache",
            "SAMESKY_LOG_FORMAT": "json",
        }
    )
    assert settings.api_port == 80
    assert settings.threads == 0
    assert settings.dataset_roots == (tmp_path / "data", tmp_path / "more")
    assert settings.cache_dir == tmp_path / "cache"
    assert settings.log_format == "json"


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMESKY_BATCH", "7")
    assert Settings.read().batch == 7


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("SAMESKY_API_PORT", "http"),
        ("SAMESKY_API_PORT", "0"),
        ("SAMESKY_API_PORT", "-1"),
        ("SAMESKY_API_PORT", "65536"),
        ("SAMESKY_BATCH", "1.5"),
        ("SAMESKY_THREADS", "-1"),
        ("SAMESKY_LEASE_SECONDS", "1e9"),
        ("SAMESKY_API_PORT", "１"),
        ("SAMESKY_BATCH", "9" * 5000),
        ("SAMESKY_WRITES_PER_MINUTE", "0"),
        ("SAMESKY_READS", "closd"),
        ("SAMESKY_LOG_FORMAT", "xml"),
        ("SAMESKY_LOG_LEVEL", "DEBUG"),
        ("SAMESKY_CACHE_DIR", "~no-such-user/cache"),
        ("SAMESKY_DATASET_ROOTS", "~no-such-user"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(name: str, text: str) -> None:
    with pytest.raises(BadSetting, match=f"{name}='{text}'; expected"):
        Settings.read({name: text})


def test_a_name_that_is_no_setting_is_refused() -> None:
    with pytest.raises(BadSetting, match="no setting SAMESKY_REDIS_ULR"):
        Settings.read({"SAMESKY_REDIS_ULR": "redis://elsewhere"})
    assert Settings.read({"SAMESKY_REDIS_PASSWORD": "a secret of compose"})


def test_a_redis_url_that_is_none_is_refused_without_showing_it() -> None:
    with pytest.raises(BadSetting, match="SAMESKY_REDIS_URL cannot be used; expected redis://") as refused:
        Settings.read({"SAMESKY_REDIS_URL": "http://:secret@elsewhere"})
    assert "secret" not in str(refused.value)


OLD, NEW = "an-old-token.of_20~characters", "a-new-token.of_20~characters"


def test_every_value_is_what_its_field_promises() -> None:
    settings, hints = Settings.read({"SAMESKY_TOKENS": OLD}), get_type_hints(Settings)
    for field in fields(Settings):
        hint = get_origin(hints[field.name]) or hints[field.name]
        kinds = get_args(hints[field.name]) if hint is UnionType else (hint,)
        assert isinstance(getattr(settings, field.name), kinds), field.name
    assert all(type(token) is Secret for token in settings.tokens)
    assert Settings.read({}).tokens == ()


def test_several_tokens_stand_side_by_side() -> None:
    assert Settings.read({"SAMESKY_TOKENS": f"{OLD}, {NEW}"}).tokens == (OLD, NEW)
    assert Settings.read({"SAMESKY_TOKEN": OLD}).token == OLD


@pytest.mark.parametrize("name", ["SAMESKY_TOKENS", "SAMESKY_TOKEN"])
@pytest.mark.parametrize(
    "text", ["nineteen-characters", f"{OLD},,", f"{OLD},short", f"{OLD}\nx", "with a space in the token", "é" * 20]
)
def test_a_token_that_cannot_be_is_refused_without_showing_it(name: str, text: str) -> None:
    with pytest.raises(BadSetting, match=f"{name} cannot be used; expected at least 20") as refused:
        Settings.read({name: text})
    shown = "".join(traceback.format_exception(refused.value))
    assert text.strip() not in shown
    assert OLD not in shown


def test_no_secret_is_in_the_repr() -> None:
    settings = Settings.read(
        {"SAMESKY_TOKENS": f"{OLD},{NEW}", "SAMESKY_TOKEN": NEW, "SAMESKY_REDIS_URL": "redis://:hunter2@host/0"}
    )
    for shown in (repr(settings), str(settings), f"{settings}", repr(asdict(settings))):
        assert not [secret for secret in (OLD, NEW, "hunter2") if secret in shown]
    assert settings.redis_url == "redis://:hunter2@host/0", "and yet it can be used"
    assert set(settings.secrets()) == {OLD, NEW, "hunter2"}
    assert Settings.read({}).secrets() == ()
