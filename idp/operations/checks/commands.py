"""The commands `idp doctor` and `idp mail test`."""

import os
from collections.abc import Iterator
from dataclasses import asdict
from urllib.parse import urlsplit

import click
from sqlalchemy.exc import SQLAlchemyError

from idp import database_faults
from idp.config import settings_file
from idp.db import db
from idp.mail import smtp
from idp.mail.emails import InvalidEmailError, check_recipient
from idp.operations.checks import database, delivery, machine, proxy, settings
from idp.operations.checks.finding import Check, Finding, Site
from idp.origins import DEFAULT_PORTS
from idp.outbox.worker import PermanentDeliveryError, TemporaryDeliveryError, UncertainDeliveryError
from idp.services import services
from idp.terminal import AS_JSON, dumped, plain

_CHECKS: dict[str, Check] = {
    "settings": settings.check,
    "permissions": machine.check_modes,
    "permissions of the service": machine.check_readable,
    "disk": machine.check_disks,
    "password hashes": machine.check_hash_rate,
    "database": database.check,
    "secret key": database.check_secret_key,
    "signing keys": database.check_signing_keys,
    "mail server": delivery.check_mail_server,
    "outbox": delivery.check_outbox,
    "purge": delivery.check_purge,
    "public URL": proxy.check,
    "desk URL": proxy.check_desk,
    "nodes": proxy.check_nodes,
    "certificates of ENTs": database.check_ents,
}
# The checks that only read the database, after the one of the database itself.
_IN_DATABASE = {"secret key", "signing keys", "outbox", "purge", "certificates of ENTs"}


@click.command("doctor")
@click.option(
    "--node",
    "nodes",
    metavar="URL",
    multiple=True,
    callback=lambda _context, _option, urls: tuple(map(_node, urls)),
    help="URL of `idp serve` on a node, behind the proxy, such as http://10.0.0.11:8000. Repeatable.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=os.cpu_count() or 1,
    show_default="one for each core",
    help="Worker processes of `idp serve` on each node.",
)
@AS_JSON
@click.pass_context
def doctor(context: click.Context, nodes: tuple[str, ...], workers: int, *, as_json: bool) -> None:
    """Check all that the service needs; exit 1 on a fault.

    Each line says what was checked, the result, and what to do. Nothing is changed, and no mail is sent.
    """
    used = services().settings
    files = (context.find_root().params.get("env_file"), settings_file(), used.secret_key_file)
    site = Site(used, nodes, workers, tuple(str(file) for file in files if file))
    findings = []
    for finding in _findings(site):
        findings.append(finding)
        if not as_json:
            _show(finding)
    if as_json:
        click.echo(dumped([asdict(finding) for finding in findings]))
    if any(finding.state == "fault" for finding in findings):
        raise click.exceptions.Exit(1)


def _node(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname or parts.path not in {"", "/"}:
        raise click.BadParameter(f"{plain(url)} is no URL such as http://10.0.0.11:8000")
    return url.rstrip("/")


def _findings(site: Site) -> Iterator[Finding]:
    """Yield what the checks find; a check that the database stops is a fault, if it is the first with that cause."""
    causes: set[str] = set()
    is_unreachable = False
    for name, check in _CHECKS.items():
        unchecked = Finding(name, "not checked: the database cannot be used", "unknown", "repair the fault above")
        if is_unreachable and name in _IN_DATABASE:
            yield unchecked  # each host was tried once, which may take seconds
            continue
        try:
            yield from check(site)
        except SQLAlchemyError as error:
            is_unreachable |= database_faults.is_of_connection(error)
            cause = database_faults.cause(error).removesuffix(".")
            if cause in causes:
                yield unchecked
                continue
            causes.add(cause)
            yield Finding(name, database_faults.outline(error), "fault", cause)
        except Exception as error:  # noqa: BLE001 - one check that breaks does not hide the others
            yield Finding(
                name, f"the check broke: {type(error).__name__}: {error}", "unknown", "report it to the authors"
            )
        finally:
            db.session.remove()


def _show(finding: Finding) -> None:
    click.echo(f"{finding.state:<8} {plain(finding.check)}: {plain(finding.result)}")
    if finding.advice:
        click.echo(f"{'':<8} → {plain(finding.advice)}")


@click.group("mail")
def mail_group() -> None:
    """Try the mail server."""


@mail_group.command("test")
@click.argument("email", metavar="ADDRESS")
def send_test(email: str) -> None:
    """Send a test mail to ADDRESS at once, without the outbox."""
    try:
        recipient = check_recipient(email)
    except InvalidEmailError as error:
        raise click.UsageError(f"{plain(email)} is not one email ({error.reason})") from None
    try:
        smtp.deliver(delivery.compose_test(services().settings, recipient), recipient)
    except (TemporaryDeliveryError, PermanentDeliveryError, UncertainDeliveryError) as error:
        raise click.ClickException(f"the mail was not sent: {error}") from None
    click.echo("the mail server accepted the mail; look at the mailbox, and among its spam")
