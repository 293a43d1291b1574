"""Clients, registered and changed: what `idp.registration.metadata` finds no fault with, in one transaction."""

import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm.attributes import set_committed_value

from idp import opaque
from idp.audit import changes, log
from idp.audit.registry_events import ClientChanged
from idp.clients.models import Audience, CharterMode, Client, ClientSchool, SubjectType
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.oidc.client_auth.client import SECRET_METHODS
from idp.registration import access_tokens, client_jwks, metadata, sectors
from idp.registration.wanted import DEFAULT_SCOPES, RegistrationRefused, Wanted
from idp.terminal import instant

__all__ = [
    "DEFAULT_SCOPES",
    "RegistrationRefused",
    "Wanted",
    "add",
    "as_wanted",
    "came_by_invitation",
    "change",
    "check",
    "check_change",
    "count_change",
    "default_alg",
    "disable",
    "enable",
    "ended_itself",
    "get",
    "new_hosts",
    "register",
    "renew_management",
    "rotate_secret",
    "told",
]

FORMER_SECRET_KEPT = timedelta(hours=24)
_OTHER_SECTOR = "another sector would give everybody another sub; register it anew"


def register(settings: Settings, wanted: Wanted, *, client_id: str = "", secret: str = "") -> tuple[Client, str | None]:
    """Register an ENT; return it and its secret, which is shown this once and kept as a digest alone.

    Raises:
        RegistrationRefused: with every fault.
    """
    check(settings, wanted)
    sector = sectors.find(wanted)
    with unit_of_work():
        client, shown = add(wanted, sector, client_id=client_id, secret=secret)
        log.record(ClientChanged(client_id=client.id, change="registered", after=changes.made(told(client))))
    return client, shown


def check(settings: Settings, wanted: Wanted) -> None:
    """Check a registration before it is written.

    Raises:
        RegistrationRefused: with every fault.
    """
    faults = list(metadata.faults(settings, wanted))
    if faults:
        raise RegistrationRefused(faults)


def add(wanted: Wanted, sector: str, *, client_id: str = "", secret: str = "") -> tuple[Client, str | None]:
    """Add a checked registration to the caller's transaction, in a sector of `sectors.find`; see `register`."""
    client = Client(
        id=uuid.uuid4(),
        client_id=client_id or uuid.uuid4().hex[:20],
        sector=sector,
        subject_salt=sectors.salt(sector),
        version=1,
    )
    _write(client, wanted)
    shown = None
    if wanted.auth_method in SECRET_METHODS:
        shown = secret or opaque.new_value()
        client.secret_digest = opaque.digest(shown)
    db.session.add(client)
    return client, shown


def change(client: Client, wanted: Wanted) -> str | None:
    """Change a client's registration in the caller's transaction; return a secret if it needs one from now on.

    Args:
        client: the client as it was read.
        wanted: the registration that `check_change` found no fault with.

    Raises:
        RegistrationRefused: somebody else changed the registration since it was read.
    """
    count_change(client)
    before = _addresses(as_wanted(client))
    _write(client, wanted)
    if wanted.subject != SubjectType.PAIRWISE.value and _addresses(wanted) != before:
        _move(client, sectors.named(wanted))
    if wanted.auth_method not in SECRET_METHODS:
        client.secret_digest = client.former_secret_digest = client.former_secret_until = None
        return None
    if client.secret_digest is not None:
        return None
    shown = opaque.new_value()
    client.secret_digest = opaque.digest(shown)
    return shown


def check_change(settings: Settings, client: Client, wanted: Wanted, *, approved: bool = False) -> None:
    """Check a change before it is written, and before its unit of work: it may read a document by HTTP.

    Args:
        settings: those of this service.
        client: the client as it was read.
        wanted: what it is to be.
        approved: an operator vouches for new hosts of its redirect URIs: it stays in its sector all the same.

    Raises:
        RegistrationRefused: with every fault; a change that would give people another `sub` is one.
    """
    former = as_wanted(client)
    check(settings, wanted)
    if (wanted.subject, wanted.subject_prefix) != (former.subject, former.subject_prefix):
        raise RegistrationRefused(["--subject: the ENT would take everybody for somebody new; register it anew"])
    if _addresses(wanted) == _addresses(former):
        return
    sectors.check_published(wanted)
    if wanted.subject != SubjectType.PAIRWISE.value or sectors.named(wanted) == client.sector:
        return
    if wanted.sector_identifier_uri != former.sector_identifier_uri:
        raise RegistrationRefused([f"--sector-identifier-uri: {_OTHER_SECTOR}"])
    if client.sector and not approved and new_hosts(client, wanted):
        if len(sectors.hosts(wanted.redirect_uris)) > 1:
            said = f"needed on {client.sector}, as the --redirect-uri have several hosts"
            raise RegistrationRefused([f"--sector-identifier-uri is {said}"])
        raise RegistrationRefused([f"--redirect-uri: {_OTHER_SECTOR}"])


