"""The command `idp demo`: the whole journey on one machine, until Ctrl-C."""

import importlib.util
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from demo import desk, postgresql, school_file, supervisor
from demo.desk import Colleague
from demo.ents import HOST, DemoEnt, ents_at
from demo.families import ACADEMY
from demo.folder import alone, read_or_draw_secret, write_json
from demo.letters import Paper, SeededLetter
from demo.processes import DESK_OFFSET, SERVICE_HOST, SMTP_OFFSET, WEB_OFFSET, exported, neighbours, ports_of, service
from demo.seed import in_order, seed
from idp import paths, schema
from idp.app import create_app
from idp.config import PREFIX, ConfigurationError, Settings, load
from idp.db import db

DEFAULT_PORT = 8000
HIGHEST_PORT = 65535 - WEB_OFFSET


def command(folder: Path = paths.CHECKOUT / "var" / "demo") -> click.Command:
    """Return `idp demo`, which keeps its data in `folder`."""

    @click.command("demo")
    @click.option(
        "--port",
        type=click.IntRange(1, HIGHEST_PORT),
        envvar="DEMO_PORT",
        default=DEFAULT_PORT,
        show_default=True,
        show_envvar=True,
        help=f"The service's port; +1 and +2 are the ENTs', +{DESK_OFFSET} the desk's, +{SMTP_OFFSET} SMTP's, "
        f"+{WEB_OFFSET} the mail page's.",
    )
    @click.option("--reset", is_flag=True, help="End the demonstration that runs, and delete its data.")
    @click.option("--environment", envvar=f"{PREFIX}ENV", default="development", hidden=True)
    @click.option("--database", envvar=f"{PREFIX}DATABASE_URL", hidden=True)
    @click.option("--configuration", envvar=f"{PREFIX}CONFIG", hidden=True)
    def demo(port: int, environment: str, database: str | None, configuration: str | None, *, reset: bool) -> None:
        """Run the service, two ENTs, the mail worker and a mailbox with invented families, until Ctrl-C.

        All data stay on this machine, in var/demo/; a second start continues with them.
        """
        if reset:
            _reset(folder)
            return
        _refuse_real_settings(environment, database, configuration)
        _check_parts_are_here()
        with supervisor.StopRequest() as stop:
            failure = _run(port, folder, stop)
        if failure:
            raise click.ClickException(
                f"{failure}\nAll other processes are stopped. The logs are in {folder / 'logs'}."
            )
        click.echo("The demonstration is stopped. `make demo` continues it.")

    return demo


def _reset(folder: Path) -> None:
    with alone(folder, end_other=True):
        postgresql.end_former(folder)
        shutil.rmtree(folder)


def _refuse_real_settings(environment: str, database: str | None, configuration: str | None) -> None:
    """Refuse to run with the settings of a real service: its database must never receive invented families."""
    if environment != "development":
        raise click.ClickException(
            f"the demonstration does not start with {PREFIX}ENV={environment}: unset that variable"
        )
    for name, value in (("DATABASE_URL", database), ("CONFIG", configuration)):
        if value:
            raise click.ClickException(
                f"the demonstration does not start with {PREFIX}{name}, which belongs to a real service: "
                "unset that variable"
            )


def _check_parts_are_here() -> None:
    if not (paths.CHECKOUT / "clients" / "ent").is_dir():
        raise click.ClickException("the folder clients/ is missing: run the demonstration from the project's sources")
    missing = [name for name in ("aiosmtpd", "requests", postgresql.WHEEL) if importlib.util.find_spec(name) is None]
    if missing:
        raise click.ClickException(f"{' and '.join(missing)} not installed: run `make setup`")


def _run(port: int, folder: Path, stop: supervisor.StopRequest) -> supervisor.Failure | None:
    _check_ports(port)
    inherited = {name: value for name, value in os.environ.items() if not name.upper().startswith((PREFIX, "ENT_"))}
    index, files = folder / "demo.json", folder / "fichiers"
    with alone(folder), postgresql.sockets_for(folder) as sockets:
        settings = _settings(port, folder, postgresql.url_at(sockets))
        ents = ents_at(port, folder)
        paper = Paper(folder)
        index.unlink(missing_ok=True)
        with supervisor.Supervisor(stop, logs=folder / "logs", folder=paths.CHECKOUT, inherited=inherited) as watched:
            watched.start([postgresql.server(folder, sockets)])
            failure = watched.wait_for_answers()
            if failure or stop:
                return failure
            watched.start(neighbours(settings, port, ents, folder))  # they need no database
            letters, colleagues = _prepare(settings, ents, paper, files)
            watched.start(service(settings, port))
            paper.print(in_order(letters))
            announcement = Announcement(
                settings, ents, paper, letters, colleagues, files, school_file.write(folder), port
            )

            def ready() -> None:
                write_json(index, announcement.index())
                click.echo(announcement.summary())

            try:
                return watched.run(ready)
            finally:
                index.unlink(missing_ok=True)


def _check_ports(port: int) -> None:
    try:
        taken = supervisor.first_taken(ports_of(port))
    except OSError as error:
        raise click.ClickException(
            f"port {port} and the following ones cannot be opened ({error.strerror}): "
            "choose others, for example DEMO_PORT=9000 make demo"
        ) from error
    if taken is not None:
        raise click.ClickException(
            f"port {taken}, for {ports_of(port)[taken]}, is in use: "
            "free it, or choose other ports, for example DEMO_PORT=9000 make demo"
        )


