"""Prometheus' own tool checks the metrics, the alerts and the dashboard's expressions."""

import json
import subprocess
from pathlib import Path

import pytest

from idp.metrics import exposition, instruments
from idp.metrics.instruments import Instrument, Reading
from idp.paths import CHECKOUT
from tests.metrics.test_supplied import RULES, expressions
from tests.serving.proxy import program

pytestmark = pytest.mark.interop


def promtool(*arguments: str, text: str = "") -> str:
    """Run promtool; return its output."""
    done = subprocess.run(
        [program("promtool"), *arguments], input=text, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_metrics_follow_the_conventions() -> None:
    registry = instruments.start()
    try:
        for metric in Instrument.all.values():
            if not isinstance(metric, Reading):
                metric.series(("other",) * len(metric.labels))
        readings = [(m, ("other",) * len(m.labels), 1.0) for m in Instrument.all.values() if isinstance(m, Reading)]
        registry.register(exposition.Readings(lambda: readings))
        registry.register(exposition.Build("worker"))
        text, _ = exposition.text(registry, "")
    finally:
        instruments.end()
    assert text.decode().count("# TYPE") == len(Instrument.all) + 1
    assert promtool("check", "metrics", text=text.decode()) == ""


def test_the_alerts_ring_when_they_should(tmp_path: Path) -> None:
    assert "SUCCESS" in promtool("check", "config", str(CHECKOUT / "deploy/prometheus/prometheus.yml"))
    tests = tmp_path / "alerts_test.yml"
    tests.write_text((Path(__file__).parent / "alerts_test.yml").read_text().replace("RULES", str(RULES)))
    assert "SUCCESS" in promtool("test", "rules", str(tests))


def test_the_expressions_of_the_dashboard_can_be_read(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": text} for number, text in enumerate(expressions())]
    file = tmp_path / "panels.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))  # JSON is YAML
    assert f"{len(rules)} rules found" in promtool("check", "rules", str(file))