def new_hosts(client: Client, wanted: Wanted) -> set[str]:
    """Return the hosts to which a change would let people be led back, and which are not registered."""
    return sectors.hosts(wanted.redirect_uris) - sectors.hosts(client.redirect_uris)


def _addresses(wanted: Wanted) -> tuple[list[str], str]:
    """Return what decides on a sector."""
    return list(wanted.redirect_uris), wanted.sector_identifier_uri


def _move(client: Client, sector: str) -> None:
    """Put a client without pairwise subjects into another sector: it must not call a session as its former one does."""
    if sector != client.sector:
        client.sector, client.subject_salt = sector, sectors.salt(sector)


def count_change(client: Client) -> None:
    """Count a change in the caller's transaction, which from here on holds the row.

    Raises:
        RegistrationRefused: somebody else changed the registration since it was read: two changes that are checked
            apart must not be mixed.
    """
    counted = db.session.scalar(
        update(Client)
        .where(Client.id == client.id, Client.version == client.version)
        .values(version=Client.version + 1)
        .returning(Client.version)
        .execution_options(synchronize_session=False)
    )
    if counted is None:
        raise RegistrationRefused(["the registration was changed by somebody else at this moment; try again"])
    set_committed_value(client, "version", counted)


def as_wanted(client: Client) -> Wanted:
    """Return a registration as it would have to be asked for."""
    return Wanted(
        name=client.name,
        redirect_uris=client.redirect_uris,
        uais=client.uais,
        audience=client.audience.value,
        release_username=client.release_username,
        post_logout_redirect_uris=client.post_logout_redirect_uris,
        backchannel_logout_uri=client.backchannel_logout_uri,
        frontchannel_logout_uri=client.frontchannel_logout_uri,
        initiate_login_uri=client.initiate_login_uri,
        home_uri=client.home_uri,
        auth_method=client.auth_method,
        auth_alg=client.auth_alg,
        jwks=client.jwks,
        jwks_uri=client.jwks_uri,
        profile=client.security_profile,
        par=client.par_required,
        dpop=client.dpop_required,
        sector=client.sector,
        sector_identifier_uri=client.sector_identifier_uri,
        userinfo_alg=client.userinfo_alg,
        default_max_age=client.default_max_age,
        description=client.description,
        subject=client.subject_type.value,
        subject_prefix=client.subject_prefix,
        pkce=client.pkce_required,
        scopes=" ".join(client.scopes),
        always_claims=client.always_claims,
        charter=client.charter_mode.value,
        id_token_alg=client.id_token_alg,
        refresh_id_token=client.refresh_id_token,
        default_profile=client.default_profile,
        profile_uris={str(profile): str(uri) for profile, uri in client.profile_uris.items()},
    )


def told(client: Client) -> dict[str, Any]:
    """Return a registration as the journal keeps it: no secret, no salt, no digest of either."""
    return {**changes.snapshot(client, without=("registration_used_at",)), "uais": client.uais}


def default_alg(profile: str) -> str:
    """Return the algorithm of ID tokens for a registration that names none: the first that there is a key for."""
    if profile != "fapi2":
        return "RS256"
    made = metadata.algorithms_made()
    return next((alg for alg in ("ES256", "PS256", "EdDSA") if alg in made), "ES256")


def _write(client: Client, wanted: Wanted) -> None:
    """Write what was asked for, all but the secret and the salt."""
    client.name = wanted.name.strip()
    client.auth_method, client.auth_alg = wanted.auth_method, wanted.auth_alg
    client.jwks, client.jwks_uri = client_jwks.kept(wanted.jwks), wanted.jwks_uri
    client.redirect_uris = _each_once(wanted.redirect_uris)
    client.post_logout_redirect_uris = _each_once(wanted.post_logout_redirect_uris)
    client.home_uri, client.initiate_login_uri = wanted.home_uri, wanted.initiate_login_uri
    client.backchannel_logout_uri = wanted.backchannel_logout_uri
    client.frontchannel_logout_uri = wanted.frontchannel_logout_uri
    client.scopes, client.always_claims = _each_once(wanted.scopes.split()), _each_once(wanted.always_claims)
    client.subject_type, client.subject_prefix = SubjectType(wanted.subject), wanted.subject_prefix
    client.sector_identifier_uri = wanted.sector_identifier_uri
    client.pkce_required = wanted.pkce
    client.security_profile = wanted.profile
    client.par_required = wanted.par or wanted.profile == "fapi2"
    client.dpop_required = wanted.dpop or wanted.profile == "fapi2"
    client.default_max_age = wanted.default_max_age
    client.id_token_alg, client.userinfo_alg = wanted.id_token_alg, wanted.userinfo_alg
    client.refresh_id_token = wanted.refresh_id_token
    client.charter_mode = CharterMode(wanted.charter)
    client.default_profile, client.profile_uris = wanted.default_profile, dict(wanted.profile_uris)
    client.description = dict(wanted.description)
    client.audience, client.release_username = Audience(wanted.audience), wanted.release_username
    served = {school.uai: school for school in client.schools}
    client.schools = [served.get(uai) or ClientSchool(uai=uai) for uai in _each_once(wanted.uais)]


