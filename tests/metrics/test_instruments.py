"""Numbers of all processes are added up; dashboard and alerts of `deploy/` name metrics that exist."""

import ast
import json
import multiprocessing
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from idp.accounts import authentication
from idp.app import create_app
from idp.config import Settings
from idp.desk_app import create_desk
from idp.metrics import catalogue, exposition, instruments
from idp.metrics.catalogue import ALGORITHM, MAIL_DOMAIN, MAILS, RECOVERY, SIGN_IN, SIGN_INS
from idp.metrics.instruments import Counter, Gauge, Histogram, Instrument, Label, Reading
from idp.oidc.keys.material import ALGORITHMS
from idp.passkeys import ceremony
from idp.paths import CHECKOUT
from idp.recovery.answer import Answer
from tests.architecture.tree import modules, nodes_of, parsed
from tests.databases import NOWHERE, settings_for
from tests.metrics.scraping import Numbers, numbers_of
from tests.serving.proxy import program

_context = multiprocessing.get_context("fork")


@pytest.fixture
def _no_new_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Instrument, "all", dict(Instrument.all))


def numbers(registry: CollectorRegistry) -> Numbers:
    return numbers_of(exposition.text(registry, "")[0].decode())


@pytest.mark.usefixtures("_no_new_metrics")
def test_numbers_of_all_processes_are_added_up_and_stay_when_a_process_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries, waiting = Counter("idp_tries_total", "Tries.", Label("result", "ok")), Gauge("idp_waiting", "Waiting.")
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(tmp_path))
    monkeypatch.setattr(Instrument, "registry", registry)

    def count(worker: str, number: int, ready: Any) -> None:
        instruments.start(worker)
        for _ in range(number):
            tries.count("ok")
        waiting.change(1)
        ready.set()
        signal.pause()

    def run(worker: str, number: int) -> Any:
        ready = _context.Event()
        process = _context.Process(target=count, args=(worker, number, ready))
        process.start()
        assert ready.wait(20)
        return process

    first, second = run("0", 3), run("1", 4)
    assert numbers(registry)["idp_tries_total", "result=ok"] == 7
    assert numbers(registry)[("idp_waiting",)] == 2
    os.kill(first.pid, signal.SIGKILL)
    first.join()
    instruments.forget_gauges("0")
    assert numbers(registry)[("idp_waiting",)] == 1, "without that of the process that was killed"
    files = list(tmp_path.iterdir())
    third = run("0", 5)
    assert numbers(registry)["idp_tries_total", "result=ok"] == 12
    assert numbers(registry)[("idp_waiting",)] == 2
    assert len(list(tmp_path.iterdir())) == len(files) + 1, "the counters go on in the same file"
    for process in (second, third):
        process.kill()
        process.join()


@pytest.mark.usefixtures("_no_new_metrics")
def test_a_histogram_has_cumulated_buckets_and_a_sum() -> None:
    seconds = Histogram("idp_answer_seconds", "Time.", buckets=(0.1, 1.0))
    registry = instruments.start()
    try:
        for duration in (0.1, 0.5, 3.0):
            seconds.observe(duration)
        seen = numbers(registry)
    finally:
        instruments.end()
    assert [seen["idp_answer_seconds_bucket", f"le={bound}"] for bound in ("0.1", "1.0", "+Inf")] == [1, 2, 3]
    assert seen[("idp_answer_seconds_sum",)] == pytest.approx(3.6)
    assert seen[("idp_answer_seconds_count",)] == 3
    assert ("idp_answer_seconds_created",) not in seen


_NAMES = {"endpoint", "status", "reason", "limit", "method", "result", "step", "grant", "error", "kind", "lane", "pool"}
_NAMES |= {"outcome", "domain", "state", "format", "alg", "subject"}
"""The names of labels, so that a new one is reviewed: none may be about a person, a school or an ENT."""
_MOST_VALUES = 400


@pytest.mark.usefixtures("_no_new_metrics")
@pytest.mark.own_app
def test_labels_have_closed_sets_of_values(app: Flask, settings: Settings) -> None:
    create_desk(settings_for(settings.database_url, desk_url="https://bureau.example.test"))  # its routes too
    labels = {label for metric in Instrument.all.values() for label in metric.labels}
    assert {label.name for label in labels} == _NAMES
    assert max(map(len, labels)) < _MOST_VALUES


@pytest.mark.usefixtures("_no_new_metrics")
def test_what_strangers_send_makes_no_series(app: Flask, browser: FlaskClient, counted: Callable[[], Numbers]) -> None:
    strange = "lea.martin"
    browser.get(f"/{strange}")
    browser.open("/connexion", method=strange.upper())
    browser.post("/token", data={"grant_type": strange, "client_id": strange})
    MAILS.count(f"{strange}.example", "sent")
    seen = counted()
    assert seen["idp_http_requests_total", "endpoint=none", "status=4xx"] >= 1
    assert seen["idp_token_requests_total", "error=unsupported_grant_type", "grant=other"] == 1
    assert seen["idp_mail_deliveries_total", "domain=other", "result=sent"] == 1
    assert strange not in str(seen).casefold()
    assert len(MAIL_DOMAIN) < 40


