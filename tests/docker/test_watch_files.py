"""Dashboard, alert rules and what Prometheus scrapes name only what the api really shows, and all of it."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.meters import METERS, SERVICES, TABLE
from shared.settings import TABLE as SETTINGS
from shared.states import State

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
DASHBOARD: dict[str, Any] = json.loads((DOCKER / "grafana/dashboard.json").read_text())
RULES: list[dict[str, Any]] = yaml.safe_load((DOCKER / "prometheus/alerts.yml").read_text())["groups"][0]["rules"]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel["targets"]] + [rule["expr"] for rule in RULES]
_SELECTOR = re.compile(r"\b(samesky_\w+?)(_bucket|_count|_sum)?\b(?:\{([^}]*)\})?(?![\w])")


def _selectors(text: str) -> list[tuple[str, str, dict[str, str]]]:
    return [
        (name, part, dict(re.findall(r'(\w+)="([^"]*)"', labels))) for name, part, labels in _SELECTOR.findall(text)
    ]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_what_is_asked_for_is_shown(expression: str) -> None:
    values = {"state": {str(state) for state in State}, "service": set(SERVICES), "queue": {"embed", "score"}}
    assert expression.count("(") == expression.count(")")
    for name, part, labels in _selectors(expression):
        meter = METERS[name]
        assert bool(part) is (meter.kind == "histogram")
        for label, value in labels.items():
            assert label in meter.labels
            assert value in values[label]
    for names in re.findall(r"\bby \(([^)]*)\)", expression):
        known = {label for name, _, _ in _selectors(expression) for label in METERS[name].labels} | {"le"}
        assert set(names.split(", ")) <= known


@pytest.mark.parametrize("meter", METERS)
def test_everything_shown_has_its_panel(meter: str) -> None:
    assert meter in {name for panel in PANELS for one in panel["targets"] for name, _, _ in _selectors(one["expr"])}


def test_a_counter_is_looked_at_by_its_rise_alone() -> None:
    for expression in EXPRESSIONS:
        for name, part, _ in _selectors(expression):
            if METERS[name].kind != "gauge":
                assert re.search(rf"(rate|increase)\({name}{part}\[\d+m\]\)", expression), expression


def test_the_dashboard_can_be_imported() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    assert [variable["name"] for variable in DASHBOARD["templating"]["list"]] == ["source"]
    cells: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        own = {(place["x"] + dx, place["y"] + dy) for dx in range(place["w"]) for dy in range(place["h"])}
        assert not own & cells, f"{panel['title']} lies over another panel"
        cells |= own
    for panel in PANELS:
        assert panel["datasource"] == {"type": "prometheus", "uid": "${source}"}
        for target in panel["targets"]:
            shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            assert shown <= {label for name, _, _ in _selectors(target["expr"]) for label in METERS[name].labels}


def test_every_alert_says_what_it_is_and_what_to_do() -> None:
    names = [rule["alert"] for rule in RULES]
    assert len(names) == len(set(names))
    for rule in RULES:
        assert set(rule["annotations"]) == {"summary", "remedy"}
        assert rule["labels"]["severity"] in ("page", "look")
        assert not re.search(r"rate\(.*\) > 0", rule["expr"]) or "for" not in rule
    page = (ROOT / "docs/seeing.md").read_text()
    assert [name for name in names if f"`{name}`" not in page] == []


def test_prometheus_scrapes_the_api_where_compose_puts_it() -> None:
    settings = yaml.safe_load((DOCKER / "prometheus/prometheus.yml").read_text())
    (scraped,) = settings["scrape_configs"]
    assert scraped["static_configs"] == [{"targets": [f"api:{COMPOSE['api']['environment']['SAMESKY_API_PORT']}"]}]
    assert scraped["job_name"] == "samesky", "alerts and dashboard name it"
    assert settings["rule_files"] == ["/etc/prometheus/alerts.yml"]
    assert "./docker/prometheus:/etc/prometheus:ro" in COMPOSE["prometheus"]["volumes"]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not here (Debian's package prometheus)")
@pytest.mark.parametrize("arguments", [("check", "rules", "alerts.yml"), ("test", "rules", "alerts_test.yml")])
def test_the_rules_say_what_they_should(arguments: tuple[str, ...]) -> None:
    run = subprocess.run(
        ["promtool", *arguments], capture_output=True, text=True, check=False, cwd=DOCKER / "prometheus"
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_grafana_finds_prometheus_and_the_dashboard() -> None:
    (source,) = yaml.safe_load((DOCKER / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = yaml.safe_load((DOCKER / "grafana/provisioning/dashboards/samesky.yml").read_text())["providers"]
    home = COMPOSE["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert str(Path(home).parent) == provider["options"]["path"]
    assert f"./docker/grafana/dashboard.json:{home}:ro" in COMPOSE["grafana"]["volumes"]


def test_whoever_reaches_grafana_may_only_look() -> None:
    environment = COMPOSE["grafana"]["environment"]
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert environment["GF_AUTH_BASIC_ENABLED"] == "false"
    assert environment["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"


@pytest.mark.parametrize("name", ["prometheus", "grafana", "flower"])
def test_every_file_that_is_mounted_is_there_and_cannot_be_written(name: str) -> None:
    for volume in COMPOSE[name]["volumes"]:
        source, _, rest = volume.partition(":")
        if source.startswith("."):
            assert (ROOT / source).exists(), source
            assert rest.endswith(":ro")


def test_flower_never_hands_out_work_before_its_time() -> None:
    """Of all who are connected to Redis, the one with the shortest visibility timeout decides."""
    found = importlib.util.spec_from_file_location("flower_celeryconfig", DOCKER / "flower/celeryconfig.py")
    assert found is not None
    assert found.loader is not None
    config = importlib.util.module_from_spec(found)
    found.loader.exec_module(config)
    limits = {row.name: int(row.default) for row in SETTINGS if row.name.endswith("_SECONDS")}
    assert config.broker_transport_options["visibility_timeout"] > 2 * limits["SAMESKY_STEP_LIMIT_SECONDS"]
    assert config.accept_content == ["json"]


def test_the_page_has_the_table_of_the_code() -> None:
    run = subprocess.run(
        [sys.executable, "docs/tables.py", "--check"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert run.returncode == 0, run.stderr
    page = (ROOT / "docs/seeing.md").read_text()
    assert all(f"`{meter.name}`" in page for meter in TABLE)