def get(client_id: str) -> Client:
    """Return a client, enabled or not.

    Raises:
        RegistrationRefused: there is none of that name.
    """
    client = db.session.scalar(select(Client).where(Client.client_id == client_id))
    if client is None:
        raise RegistrationRefused([f"no client {client_id}"])
    return client


@unit_of_work()
def rotate_secret(
    client_id: str, *, keep: timedelta = FORMER_SECRET_KEPT, lost: bool = False, force: bool = False
) -> str:
    """Give a client a new secret; the former stays good for `keep`, on every node, so that the ENT may change over.

    Args:
        client_id: whose secret.
        keep: how long the former one is good still; nothing ends it, and the one before, at once.
        lost: nobody has the present one: the new one takes its place, and the former keeps its end.
        force: the former one ends at once, even if its time is not over.

    Raises:
        RegistrationRefused: there is no such client, it proves itself otherwise, somebody else changed it just now, or
            its former secret is good still: the ENT may use it, and two are good at most.
    """
    client = get(client_id)
    if client.auth_method not in SECRET_METHODS:
        kind = "is a public client" if client.auth_method == "none" else f"authenticates by {client.auth_method}"
        raise RegistrationRefused([f"{client.name} {kind}: it has no secret"])
    if keep and not lost and not force:
        _spare_former_secret(client)
    secret, before = opaque.new_value(), told(client)
    count_change(client)
    if not keep:
        client.former_secret_digest = client.former_secret_until = None
    elif not lost:
        client.former_secret_digest, client.former_secret_until = client.secret_digest, now() + keep
    client.secret_digest = opaque.digest(secret)
    changed = changes.difference(before, told(client))
    log.record(ClientChanged(client_id=client.id, change="secret rotated", **changed))
    return secret


@unit_of_work()
def renew_management(client_id: str) -> str:
    """Return a new registration access token of a client that registered itself; the former one is good no more.

    Raises:
        RegistrationRefused: there is no such client, or it has no such token.
    """
    client = get(client_id)
    if client.registration_digest is None:
        raise RegistrationRefused([f"{client.name} does not manage its registration itself"])
    token = opaque.new_value()
    count_change(client)
    access_tokens.give(client, token)
    log.record(ClientChanged(client_id=client.id, change="registration token renewed"))
    return token


def _spare_former_secret(client: Client) -> None:
    """Refuse to end a secret before the time that the ENT was told.

    Raises:
        RegistrationRefused: it would.
    """
    until = client.former_secret_until
    if until is not None and until > now():
        said = (
            f"{client.name}: the former secret works until {instant(until)}, and a third one would end it at once, "
            "though the ENT may use it still. If nobody has the last one, --lost draws another in its place; "
            "if the ENT uses the last one already, --force"
        )
        raise RegistrationRefused([said])


@unit_of_work()
def disable(client_id: str) -> None:
    """Shut a client out: no code, no token, no claim from here on."""
    client = get(client_id)
    if client.disabled_at is None:
        before, client.disabled_at = told(client), now()
        changed = changes.difference(before, told(client))
        client.version = Client.version + 1
        log.record(ClientChanged(client_id=client.id, change="disabled", **changed))


@unit_of_work()
def enable(client_id: str) -> None:
    """Let a client in again; what was issued before it was shut out and has not expired is good again.

    Raises:
        RegistrationRefused: there is no such client, or it ended its registration itself, for good (RFC 7592 2.3).
    """
    client = get(client_id)
    if ended_itself(client):
        raise RegistrationRefused([f"{client.name} ended its registration itself: invite it to register anew"])
    if client.disabled_at is not None:
        before, client.disabled_at = told(client), None
        changed = changes.difference(before, told(client))
        client.version = Client.version + 1
        log.record(ClientChanged(client_id=client.id, change="enabled", **changed))


def came_by_invitation(client: Client) -> bool:
    """Return whether a client registered itself (RFC 7591)."""
    return client.bounds is not None


def ended_itself(client: Client) -> bool:
    """Return whether a client ended its registration itself, for good (RFC 7592 2.3): its token is forgotten then."""
    return client.registration_digest is None and came_by_invitation(client)


def _each_once(values: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(values))
