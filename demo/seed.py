"""Creates the invented school year as a real one is created: ENTs, school files, letters, signing keys.

Existing data are kept, missing data are added. A demonstration may be stopped at any moment and started again, also on
another port.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select

from demo import intake
from demo.ents import CHARTER_VERSION, SCOPES, DemoEnt
from demo.families import GUARDIANS
from demo.letters import Paper, Printed, SeededLetter
from idp import opaque
from idp.accounts.models import Account
from idp.accounts.passwords.hasher import Hasher
from idp.audit import changes, log
from idp.audit.registry_events import ClientChanged
from idp.charter import service as charters
from idp.clients.models import CharterMode, Client
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.folding import fold
from idp.letters import recipients, secrets
from idp.letters.provisional import BatchHasher
from idp.letters.render.pdf import LetterEnt
from idp.oidc.keys import rotation
from idp.oidc.models import SigningKey
from idp.registration import registrations, rows
from idp.registration.metadata import ClientMetadata


def seed(settings: Settings, ents: Sequence[DemoEnt], paper: Paper, files: Path) -> list[SeededLetter]:
    """Create the missing ENTs, families, letters and signing keys. Requires the application's context.

    Args:
        settings: the provider's settings.
        ents: the ENTs, with their present ports.
        paper: the printed letters. An unused letter that has expired is drawn again.
        files: the folder of the schools' files, written if it does not exist.

    Raises:
        ClickException: the families cannot be imported.
    """
    log.set_origin(log.Origin(actor="idp demo"))
    for ent in ents:
        _register(settings, ent)
    intake.write_files(files)
    intake.import_files(settings, files)
    _draw(settings, paper)
    letters = _letters(paper, _entrances(settings, ents))
    paper.write(letter.printed for letter in letters)
    for ent in ents:
        _publish_charter(ent)
    _make_keys(settings)
    return letters


def in_order(letters: Sequence[SeededLetter]) -> list[Printed]:
    """Return the letters in the order in which schools print them: by school, class and name."""

    def place(letter: SeededLetter) -> tuple[Any, ...]:
        first = letter.printed.letter.children[0]
        guardian = letter.guardian
        return (
            letter.printed.uai,
            recipients.class_order(first.class_name),
            fold(guardian.family_name),
            guardian.given_name,
        )

    return [letter.printed for letter in sorted(letters, key=place)]


def _register(settings: Settings, ent: DemoEnt) -> None:
    client = db.session.scalar(select(Client).where(Client.client_id == ent.client_id))
    if client is None:
        metadata = ClientMetadata(
            name=ent.name,
            uais=ent.uais,
            scopes=SCOPES,
            charter=CharterMode.ENT.value,
            sector="",  # both ENTs have the host 127.0.0.1, and must not know a person by the same `sub`
            **_urls(ent),
        )
        registrations.register(settings, metadata, client_id=ent.client_id, secret=ent.client_secret)
        return
    former = rows.read(client)
    metadata = replace(former, **_urls(ent))
    if metadata != former:
        registrations.check_change(settings, client, metadata)
        with unit_of_work():
            before = registrations.audited(client)
            registrations.change(client, metadata)
            changed = changes.difference(before, registrations.audited(client))
            log.record(ClientChanged(client_id=client.id, change="changed", **changed))
    if client.secret_digest != opaque.digest(ent.client_secret):
        registrations.rotate_secret(ent.client_id, keep=timedelta(), secret=ent.client_secret)


def _urls(ent: DemoEnt) -> dict[str, Any]:
    """Return the fields of the registration that depend on the ENT's port."""
    return {
        "redirect_uris": (f"{ent.url}/callback",),
        "post_logout_redirect_uris": (ent.home, ent.url),
        "backchannel_logout_uri": f"{ent.url}/backchannel-logout",
        "home_uri": ent.home,
        "initiate_login_uri": f"{ent.url}/login",
    }


def _accounts() -> dict[str, Account]:
    keys = [guardian.roster_key for guardian in GUARDIANS]
    accounts = db.session.scalars(select(Account).where(Account.roster_key.in_(keys)))
    return {str(account.roster_key): account for account in accounts}


def _draw(settings: Settings, paper: Paper) -> None:
    """Draw the missing letters; store them before their secrets are valid, so that every valid letter can be read."""
    accounts, printed = _accounts(), paper.printed()
    owed = [accounts[key].username for key in accounts if _is_owed_a_letter(accounts[key], printed.get(key))]
    people = recipients.by_username(owed, None, None, "")
    with BatchHasher(Hasher(settings)) as hasher:
        secrets.draw(settings, hasher, people, paper)


def _is_owed_a_letter(account: Account, printed: Printed | None) -> bool:
    """Return whether a letter must be drawn: not for an activated account, nor after its person gave the letter up.

    A stored letter that expires after the account's secret was never activated in the database: the earlier start was
    interrupted. If it expires before, an operator has printed another one.
    """
    closed = account.activated_at is not None or account.disabled_at is not None or account.has_disputed_tie
    if closed or not account.children:
        return False
    if account.provisional_hash is None:
        return account.generation == 0
    end = account.provisional_expires_at
    return end is None or end <= now() or printed is None or printed.expires_at > end


def _entrances(settings: Settings, ents: Sequence[DemoEnt]) -> dict[str, list[LetterEnt]]:
    by_ent = {}
    for ent in ents:
        registration = recipients.ent_of(recipients.find_school(ent.uais[0]))
        by_ent[ent.name] = LetterEnt(registration.home_uri, registration.short_entrance(settings.issuer))
    return {
        uai: [by_ent[ent.name], *(entry for name, entry in by_ent.items() if name != ent.name)]
        for ent in ents
        for uai in ent.uais
    }


def _letters(paper: Paper, entrances: Mapping[str, Sequence[LetterEnt]]) -> list[SeededLetter]:
    accounts, printed = _accounts(), paper.printed()
    letters = []
    for guardian in GUARDIANS:
        letter = printed.get(guardian.roster_key)
        if letter is not None:
            account = accounts.get(guardian.roster_key)
            usable = account is not None and _waits_for(account, letter)
            letters.append(SeededLetter(guardian, letter.leading_to(*entrances[letter.uai]), usable))
    return letters


def _waits_for(account: Account, letter: Printed) -> bool:
    return (
        account.disabled_at is None
        and account.provisional_hash is not None
        and account.provisional_expires_at == letter.expires_at
        and account.username == letter.letter.username
    )


def _make_keys(settings: Settings) -> None:
    algorithms = set(db.session.scalars(select(SigningKey.alg).where(SigningKey.retired_at.is_(None))))
    for alg in ("RS256", "ES256"):
        if alg not in algorithms:
            rotation.rotate(settings, alg)


def _publish_charter(ent: DemoEnt) -> None:
    published = db.session.scalar(select(Client.charter_version_id).where(Client.client_id == ent.client_id))
    if published is None:
        charters.publish(ent.client_id, CHARTER_VERSION, ent.charter)
