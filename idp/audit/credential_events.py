"""The events of mail addresses, passwords, passkeys and devices that stay signed in.

A sign-in by a passkey is a `sign_in` with its `amr`.
"""

from typing import Annotated

from flask_babel import lazy_gettext as _l

from idp.audit.events import SignInSucceeded
from idp.audit.kinds import Detail, Event, Group, Kind


class UsernameRequested(Event):
    """Somebody asked for the identifiers of a mailbox; a mail to it named `count` accounts."""

    row = Kind("recovery.username", "identifiant oublié", Group.CREDENTIALS, by_staff=False, is_open=True)
    count: int


class UsernameTold(Event):
    """The account's identifier was mailed to its confirmed email, on request."""

    row = Kind("recovery.username_told", "identifiant envoyé par mail", Group.CREDENTIALS, by_staff=False, is_open=True)


class RecoveryThrottled(Event):
    """A request for an identifier or a password was refused without a check; `form` is `username` or `password`.

    There is one entry an hour for each counter that refuses, however many requests there are.
    """

    row = Kind("recovery.throttled", "demande refusée : trop de demandes", Group.CREDENTIALS, by_staff=False)
    result = "throttled"
    form: str


class ResetRequested(Event):
    """Somebody asked for a new password, or typed the right one of a closed account; `answer` is the decision.

    A mail was sent: `link` (to choose one), `never_activated` (reminds of the letter), `unconfirmed` (a link to confirm
    the email, unless one works), `by_letter` (only a new letter helps), `closed` (says so; no mail if the account
    has no email, or if the right secret was typed). None was sent: `unknown` (no such account), `disabled`,
    `disputed`, `no_address` (the account has no email), `capped` (one was sent a short time ago; only the first such
    request of an hour is written), `late` (the request is too old).
    `blocked`: the right password is blocked; if the account has an email, a second entry says which mail was sent.
    """

    row = Kind(
        "recovery.password",
        "mot de passe oublié",
        Group.CREDENTIALS,
        by_staff=False,
        exported=("answer",),
        is_open=True,
        family="« Mot de passe oublié » demandé",
    )
    answer: str


class PasswordBreached(Event):
    """The right password of an account is in the list of stolen passwords, and is refused from now on."""

    row = Kind(
        "password.breached",
        "mot de passe trouvé dans une liste volée",
        Group.CREDENTIALS,
        by_staff=False,
        family="Mot de passe trouvé dans une liste volée",
    )


class BreachedPasswordsLoaded(Event):
    """An operator put a list of stolen passwords into use; `passwords` is their number."""

    row = Kind(
        "password.list_loaded", "liste de mots de passe volés chargée", Group.SERVICE, by_staff=False, technical=True
    )
    passwords: int


class PasswordReset(Event):
    """A person chose a new password with a link sent by mail; all sessions ended."""

    row = Kind(
        "password.reset",
        "nouveau mot de passe choisi avec un lien",
        Group.CREDENTIALS,
        by_staff=False,
        family="Nouveau mot de passe choisi par le lien d’un mail",
    )


class PasswordChanged(Event):
    """A signed-in person changed the password; the other sessions ended."""

    row = Kind(
        "password.changed", "mot de passe changé", Group.CREDENTIALS, by_staff=False, family="Mot de passe changé"
    )


class Reauthenticated(Event):
    """A signed-in person typed the password again, before an act that requires it."""

    row = Kind("reauthenticated", "mot de passe tapé à nouveau", Group.SIGN_INS, by_staff=False)
    sid: str


class PasskeyChanged(Event):
    """Passkeys of an account changed; `change` is `added` or `removed`, and `count` is their number.

    `by`: `person`, `operator`, `letter` (a new letter for an active account), `contested` (the email), `breached` (the
    password is in a list of stolen ones), `renewal` (the school or the service asks for new passwords).
    """

    row = Kind(
        "passkey.changed",
        "clé d’accès ajoutée ou retirée",
        Group.CREDENTIALS,
        exported=("by", "change", "count"),
        family={"added": "Clé d’accès ajoutée", "removed": "Clé d’accès retirée"},
        own=_l("%(who)s a retiré vos clés d’accès %(when)s."),
    )
    change: str
    by: str
    count: int = 1
    reason: str = ""


class PasskeyRefused(Event):
    """A sign-in by a passkey was refused.

    `reason`: `unknown` (no such passkey), `wrong` (signature, origin or verification), `late` (the challenge is old,
    used, or of another browser), `cloned` (its counter did not grow: the key may exist twice), `changed` (it became
    copyable), `malformed` (no answer of a browser), `closed` (the account is disabled, closed, or not activated).
    """

    row = SignInSucceeded.row
    result = "refused"
    reason: str
    door: str = "passkey"
    device: str = ""


class DeviceSessionChanged(Event):
    """A device session changed; `change` is `begun`, `used` (it opened a session) or `ended`.

    `by`: what ended it, as in `sessions.ended` and `signed_out`; `person` for the others.
    """

    row = Kind(
        "device_session.changed",
        "appareil qui reste connecté : début, utilisation ou fin",
        Group.SIGN_INS,
        exported=("by", "change"),
    )
    change: str
    by: str
    sid: str
    device: str = ""


class DeviceSessionReused(Event):
    """A secret of a device session came back that another one had replaced: it ended, with all of its sessions."""

    row = Kind("device_session.reused", "connexion d’un appareil présentée deux fois, arrêtée", Group.SIGN_INS)
    result = "refused"
    sid: str
    device: str = ""


class EmailLinkSent(Event):
    """A link to confirm an email was put in the outbox."""

    row = Kind(
        "email.link_sent",
        "lien envoyé pour confirmer une adresse mail",
        Group.CREDENTIALS,
        family="Mail de confirmation envoyé",
    )
    mail_domain: str


class EmailConfirmed(Event):
    """A person confirmed an email with the link or the code of its mail."""

    row = Kind(
        "email.confirmed", "adresse mail confirmée", Group.CREDENTIALS, by_staff=False, family="Adresse mail confirmée"
    )
    mail_domain: str


class EmailCodeSpent(Event):
    """The code of a mail was refused for good after too many wrong ones; its link still works."""

    row = Kind(
        "email.code_spent",
        "code du mail tapé faux trop de fois",
        Group.CREDENTIALS,
        by_staff=False,
        family="Code du mail tapé faux trop de fois : il ne sert plus",
    )
    result = "refused"


class EmailChangeAsked(Event):
    """A person asked for another email; the present one stays until the new one is confirmed."""

    row = Kind(
        "email.change_asked",
        "changement d’adresse mail demandé",
        Group.CREDENTIALS,
        by_staff=False,
        family="Changement d’adresse mail demandé",
    )
    mail_domain: str


class EmailChangeCancelled(Event):
    """A person cancelled the change of email, and keeps the present one."""

    row = Kind(
        "email.change_cancelled",
        "changement d’adresse mail annulé",
        Group.CREDENTIALS,
        by_staff=False,
        family="Changement d’adresse mail annulé",
    )


class EmailChangeContested(Event):
    """The link « Ce n’était pas moi » stopped a change of email or, if it had been `applied`, closed the account."""

    row = Kind(
        "email.change_contested",
        "changement d’adresse mail contesté avec le lien « Ce n’était pas moi »",
        Group.CREDENTIALS,
        by_staff=False,
        exported=("applied",),
        is_open=True,
        family="« Ce n’était pas moi » : changement d’adresse arrêté",
    )
    applied: Annotated[bool, Detail("changement déjà fait")]
    uais: list[str]
