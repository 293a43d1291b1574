"""The dashboard and the alerts of `deploy/`: they name metrics that exist; Prometheus’ own tool checks them."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from idp.app import create_app
from idp.metrics import exposition, instruments
from idp.metrics.instruments import Histogram, Instrument, Reading
from idp.paths import CHECKOUT
from tests.databases import NOWHERE, settings_for
from tests.serving.proxy import program

RULES = CHECKOUT / "deploy/prometheus/idp-alerts.yml"
DASHBOARD = CHECKOUT / "deploy/grafana/idp.json"
GUIDE = CHECKOUT / "docs/alertes.md"
_METRIC = re.compile(r"\b(idp_[a-z_]+)(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')
_OF_SCRAPES = {"part", "instance", "job", "le"}


def expressions() -> Iterator[str]:
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"].replace("$__rate_interval", "5m").replace("$part", "serve")


def known() -> dict[str, Instrument | None]:
    names: dict[str, Instrument | None] = {"idp_build_info": None}
    for name, metric in Instrument.all.items():
        parts = ("_bucket", "_sum", "_count") if isinstance(metric, Histogram) else ("",)
        names |= {f"{name}{part}": metric for part in parts}
    return names


@pytest.fixture(autouse=True)
def _wired() -> None:
    create_app(settings_for(NOWHERE))  # it names the values of some labels


def test_each_metric_and_label_that_dashboard_and_alerts_name_exists() -> None:
    alerts = "".join(line for line in RULES.read_text().splitlines(keepends=True) if "runbook_url" not in line)
    names = known()
    for name, matchers in _METRIC.findall("\n".join([alerts, *expressions()])):
        assert name in names, name
        metric = names[name]
        labels = {label.name: label for label in metric.labels} if metric else {}
        for label, _, value in _MATCHER.findall(matchers):
            assert label in labels or label in _OF_SCRAPES, (name, label)
            plain = value.split("|") if label in labels and re.fullmatch(r"[\w.|]*", value) else []
            assert all(labels[label].value_of(part) == part for part in plain), (name, label, value)


def test_every_metric_is_shown_or_watched() -> None:
    text = RULES.read_text() + DASHBOARD.read_text()
    assert [name for name in Instrument.all if name not in text] == []


def test_each_alert_has_its_section_and_links_to_it() -> None:
    alerts = re.findall(r"- alert: (\w+)", RULES.read_text())
    links = re.findall(r"runbook_url: (\S+)", RULES.read_text())
    assert re.findall(r"^### (\w+)$", GUIDE.read_text(), re.MULTILINE) == alerts
    assert links == [f"https://documentation.exemple.fr/docs/alertes.html#{alert.lower()}" for alert in alerts]
    sections = re.split(r"^### \w+$", GUIDE.read_text(), flags=re.MULTILINE)[1:]
    assert all("**À faire.**" in section for section in sections)
    severities = re.findall(r"severity: (\w+)", RULES.read_text())
    assert [re.findall(r"`(critical|warning|info)`\. ", section) for section in sections] == [[s] for s in severities]


def test_the_dashboard_can_be_imported() -> None:
    dashboard: dict[str, Any] = json.loads(DASHBOARD.read_text())
    numbers = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(numbers)) == len(numbers)
    taken = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in dashboard["panels"]]
    assert len(set(taken)) == len(taken)
    assert {variable["name"] for variable in dashboard["templating"]["list"]} == {"source", "part"}


def promtool(*arguments: str, text: str = "") -> str:
    done = subprocess.run(
        [program("promtool"), *arguments], input=text, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.interop
def test_the_metrics_follow_the_conventions() -> None:
    registry = instruments.start()
    try:
        for metric in Instrument.all.values():
            if not isinstance(metric, Reading):
                metric.series(("other",) * len(metric.labels))
        readings = [(m, ("other",) * len(m.labels), 1.0) for m in Instrument.all.values() if isinstance(m, Reading)]
        registry.register(exposition.Readings(lambda: readings))
        exposition.add_build(registry, "worker")
        text, _ = exposition.text(registry, "")
    finally:
        instruments.end()
    assert text.decode().count("# TYPE") == len(Instrument.all) + 1
    assert promtool("check", "metrics", text=text.decode()) == ""


@pytest.mark.interop
def test_the_alerts_ring_when_they_should(tmp_path: Path) -> None:
    assert "SUCCESS" in promtool("check", "config", str(CHECKOUT / "deploy/prometheus/prometheus.yml"))
    tests = tmp_path / "alerts_test.yml"
    tests.write_text((Path(__file__).parent / "alerts_test.yml").read_text().replace("RULES", str(RULES)))
    assert "SUCCESS" in promtool("test", "rules", str(tests))


@pytest.mark.interop
def test_the_expressions_of_the_dashboard_can_be_read(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": text} for number, text in enumerate(expressions())]
    file = tmp_path / "panels.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))  # JSON is YAML
    assert f"{len(rules)} rules found" in promtool("check", "rules", str(file))
