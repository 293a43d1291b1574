"""Asks each node by its own URL, behind the proxy: its version, and the settings that its process runs with."""

import ssl
from collections.abc import Iterator
from http.client import HTTPException
from urllib.parse import urlsplit

from idp import __version__
from idp.operations.doctor import proxy
from idp.operations.doctor.finding import Finding, Site
from idp.operations.health import fingerprints


def check(site: Site) -> Iterator[Finding]:
    """Yield one finding for each node that the operator names."""
    for url in site.nodes:
        yield _check(site, url)


def _check(site: Site, url: str) -> Finding:
    name = f"node {url}"
    try:
        answer = proxy.ask(site.settings, url, urlsplit(site.settings.issuer).netloc)
    except (ssl.SSLError, OSError, HTTPException, UnicodeError) as error:
        return Finding(
            name, f"cannot be asked ({proxy.reason(error)})", "fault", "start it: systemctl status idp-serve"
        )
    process = answer.json.get("process")
    if answer.seen is None or not isinstance(process, dict):
        advice = "the URL leads elsewhere, or the node has another secret key or an older release"
        return Finding(name, f"status {answer.status}, without what runs there", "fault", advice)
    version, theirs = str(process.get("version", "")), process.get("settings")
    result = f"version {version}, {answer.readiness.status}"
    if version != __version__:
        return Finding(name, result, "warning", f"this command is of version {__version__}: upgrade all nodes")
    ours, theirs = fingerprints(site.settings), theirs if isinstance(theirs, dict) else {}
    if different := [setting for setting in ours if ours[setting] != theirs.get(setting)]:
        advice = "give all nodes one file of settings, and restart this one"
        return Finding(name, f"{result}, runs with another {', '.join(different)}", "fault", advice)
    if answer.readiness.status != "ok":
        return Finding(name, result, "fault", answer.readiness.cause.removesuffix(".") or "see its log")
    return Finding(name, f"{result}, runs with the settings of this command")