def _settings(port: int, folder: Path, database_url: str) -> Settings:
    secret = folder / "secret"
    if (folder / "idp.db").exists():
        raise click.ClickException(
            f"the demonstration in {folder} is one of a former release: run `make demo-reset` to start anew"
        )
    if postgresql.data_of(folder).exists() and not secret.is_file():
        raise click.ClickException(
            f"{secret} is missing, and the demonstration's database cannot be read without it: "
            "run `make demo-reset` to start anew"
        )
    try:
        return load(
            env="development",
            issuer=f"http://{SERVICE_HOST}:{port}",
            desk_url=f"http://{desk.HOST}:{port + DESK_OFFSET}",
            database_url=database_url,
            secret_key=read_or_draw_secret(secret),
            smtp_url=f"smtp://{HOST}:{port + SMTP_OFFSET}",
            drain_seconds=0,
            mail_from="ne-pas-repondre@exemple.fr",
            academy=ACADEMY,
            support_phone="03 53 01 12 12",
            support_hours="Mo-Fr 08:00-18:00",
            legal_publisher=f"{ACADEMY} (démonstration : cette académie n’existe pas)",
            dpo_mail="dpd@exemple.fr",
            contact_mail="contact@exemple.fr",
            accessibility_mail="accessibilite@exemple.fr",
        )
    except ConfigurationError as error:
        raise click.ClickException("the demonstration cannot start:\n" + "\n".join(error.faults)) from error


def _prepare(
    settings: Settings, ents: Sequence[DemoEnt], paper: Paper, files: Path
) -> tuple[list[SeededLetter], list[Colleague]]:
    schema.upgrade(settings)
    app = create_app(settings)
    with app.app_context():
        letters, colleagues = seed(settings, ents, paper, files), desk.invite(settings, ents)
        desk.open_notices(ents)
        db.session.remove()
        db.engine.dispose()
    return letters, colleagues


_SHOWN = 6
"""The number of letters on the terminal: remarkable ones that nobody has used."""


@dataclass(frozen=True)
class Announcement:
    """A demonstration that runs at `port`, with families from the school files in `files`.

    `school_file` is the file that the secretary brings to the desk.
    """

    settings: Settings
    ents: Sequence[DemoEnt]
    paper: Paper
    letters: Sequence[SeededLetter]
    colleagues: Sequence[Colleague]
    files: Path
    school_file: Path
    port: int

    @property
    def _mail_page(self) -> str:
        return f"http://{HOST}:{self.port + WEB_OFFSET}"

    def index(self) -> dict[str, Any]:
        """Return the content of `demo.json`; the names are a contract."""
        return {
            "issuer": self.settings.issuer,
            "env": exported(self.settings),
            "ents": [
                {
                    "name": ent.name,
                    "url": ent.url,
                    "client_id": ent.client_id,
                    "uai": ent.uais[0],
                    "uais": ent.uais,
                }
                for ent in self.ents
            ],
            "mailbox": f"{self._mail_page}/mails.json",
            "letters_pdf": str(self.paper.pdf),
            "letters": [letter.printed.row() for letter in self.letters],
            "desk": {
                "url": self.settings.desk_url,
                "staff": [colleague.row() for colleague in self.colleagues],
                "school_file": str(self.school_file),
            },
        }

    def summary(self) -> str:
        """Return the URLs, and the most interesting letters."""
        waiting = [letter for letter in self.letters if letter.usable]
        shown = [letter for letter in waiting if letter.guardian.remark][:_SHOWN]
        lines = [
            "",
            "The demonstration is ready. Open an ENT, with a parent's letter in hand.",
            "",
            *(f"  {'ENT ' + ent.name:<20} {ent.url}   ({_schools(ent)})" for ent in self.ents),
            f"  {'Received mails':<20} {self._mail_page}",
            f"  {self.settings.service_name:<20} {self.settings.issuer}",
            f"  {'School desk':<20} {self.settings.desk_url}",
            "",
            f"Letters: {len(waiting)} of {len(self.letters)} are unused. All letters: {self.paper.pdf}",
            f"The families come from the files in {self.files}",
        ]
        for letter in shown:
            ent = next(ent for ent in self.ents if letter.printed.uai in ent.uais)
            lines += [
                f"  {letter.username:<20} {letter.shown}   {ent.name}",
                f"  {'':<20} {letter.name}: {letter.guardian.remark}",
            ]
        waiting_staff = [colleague for colleague in self.colleagues if colleague.link]
        if waiting_staff:
            lines += ["", "Staff of the desk enrol with these links, each for another browser or profile:"]
            lines += [f"  {colleague.role.value:<20} {colleague.link}" for colleague in waiting_staff]
        lines += [
            "",
            f"The secretary's next school file, to bring on the page « Fichiers » ({school_file.SCHOOL.name}):",
            f"  {self.school_file}",
        ]
        return "\n".join([*lines, "", "Ctrl-C stops everything.", ""])


def _schools(ent: DemoEnt) -> str:
    return ", ".join(school.name for school in ent.schools)
