"""The command that tests an ENT."""

from typing import Any

import click

from idp.registration import options
from idp.registration.faults import RegistrationRefusedError
from idp.registration.trial import checks
from idp.registration.trial.findings import Finding
from idp.services import services
from idp.terminal import AS_JSON, dumped, plain


@click.command("test")
@click.argument("client_id")
@AS_JSON
def try_client(client_id: str, *, as_json: bool) -> None:
    """Check an ENT's registration and URIs; print the findings in French, and exit 1 if one is wrong."""
    try:
        subject = checks.read(client_id)
    except RegistrationRefusedError as refused:
        raise click.ClickException("\n".join(map(options.sentence, refused.faults))) from refused
    findings = []
    for finding in checks.findings(services().server, subject):
        findings.append(finding)
        if not as_json:
            click.echo(f"{_mark(finding)} {plain(finding.for_shell)}")
    if as_json:
        click.echo(dumped([_row(finding) for finding in findings]))
    if not all(finding.ok for finding in findings):
        raise SystemExit(1)


def _mark(finding: Finding) -> str:
    if finding.is_note:
        return "•"
    return "✓" if finding.ok else "✗"


def _row(finding: Finding) -> dict[str, Any]:
    return {"check": finding.check, "ok": finding.ok, "message": finding.for_shell}
