"""The list of what this installation consists of, in CycloneDX 1.6: of what constraints.txt names, as it is installed.

`make sbom` lists the dependencies of a release in the same format; this list is about the running environment.
"""

import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from typing import Any

from idp import __version__
from idp.paths import CONSTRAINTS

_PINNED = re.compile(r"^([a-z0-9][a-z0-9._-]*)==.*?(?=^[a-z0-9]|\Z)", re.MULTILINE | re.DOTALL)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_REQUIRED_NAME = re.compile(r"[A-Za-z0-9._-]+")
_CLASSIFIER = "License :: OSI Approved :: "
_SELF = "scolarite-services"


def bill_of_materials() -> dict[str, Any]:
    """Return the list as JSON."""
    text = CONSTRAINTS.read_text(encoding="utf-8")
    pinned = {match.group(1): _HASH.findall(match.group(0)) for match in _PINNED.finditer(text)}
    installed = {name: package for name in pinned if (package := _installed(name))}
    references = {name: f"pkg:pypi/{name}@{package.version}" for name, package in installed.items()}
    itself = {"type": "application", "bom-ref": _SELF, "name": _SELF, "version": __version__}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {**itself, "licenses": [{"license": {"id": "EUPL-1.2"}}]}},
        "components": [_component(name, installed[name], references[name], pinned[name]) for name in installed],
        "dependencies": [
            {"ref": _SELF, "dependsOn": sorted(references.values())},
            *(
                {
                    "ref": references[name],
                    "dependsOn": sorted(references[other] for other in _required(package) if other in references),
                }
                for name, package in installed.items()
            ),
        ],
    }


def _installed(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:  # for another platform or another Python
        return None


def _component(name: str, package: Distribution, reference: str, hashes: list[str]) -> dict[str, Any]:
    """Return one component; one of the hashes is that of the file that was installed."""
    component = {"type": "library", "bom-ref": reference, "name": name, "version": package.version, "purl": reference}
    files = [{"alg": "SHA-256", "content": content} for content in hashes]
    return {**component, "hashes": files, "licenses": _licences(package)}


def _licences(package: Distribution) -> list[dict[str, Any]]:
    metadata = package.metadata.json
    if expression := metadata.get("license_expression"):
        return [{"expression": expression}]
    classifiers = [
        text.removeprefix(_CLASSIFIER) for text in metadata.get("classifier", ()) if text.startswith(_CLASSIFIER)
    ]
    names = classifiers or [str(metadata.get("license", "")).partition("\n")[0][:80] or "unknown"]
    return [{"license": {"name": name}} for name in names]


def _required(package: Distribution) -> set[str]:
    names = {match.group(0) for text in package.requires or () if (match := _REQUIRED_NAME.match(text))}
    return {re.sub(r"[-_.]+", "-", name).lower() for name in names}