@pytest.mark.usefixtures("_no_new_metrics")
def test_the_first_event_after_a_start_is_a_rise_from_zero(app: Flask, counted: Callable[[], Numbers]) -> None:
    instruments.start_at_zero()
    SIGN_INS.count("passkey", "ok")
    seen = counted()
    assert seen["idp_sign_ins_total", "method=passkey", "result=ok"] == 1
    for series in (
        ("idp_sign_ins_total", "method=password", "result=ok"),
        ("idp_activation_steps_total", "step=confirmed"),
        ("idp_outbox_deliveries_total", "kind=confirm_email", "outcome=relay_down"),
        ("idp_password_hash_wait_seconds_count", "lane=sign_in"),
        ("idp_database_connections_in_use", "pool=statements"),
        ("idp_password_hashes_waiting", "lane=activation"),
    ):
        assert seen[series] == 0
    assert not [series for series in seen if series[0] == "idp_http_requests_total"], "they are too many"
    assert ("idp_worker_last_run_timestamp_seconds",) not in seen, "this worker never ran"
    assert len(seen) < 2000
    before = len(seen)
    instruments.start_at_zero()
    assert (len(counted()), counted()["idp_sign_ins_total", "method=passkey", "result=ok"]) == (before, 1)


@pytest.mark.usefixtures("_no_new_metrics")
@pytest.mark.usefixtures("app")
def test_labels_have_the_words_of_the_rest_of_the_service() -> None:
    for label, words in (
        (RECOVERY, list(Answer)),
        (SIGN_IN, [*get_args(authentication.Reason), *get_args(ceremony.Reason)]),
        (ALGORITHM, ALGORITHMS),
    ):
        assert [word for word in words if label.value_of(word) != word] == []


@pytest.mark.usefixtures("_no_new_metrics")
def test_each_metric_is_counted_somewhere() -> None:
    declared = {name for name, value in vars(catalogue).items() if isinstance(value, Instrument)}
    assert len(declared) == len(Instrument.all)
    assert declared - {name for path in modules("idp") for name in _used(parsed(path))} == set()


def _used(tree: ast.Module) -> Iterator[str]:
    imports = [node for node in nodes_of(tree) if isinstance(node, ast.ImportFrom)]
    names = {alias.name for node in imports if node.module == catalogue.__name__ for alias in node.names}
    for node in nodes_of(tree):
        if isinstance(node, ast.Name) and node.id in names:
            yield node.id
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) in {"metrics", "catalogue"}:
            yield node.attr


@pytest.mark.usefixtures("_no_new_metrics")
def test_names_and_units_follow_the_conventions() -> None:
    for name, metric in Instrument.all.items():
        assert re.fullmatch(r"idp_[a-z]+(_[a-z]+)*", name)
        assert name.endswith("_total") == isinstance(metric, Counter), name
        assert name.endswith("_seconds") or not isinstance(metric, Histogram), name
        assert metric.help.endswith("."), name
        assert isinstance(metric, Counter | Gauge | Histogram | Reading)


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


@pytest.fixture
def _wired() -> None:
    create_app(settings_for(NOWHERE))  # it names the values of some labels


@pytest.mark.usefixtures("_wired")
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


@pytest.mark.usefixtures("_wired")
def test_every_metric_is_shown_or_watched() -> None:
    text = RULES.read_text() + DASHBOARD.read_text()
    assert [name for name in Instrument.all if name not in text] == []


@pytest.mark.usefixtures("_wired")
def test_each_alert_has_its_section_and_links_to_it() -> None:
    alerts = re.findall(r"- alert: (\w+)", RULES.read_text())
    links = re.findall(r"runbook_url: (\S+)", RULES.read_text())
    assert re.findall(r"^### (\w+)$", GUIDE.read_text(), re.MULTILINE) == alerts
    assert links == [f"https://documentation.exemple.fr/docs/alertes.html#{alert.lower()}" for alert in alerts]
    sections = re.split(r"^### \w+$", GUIDE.read_text(), flags=re.MULTILINE)[1:]
    assert all("**À faire.**" in section for section in sections)
    severities = re.findall(r"severity: (\w+)", RULES.read_text())
    assert [re.findall(r"`(critical|warning|info)`\. ", section) for section in sections] == [[s] for s in severities]


@pytest.mark.usefixtures("_wired")
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


@pytest.mark.usefixtures("_wired")
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


@pytest.mark.usefixtures("_wired")
@pytest.mark.interop
def test_the_alerts_ring_when_they_should(tmp_path: Path) -> None:
    assert "SUCCESS" in promtool("check", "config", str(CHECKOUT / "deploy/prometheus/prometheus.yml"))
    tests = tmp_path / "alerts_test.yml"
    tests.write_text((Path(__file__).parent / "alerts_test.yml").read_text().replace("RULES", str(RULES)))
    assert "SUCCESS" in promtool("test", "rules", str(tests))


@pytest.mark.usefixtures("_wired")
@pytest.mark.interop
def test_the_expressions_of_the_dashboard_can_be_read(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": text} for number, text in enumerate(expressions())]
    file = tmp_path / "panels.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))  # JSON is YAML
    assert f"{len(rules)} rules found" in promtool("check", "rules", str(file))
