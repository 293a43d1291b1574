"""The command that tests an ENT."""

import click

from idp.cli.client.commands import client
from idp.registration.trial import checks
from idp.registration.trial.findings import Finding, Repair
from idp.services import services
from idp.terminal import AS_JSON, dumped, plain

REPAIRS = {
    Repair.ACCEPT: "idp client accept {client_id} --uai UAI",
    Repair.ENABLE: "idp client enable {client_id}",
    Repair.NAME_SCHOOL: "ou idp school set {value} --name NOM",
    Repair.PUBLISH_CHARTER: "idp charter publish {client_id}, ou --charter none",
    Repair.NARROW_AUDIENCE: (
        "--audience everyone ; si ce n’est pas voulu : idp client set {client_id} --audience families --uai UAI"
    ),
    Repair.ADD_SCHOOL: "idp client set {client_id} --uai UAI",
    Repair.KEEP_USERNAME: "s’il n’en a pas besoin : idp client set {client_id} --no-release-username",
    Repair.REACH_SERVICE: "voyez IDP_ISSUER, le proxy, le certificat",
    Repair.CORRECT_ISSUER: "IDP_ISSUER doit être le même",
    Repair.MAKE_KEY: "idp keys rotate --alg {value}",
    Repair.CORRECT_FIELD: "--{option}",
    Repair.CORRECT_ALGORITHM: "--auth-alg",
    Repair.TRUST_AUTHORITY: "ou nommez l’autorité dans IDP_CA_BUNDLE",
    Repair.SET_CLOCK: "et voyez l’horloge de cette machine",
    Repair.ALLOW_HOST: "si c’est voulu, nommez {value} dans IDP_OUTGOING_ALLOW",
    Repair.CORRECT_PROXY: "voyez le proxy : il doit laisser passer /authorize et tous ses paramètres",
}
"""What the engineer does, in the language of the findings."""


@client.command("test")
@click.argument("client_id")
@AS_JSON
def try_client(client_id: str, *, as_json: bool) -> None:
    """Check an ENT's registration and URIs; print the findings in French, and exit 1 if one is wrong."""
    subject, findings = checks.read(client_id), []
    for finding in checks.findings(services().server, subject):
        findings.append(finding)
        if not as_json:
            click.echo(f"{_mark(finding)} {plain(_message(finding, client_id))}")
    if as_json:
        rows = [{"check": each.check, "ok": each.ok, "message": _message(each, client_id)} for each in findings]
        click.echo(dumped(rows))
    if not all(finding.ok for finding in findings):
        raise SystemExit(1)


def _mark(finding: Finding) -> str:
    if finding.is_note:
        return "•"
    return "✓" if finding.ok else "✗"


def _message(finding: Finding, client_id: str) -> str:
    if finding.repair is None:
        return finding.message
    option = finding.check.replace("_", "-")
    repair = REPAIRS[finding.repair].format(client_id=client_id, value=finding.value, option=option)
    return f"{finding.message} ({repair})"
