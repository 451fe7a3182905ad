"""compose.yaml keeps its promises: confined containers, pinned images, required secrets, one port on loopback."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.settings import TABLE, Settings

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "compose.yaml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("embedder", "scorer", "reconciler", "api")
WATCH = ("prometheus", "grafana", "flower")  # started only where somebody asks for the profile `watch`


def test_every_process_has_its_service() -> None:
    assert set(SERVICES) == {"redis", "s3", *OURS, *WATCH}
    assert {name for name, service in SERVICES.items() if service.get("profiles") == ["watch"]} == set(WATCH)
    assert not any("profiles" in SERVICES[name] for name in ("redis", "s3", *OURS))
    assert {SERVICES[name]["command"][0] for name in OURS} == set(OURS)


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert 0 < service["pids_limit"] <= 4096
    assert not {"devices", "pid", "ipc", "userns_mode", "group_add", "volumes_from", "extra_hosts"} & set(service)
    uid, gid = service["user"].split(":")
    assert int(uid) > 0
    assert int(gid) > 0
    assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")


def test_only_the_api_and_what_watches_are_published_and_only_on_loopback() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert set(published) == {"api", *WATCH}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)
    assert not any("network_mode" in service for service in SERVICES.values())


def test_secrets_are_required_and_the_example_names_them_all() -> None:
    required = set(re.findall(r"\$\{(\w+):\?", TEXT))
    optional = set(re.findall(r"\$\{(\w+):?-", TEXT))
    mentioned = set(re.findall(r"(?<!\$)\$\{?(\w+)", TEXT)) - {"REDISCLI_AUTH"}
    assert mentioned == required | optional
    assert {name for name in mentioned if re.search("PASSWORD|KEY|TOKENS", name)} == required

    example = (ROOT / ".env.example").read_text()
    blank = set(re.findall(r"^(\w+)=$", example, re.MULTILINE))
    assert blank == required
    assert set(re.findall(r"^# (\w+)=", example, re.MULTILINE)) == optional


def test_a_shell_that_exported_the_example_hinders_no_process() -> None:
    names = re.findall(r"^(?:# )?(SAMESKY_\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert {"SAMESKY_TOKENS", "SAMESKY_READS"} < set(names)
    for words in ("SAMESKY_LOG_LEVEL", "SAMESKY_READS"):
        names.remove(words)
    Settings.read({name: "7" * 24 if name == "SAMESKY_TOKENS" else "7" for name in names})


def test_no_secret_is_on_a_command_line() -> None:
    for service in SERVICES.values():
        line = " ".join([*service.get("command", []), *map(str, service["healthcheck"]["test"])])
        assert not re.search(r"(?<!\$)\$\{?\w*(PASSWORD|KEY|TOKEN)", line)


def test_a_secret_is_given_only_to_those_who_use_it() -> None:
    def knowing(word: str) -> set[str]:
        return {name for name, service in SERVICES.items() if word in str(service.get("environment", {}))}

    assert knowing("SAMESKY_TOKENS") == {"api"}
    assert knowing("HF_TOKEN") == {"api", "embedder"}
    assert knowing("SAMESKY_REDIS_PASSWORD") == {"redis", "flower", *OURS}
    assert knowing("SAMESKY_S3_SECRET_KEY") == {"s3", *OURS}


def test_the_api_in_its_container_asks_for_a_token() -> None:
    given = SERVICES["api"]["environment"]
    assert given["SAMESKY_API_HOST"] == "0.0.0.0"
    assert given["SAMESKY_TOKENS"] == "${SAMESKY_TOKENS:?see .env.example}"


def test_no_folder_of_the_machine_is_mounted_but_the_datasets_and_what_watches_is_set_by() -> None:
    mounts = [mount for service in SERVICES.values() for mount in service.get("volumes", [])]
    own = {mount for mount in mounts if mount.split(":")[0] not in COMPOSE["volumes"]}
    watched = {mount for name in WATCH for mount in SERVICES[name]["volumes"]} & own
    assert own - watched == {"${SAMESKY_DATASETS:-./data}:/data:ro"}
    assert all(mount.startswith("./docker/") and mount.endswith(":ro") for mount in watched)


def test_the_check_of_the_containers_shows_a_token_on_no_command_line() -> None:
    script = (ROOT / "docker/check").read_text()
    assert re.findall(r"in_service api samesky", script) == []
    assert "SAMESKY_TOKEN=${SAMESKY_TOKENS%%,*}" in script


@pytest.mark.parametrize("name", OURS)
def test_our_processes_are_given_settings_that_exist(name: str) -> None:
    known = {row.name for row in TABLE}
    given = {key for key in SERVICES[name]["environment"] if key.startswith("SAMESKY_")}
    assert given <= known
    assert SERVICES[name]["depends_on"] == ["redis", "s3"]


def test_workers_are_judged_by_their_heartbeat() -> None:
    for name in ("embedder", "scorer", "reconciler"):
        assert SERVICES[name]["healthcheck"]["test"][:4] == ["CMD", "python", "-m", "services.heartbeat"]
        assert SERVICES[name]["environment"]["SAMESKY_HEARTBEAT_FILE"].startswith("/tmp/")
    assert "/livez" in SERVICES["api"]["healthcheck"]["test"][-1]


def test_redis_keeps_what_it_is_told() -> None:
    command = " ".join(SERVICES["redis"]["command"])
    for line in ("appendonly yes", "maxmemory-policy noeviction", "requirepass"):
        assert line in command


def test_what_must_last_lies_in_volumes_and_datasets_are_read_only() -> None:
    mounts = {name: service.get("volumes", []) for name, service in SERVICES.items()}
    assert mounts["redis"] == ["redis:/data"]
    assert mounts["s3"] == ["s3:/data"]
    assert set(COMPOSE["volumes"]) >= {"redis", "s3"}
    for name in ("embedder", "api"):
        assert any(mount.endswith(":/data:ro") for mount in mounts[name])


def test_services_can_be_scaled() -> None:
    assert not any("container_name" in service for service in SERVICES.values())


def test_the_gpu_file_changes_the_embedder_alone() -> None:
    change = yaml.safe_load((ROOT / "compose.gpu.yaml").read_text())["services"]
    assert list(change) == ["embedder"]
    [device] = change["embedder"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["driver"] == "nvidia"
    assert device["capabilities"] == ["gpu"]
    assert change["embedder"]["image"] != SERVICES["embedder"]["image"]
