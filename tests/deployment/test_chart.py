"""The Helm chart: its objects follow the API of Kubernetes, and it takes secrets by reference alone."""

import json
import re
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from click.testing import CliRunner

from idp import __version__, cli
from idp.config import PREFIX, Settings, load
from idp.metrics.listener import PARTS
from idp.operations.checks.settings import production_faults
from idp.paths import CHECKOUT
from tests.databases import SECRET
from tests.deployment.clean_root import run, tool

CHART = CHECKOUT / "deploy" / "helm"
ISSUER, DESK = "https://connexion.exemple.fr", "https://bureau.exemple.fr"
LEAST = {"secret": "idp", "settings": {"IDP_ISSUER": ISSUER}}
ALL = {"secret": "idp", "desk": {"enabled": True}, "settings": {"IDP_ISSUER": ISSUER, "IDP_DESK_URL": DESK}}
INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"


def helm(*arguments: str | Path) -> str:
    return run(tool("KUBERNETES_TOOLS") / "helm", *arguments)


def values(folder: Path, given: dict[str, Any]) -> Path:
    file = folder / "values.yaml"
    file.write_text(yaml.safe_dump(given), encoding="utf-8")
    return file


def objects(folder: Path, given: dict[str, Any]) -> list[dict[str, Any]]:
    text = helm("template", "idp", CHART, "--values", values(folder, given))
    return [rendered for rendered in yaml.safe_load_all(text) if rendered]


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a strict schema for each kind of object, from the description of the API."""
    folder = tmp_path_factory.mktemp("schemas")
    definitions = json.loads(tool("KUBERNETES_API").read_text(encoding="utf-8"))["definitions"]
    strict = {name: _strict(definition) for name, definition in definitions.items()}
    strict[INT_OR_STRING] = {"type": ["integer", "string"]}
    strict[QUANTITY] = {"type": ["number", "string"]}
    shared = folder / "definitions.json"
    shared.write_text(json.dumps({"definitions": strict}), encoding="utf-8")
    for name, definition in definitions.items():
        for kind in definition.get("x-kubernetes-group-version-kind", ()):
            group = kind["group"].split(".")[0]
            file = "-".join(part for part in (kind["kind"], group, kind["version"]) if part).lower()
            schema = {"$ref": f"{shared.as_uri()}#/definitions/{name}"}
            (folder / f"{file}.json").write_text(json.dumps(schema), encoding="utf-8")
    return folder


def _strict(definition: dict[str, Any]) -> dict[str, Any]:
    return {"additionalProperties": False, **definition} if "properties" in definition else definition


def _validated(schemas: Path, folder: Path, documents: list[dict[str, Any]]) -> subprocess.CompletedProcess[str]:
    file = folder / "objects.yaml"
    file.write_text(yaml.safe_dump_all(documents), encoding="utf-8")
    location = f"{schemas}/{{{{ .ResourceKind }}}}{{{{ .KindSuffix }}}}.json"
    kubeconform = tool("KUBERNETES_TOOLS") / "kubeconform"
    command = [str(kubeconform), "-strict", "-summary", "-schema-location", location, str(file)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def _pods(rendered: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for document in rendered:
        spec = document["spec"].get("jobTemplate", document)["spec"]
        if "template" in spec:
            yield spec["template"]["spec"]


@pytest.mark.interop
@pytest.mark.parametrize("given", [LEAST, ALL], ids=["least", "all"])
def test_the_chart_gives_objects_of_the_api(given: dict[str, Any], schemas: Path, tmp_path: Path) -> None:
    helm("lint", "--strict", CHART, "--values", values(tmp_path, given))
    rendered = objects(tmp_path, given)
    done = _validated(schemas, tmp_path, rendered)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Valid: {len(rendered)}, Invalid: 0, Errors: 0, Skipped: 0" in done.stdout
    kinds = {document["kind"] for document in rendered}
    assert kinds == {
        "CronJob", "Deployment", "HorizontalPodAutoscaler", "Ingress", "Job", "NetworkPolicy", "PodDisruptionBudget",
        "Service",
    }  # fmt: skip


@pytest.mark.interop
def test_pods_have_no_rights_and_commands_that_exist(tmp_path: Path) -> None:
    rendered = objects(tmp_path, ALL)
    pods = list(_pods(rendered))
    assert len(pods) == 5
    for pod in pods:
        [container] = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["automountServiceAccountToken"] is False
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["envFrom"] == [{"secretRef": {"name": "idp"}}]
        if "args" in container:
            done = CliRunner().invoke(cli.cli, [*container["args"], "--help"])
            assert done.exit_code == 0, done.output
    [migrations] = [document for document in rendered if document["kind"] == "Job"]
    assert migrations["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    probed = [pod["containers"][0] for pod in pods if "readinessProbe" in pod["containers"][0]]
    assert {container["name"] for container in probed} == {"provider", "desk"}
    watched = [pod["containers"][0] for pod in pods if "livenessProbe" in pod["containers"][0]]
    ports = {container["name"]: container["ports"][-1] for container in watched}
    assert ports == {
        name: {"name": "metrics", "containerPort": 9464 + PARTS.index(part)}
        for name, part in (("provider", "serve"), ("worker", "worker"), ("desk", "desk"))
    }


@pytest.mark.interop
def test_every_pod_has_a_policy_of_the_network(tmp_path: Path) -> None:
    rendered = objects(tmp_path, ALL)
    selected = [
        document["spec"]["podSelector"]["matchLabels"] for document in rendered if document["kind"] == "NetworkPolicy"
    ]
    for document in rendered:
        spec = document["spec"].get("jobTemplate", document)["spec"]
        if "template" in spec:
            labels = spec["template"]["metadata"]["labels"].items()
            assert any(chosen.items() <= labels for chosen in selected), document["metadata"]["name"]


@pytest.mark.interop
@pytest.mark.parametrize(
    ("closed", "opened"),
    [
        (["ingressFrom"], {9464, 9465, 9466}),
        (["metricsFrom"], {8000, 8003}),
        (["ingressFrom", "metricsFrom"], set()),
    ],
)
def test_an_empty_list_of_callers_opens_a_port_to_nobody(tmp_path: Path, closed: list[str], opened: set[int]) -> None:
    given = {**ALL, "networkPolicy": {name: [] for name in closed}}
    policies = [document["spec"] for document in objects(tmp_path, given) if document["kind"] == "NetworkPolicy"]
    assert len(policies) == 5
    assert all("Ingress" in policy["policyTypes"] for policy in policies)
    rules = [rule for policy in policies for rule in policy["ingress"]]
    assert all(rule["from"] for rule in rules)
    assert {port["port"] for rule in rules for port in rule["ports"]} == opened


@pytest.mark.interop
def test_no_ingress_shows_the_state_of_the_service_to_the_public(tmp_path: Path) -> None:
    rendered = objects(tmp_path, ALL)
    ports = {
        document["metadata"]["name"]: [port["port"] for port in document["spec"]["ports"]]
        for document in rendered
        if document["kind"] == "Service"
    }
    ingresses = [document["spec"]["rules"] for document in rendered if document["kind"] == "Ingress"]
    assert len(ingresses) == 2
    for [rule] in ingresses:
        [closed] = [path for path in rule["http"]["paths"] if path["path"] == "/readyz"]
        assert closed["pathType"] == "Exact"
        service = closed["backend"]["service"]
        assert service["port"]["number"] not in ports[service["name"]]


@pytest.mark.interop
def test_the_pods_reach_the_collector_of_traces_that_the_guide_names(tmp_path: Path) -> None:
    guide = (CHECKOUT / "docs" / "conteneurs.md").read_text(encoding="utf-8")
    [(name, endpoint)] = re.findall(r"`(OTEL_EXPORTER_OTLP_ENDPOINT): (http://\S+)`", guide)
    rendered = objects(
        tmp_path, {"secret": "idp", "settings": {"IDP_ISSUER": ISSUER, "IDP_TRACES": "1", name: endpoint}}
    )
    for pod in _pods(rendered):
        assert {"name": name, "value": endpoint} in pod["containers"][0]["env"]
    policies = [document["spec"]["egress"] for document in rendered if document["kind"] == "NetworkPolicy"]
    assert policies
    for egress in policies:
        assert urlsplit(endpoint).port in {port["port"] for rule in egress for port in rule["ports"]}


@pytest.mark.interop
def test_a_secret_among_the_settings_is_refused(tmp_path: Path) -> None:
    given = {"secret": "idp", "settings": {"IDP_ISSUER": ISSUER, "IDP_SECRET_KEY": "x"}}
    with pytest.raises(AssertionError, match="IDP_SECRET_KEY"):
        objects(tmp_path, given)


def _example(first: str) -> str:
    text = (CHECKOUT / "docs" / "conteneurs.md").read_text(encoding="utf-8")
    [block] = re.findall(rf"^((?:    {re.escape(first)}.*\n)(?:    .*\n)*)", text, re.MULTILINE)
    return textwrap.dedent(block)


def test_the_example_of_the_guide_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    given = yaml.safe_load(_example("image: {repository"))
    standing = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    assert set(given) <= set(standing)
    secrets = dict(line.split("=", 1) for line in _example("IDP_SECRET_KEY=").splitlines())
    assert all(name in (CHART / "values.schema.json").read_text(encoding="utf-8") for name in secrets)
    for name, value in {**standing["settings"], **given["settings"], **secrets}.items():
        monkeypatch.setenv(name, value.replace("…", SECRET))
    assert production_faults(load()) == []
    for name in set(secrets) - {"IDP_SECRET_KEY"}:
        monkeypatch.setenv(name, secrets[name])
        assert production_faults(load()) == [f"{name}: has a placeholder"]
        monkeypatch.setenv(name, secrets[name].replace("…", SECRET))


def test_wrong_settings_stop_the_chart_before_the_tables_change() -> None:
    hook = (CHART / "templates" / "migrations.yaml").read_text(encoding="utf-8")
    assert re.findall(r"^ +(idp .*)$", hook, re.MULTILINE) == [
        "idp config check",
        "idp db upgrade",
        "idp keys rotate --if-none",
    ]


def test_the_chart_knows_every_setting_that_is_a_secret() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    refused = set(schema["properties"]["settings"]["propertyNames"]["not"]["enum"])
    secrets = {name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)}
    tokens = {f"OTEL_EXPORTER_OTLP_{signal}HEADERS" for signal in ("", "TRACES_")}
    assert refused == {f"{PREFIX}{name.upper()}" for name in secrets | {"database_url"}} | tokens


def test_the_chart_has_the_version_of_the_service() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)
    settings = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))["settings"]
    assert {name.removeprefix(PREFIX).lower() for name in settings} <= set(Settings.model_fields)
