"""Writes the invented school year into the database, once: what is there already is kept, what is missing is added.

A demonstration may be stopped at any moment and started again, on another port too.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from sqlalchemy import select

from idp import opaque
from idp.accounts.models import Account, Child, Degree, Guardianship, School, SchoolProfile
from idp.accounts.passwords import Hasher
from idp.audit import log
from idp.audit.events import ClientChanged, LetterDrawn
from idp.charter import service as charters
from idp.clients.models import CharterMode, Client, ClientSchool, SubjectType
from idp.clock import now
from idp.config import Settings
from idp.db import db
from idp.demo.ents import CHARTER_VERSION, SCOPES, DemoEnt
from idp.demo.families import CHILDREN, GUARDIANS, SCHOOLS, DemoGuardian
from idp.demo.paper import Paper, Secret, SeededLetter
from idp.letters import provisional
from idp.oidc import keys
from idp.oidc.models import SigningKey


def seed(settings: Settings, ents: Sequence[DemoEnt], paper: Paper) -> list[SeededLetter]:
    """Make schools, families, ENTs, a signing key and letters be there. Needs the application's context.

    A letter that nobody used and whose time is over is drawn again. Clear secrets are written to `paper` before the
    database knows them, so that no account ever has a letter that nobody can read.
    """
    log.set_origin(log.Origin(actor="idp demo"))
    for ent in ents:
        _register(ent)
    accounts = _accounts()
    secrets = paper.secrets()
    expires_at = now() + timedelta(days=settings.provisional_days)
    drawn: dict[str, str] = {}
    for username, account in accounts.items():
        if _is_owed_a_letter(account, secrets.get(username)):
            drawn[username] = provisional.draw()
            secrets[username] = Secret(provisional.show(drawn[username]), expires_at.astimezone().date())
    _give(drawn, accounts, Hasher(settings))
    for username in drawn:
        accounts[username].provisional_expires_at = expires_at
    letters = [
        _letter(guardian, accounts[guardian.username], secrets[guardian.username], ents)
        for guardian in GUARDIANS
        if guardian.username in secrets
    ]
    paper.keep(letters)
    db.session.commit()
    for ent in ents:
        _publish_charter(ent)
    if not db.session.scalar(select(SigningKey.id).where(SigningKey.retired_at.is_(None)).limit(1)):
        keys.rotate(settings)
    return letters


def _register(ent: DemoEnt) -> None:
    """Register an ENT, or move the one that is registered to where it listens now."""
    client = db.session.scalar(select(Client).where(Client.client_id == ent.client_id))
    if client is None:
        client = Client(
            client_id=ent.client_id,
            name=ent.name,
            scopes=SCOPES,
            subject_type=SubjectType.PAIRWISE,
            charter_mode=CharterMode.ENT,
            redirect_uris=[],
            schools=[ClientSchool(uai=ent.school.uai)],
        )
        db.session.add(client)
        db.session.flush()
        log.record(ClientChanged(client_id=client.id, change="added"))
    _set(
        client,
        secret_digest=opaque.digest(ent.client_secret),
        redirect_uris=[f"{ent.url}/callback"],
        post_logout_redirect_uris=[f"{ent.url}/", ent.url],
        backchannel_logout_uri=f"{ent.url}/backchannel-logout",
        home_uri=f"{ent.url}/",
        initiate_login_uri=f"{ent.url}/login",
    )


def _set(client: Client, **values: Any) -> None:
    """Set what differs; a changed registration gets a new version, which tells running processes to read it again."""
    changes = {name: value for name, value in values.items() if getattr(client, name) != value}
    for name, value in changes.items():
        setattr(client, name, value)
    if changes:
        client.version = (client.version or 0) + 1


def _accounts() -> dict[str, Account]:
    """Return the accounts of the demonstration by identifier, adding those that are missing with their children."""
    children = _children()
    known = {account.username: account for account in db.session.scalars(select(Account))}
    accounts = {}
    for guardian in GUARDIANS:
        account = known.get(guardian.username)
        if account is None:
            account = _account(guardian)
            account.guardianships = [
                Guardianship(child=children[child.student_id], rank=rank, kinship=guardian.kinship)
                for rank, child in enumerate(guardian.children)
            ]
            db.session.add(account)
        accounts[guardian.username] = account
    db.session.flush()
    return accounts


def _children() -> dict[str, Child]:
    """Return the children by their number in the schools' files, adding the missing ones and their schools."""
    schools = {school.uai: school for school in db.session.scalars(select(School))}
    for school in SCHOOLS:
        if school.uai not in schools:
            schools[school.uai] = School(
                uai=school.uai,
                name=school.name,
                degree=Degree.SECONDARY,
                address=list(school.address),
                phone=school.phone,
            )
            db.session.add(schools[school.uai])
    children = {(child.school.uai, child.student_id): child for child in db.session.scalars(select(Child))}
    for child in CHILDREN:
        if (child.uai, child.student_id) not in children:
            children[child.uai, child.student_id] = Child(
                school=schools[child.uai],
                student_id=child.student_id,
                family_name=child.family_name,
                given_name=child.given_name,
                class_name=child.class_name,
            )
            db.session.add(children[child.uai, child.student_id])
    return {child.student_id: children[child.uai, child.student_id] for child in CHILDREN}


def _account(guardian: DemoGuardian) -> Account:
    return Account(
        username=guardian.username,
        profile=SchoolProfile.GUARDIAN,
        civility=guardian.civility,
        family_name=guardian.family_name,
        given_name=guardian.given_name,
        birth_name=guardian.birth_name,
        join_key=guardian.join_key,
        address_lines=list(guardian.home.lines),
        postcode=guardian.home.postcode,
        city=guardian.home.city,
        country="France",
        school_email=guardian.school_email or None,
    )


def _is_owed_a_letter(account: Account, secret: Secret | None) -> bool:
    """Tell whether a provisional password must be drawn: never for who activated, nor for who gave the letter up."""
    if account.activated_at is not None:
        return False
    if account.provisional_hash is None:
        return account.generation == 0
    return secret is None or account.provisional_expires_at is None or account.provisional_expires_at <= now()


def _give(drawn: dict[str, str], accounts: dict[str, Account], hasher: Hasher) -> None:
    """Store the hash of each provisional password, as many at once as the hasher allows so that none waits its turn."""
    with ThreadPoolExecutor(max_workers=hasher.concurrency) as pool:
        hashes = list(pool.map(lambda secret: hasher.hash(secret, lane="sign_in"), drawn.values()))
    for username, hashed in zip(drawn, hashes, strict=True):
        accounts[username].provisional_hash = hashed
        accounts[username].generation = (accounts[username].generation or 0) + 1
        log.record(LetterDrawn(account_id=accounts[username].id))


def _letter(guardian: DemoGuardian, account: Account, secret: Secret, ents: Sequence[DemoEnt]) -> SeededLetter:
    """Return a guardian's letter: from the school of the first child, whose ENT it leads to."""
    school = next(school for school in SCHOOLS if school.uai == guardian.children[0].uai)
    return SeededLetter(
        guardian=guardian,
        secret=secret,
        name=account.display_name,
        school=school.name,
        uai=school.uai,
        ent_url=next(ent.url for ent in ents if ent.school == school),
        children=tuple((child.given_name, child.class_name) for child in guardian.children),
        usable=account.activated_at is None and account.provisional_hash is not None,
    )


def _publish_charter(ent: DemoEnt) -> None:
    published = db.session.scalar(select(Client.charter_version_id).where(Client.client_id == ent.client_id))
    if published is None:
        charters.publish(ent.client_id, CHARTER_VERSION, ent.charter)
