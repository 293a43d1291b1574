"""The events of sign-ins, activations, letters, accounts and charters; `idp.audit.kinds` says how they are written."""

from dataclasses import field
from typing import Annotated

from flask_babel import lazy_gettext as _l

from idp.audit.kinds import CALL, Detail, Event, Group, Kind


class SignInSucceeded(Event):
    """A person signed in."""

    row = Kind(
        "sign_in",
        "connexion",
        Group.SIGN_INS,
        by_staff=False,
        exported=("amr", "door"),
        family={
            "ok": "Connexion réussie",
            "refused": "Connexion refusée",
            "throttled": "Trop d’essais : connexion à attendre",
        },
    )
    sid: str
    amr: Annotated[
        list[str],
        Detail(
            "moyen",
            en="how the person signed in: `pwd`, or `swk` or `hwk` with `user` for a passkey (RFC 8176), uncertified",
        ),
    ] = field(default_factory=list)
    device: str = ""


class SignInFailed(Event):
    """A sign-in was refused.

    `reason`: `unknown` (no such identifier), `wrong` (the password), `disabled` or `closed` (the account),
    `no_secret` (it has no password), `expired` (the letter), `changed` (the password, meanwhile), `shut` (right, after
    too many wrong ones).
    """

    row = SignInSucceeded.row
    result = "refused"
    reason: str
    username_digest: str
    door: str = "sign_in"
    device: str = ""


class SignInThrottled(Event):
    """A password was refused without a check, because of a rate limit; noted once an hour for each counter."""

    row = SignInSucceeded.row
    result = "throttled"
    username_digest: str
    door: str = "sign_in"


class FailuresAlarm(Event):
    """Many secrets were wrong within a minute, over all accounts, clients and nodes; `most` is the number."""

    row = Kind(
        "failures.alarm", "beaucoup d’essais faux sur tout le service", Group.SERVICE, by_staff=False, technical=True
    )
    most: int


class ForwardedIgnored(Event):
    """A request had forwarded headers although `IDP_TRUSTED_PROXIES` is 0: all parents may seem to have one IP."""

    row = Kind("proxy.ignored", "réglage du réseau à vérifier", Group.SERVICE, by_staff=False, technical=True)


class ActivationOpened(Event):
    """A person typed the identifier and the provisional password of a letter, and began the activation."""

    row = Kind("activation.opened", "activation commencée avec le courrier", Group.ACCOUNTS, by_staff=False)


class ActivationCompleted(Event):
    """A person chose a password; the email is not confirmed yet."""

    row = Kind(
        "activation.completed",
        "mot de passe choisi à l’activation",
        Group.ACCOUNTS,
        by_staff=False,
        family="Mot de passe choisi avec le courrier",
    )
    mail_domain: str


class GuardianshipDisputed(Event):
    """A person, maybe `by_telephone`, said not to be the guardian of `children`: the account closed, schools told.

    `reason` is who called and what they said.
    """

    row = Kind(
        "guardianship.disputed",
        "signalement : quelqu’un a dit au nom de la personne qu’elle n’est pas le représentant légal d’un élève",
        Group.NOTICES,
        is_open=True,
        family={"": "« Je ne suis pas le représentant légal »", CALL: "Au téléphone : « Ce n’est pas mon enfant »"},
        own=_l("%(who)s a fermé votre compte %(when)s, le temps d’une vérification, après un appel en votre nom."),
    )
    children: list[str]
    uais: list[str]
    by_telephone: bool = False
    reason: str = ""


class DisputeSettled(Event):
    """An operator settled a dispute about guardianship or about the email.

    `dispute` is the kind of notice. `outcome` is `confirm` if the dispute was right, else `reject`. `before` and
    `after` are the states of the tie or of the email, of which only the domain is stored.
    """

    row = Kind(
        "dispute.settled",
        "contestation réglée par l’établissement",
        Group.NOTICES,
        exported=("dispute", "outcome"),
        is_open=True,
        family="Signalement réglé",
        own=_l("%(who)s a répondu à un signalement sur votre compte %(when)s."),
    )
    dispute: Annotated[str, Detail("objet")]
    outcome: str
    before: str
    after: str
    reason: str
    children: list[str] = field(default_factory=list)


class ActivationReported(Event):
    """The mailbox of the school's file reported that somebody else activated the account; the schools are told."""

    row = Kind(
        "activation.reported",
        "signalement : « Ce n’est pas moi »",
        Group.NOTICES,
        by_staff=False,
        is_open=True,
        family="L’adresse mail du fichier répond : « Ce n’est pas moi »",
    )
    uais: list[str]


class SessionsEnded(Event):
    """Sessions ended without a sign-out; `count` is their number and `by` the cause.

    `by`: `breached` (the password is in a list), `contested` (the email), `disputed` (guardianship), `letter` (a new
    one), `operator`, `password_changed`, `password_reset`, `person` (from the list of connections, or with
    the confirmation of the email), `replaced` (another person signed in on the browser, or there were
    too many sessions), `roster` (a school file).
    """

    row = Kind("sessions.ended", "connexions fermées", Group.SIGN_INS, exported=("by", "count"))
    count: int
    by: str


class LetterLinked(Event):
    """The children of a second letter's account (`other`) were moved to this account.

    A parent added the letter, or a school answered its `notice` that both accounts are that parent's.
    """

    row = Kind(
        "letter.linked", "autre courrier ajouté au compte", Group.LETTERS, family="Autre courrier ajouté au compte"
    )
    other: str
    uais: list[str]
    notice: str = ""


class LetterLinkDoubted(Event):
    """A parent added a second letter, maybe a namesake's; the school decides. `other` is the account of that letter."""

    row = Kind("letter.link_doubted", "courrier d’un autre compte, à vérifier", Group.LETTERS, by_staff=False)
    result = "refused"
    other: str


class LetterUnlinked(Event):
    """An added letter is another person's: its account (`other`) has its children again, and this one has not."""

    row = Kind(
        "letter.unlinked",
        "courrier ajouté, retiré du compte par l’établissement",
        Group.LETTERS,
        family="Courrier ajouté, retiré du compte",
    )
    other: str
    uais: list[str]
    reason: str


class LetterReissued(Event):
    """An operator made a new letter for an account that has been active: its password and sessions ended."""

    row = Kind(
        "letter.reissued",
        "nouveau courrier pour un compte en service, ancien mot de passe terminé",
        Group.LETTERS,
        family="Nouveau courrier préparé",
    )
    reason: str


class AccountChanged(Event):
    """An operator or a school file changed the state or the claims of an account.

    `change`: `unlocked`, `enabled`, `password_blocked`, `letter_voided` (others may hold the letter),
    `mailbox_released` (the email serves another account), `left` (no child is left), `returned` (a child is back),
    `replaced` (another person has the file's key), or `claims` with the names of set (`+`) and removed (`-`) claims.
    """

    row = Kind(
        "account.changed",
        "état du compte changé",
        Group.ACCOUNTS,
        exported=("change",),
        family={
            "unlocked": "Compte débloqué",
            "enabled": "Compte rouvert",
            "left": "Compte fermé : plus d’enfant inscrit",
            "returned": "Compte rouvert : enfant inscrit",
            "replaced": "Compte fermé : le fichier donne sa place à une autre personne",
            "password_blocked": "Mot de passe bloqué",
            "letter_voided": "Courrier annulé : il ne marche plus",
        },
        own={
            "enabled": _l("%(who)s a rouvert votre compte %(when)s."),
            "password_blocked": _l("%(who)s vous a demandé de choisir un nouveau mot de passe %(when)s."),
            "unlocked": _l("%(who)s a débloqué votre compte %(when)s."),
        },
    )
    change: str


class AccountRead(Event):
    """An operator looked at an account; `school` is the school in whose name, if any."""

    row = Kind("account.read", "compte consulté par l’établissement ou l’équipe du service", Group.DESK)
    school: str = ""


class AccountHidden(Event):
    """An operator who acts for `school` asked for an account of another school, and was told that there is none."""

    row = AccountRead.row
    result = "refused"
    school: str


class AccountPurged(Event):
    """The purge removed an account; `why` is the rule: `inactive`, `left` or `disabled`."""

    row = Kind("account.purged", "compte supprimé", Group.ACCOUNTS, by_staff=False)
    why: str


class InactivityWarned(Event):
    """A mail told a person that the account will be removed unless they sign in."""

    row = Kind("account.inactivity_warned", "mail : compte bientôt effacé", Group.ACCOUNTS, by_staff=False)


class CharterAccepted(Event):
    """A person accepted a version of a charter, shown by the ENT or by this service (`shown_by`: `ent`, `provider`)."""

    row = Kind("charter.accepted", "charte acceptée", Group.ENTS, by_staff=False, exported=("shown_by", "version"))
    version: str
    shown_by: Annotated[str, Detail("montrée par", {"ent": "l’ENT", "provider": "ce service"})]


class CharterRefused(Event):
    """A person declined a version of a charter that this service showed."""

    row = Kind("charter.refused", "charte refusée", Group.ENTS, by_staff=False, exported=("version",))
    result = "refused"
    version: str


class CharterPublished(Event):
    """An operator published a version of a charter; `former` was current before, `sha256` is of the new text."""

    row = Kind("charter.published", "charte publiée", Group.ENTS, technical=True, of_ent=True)
    version: str
    former: str = ""
    sha256: str = ""


class SignedOut(Event):
    """A person signed out; `by` is the `client_id` of the ENT that asked, or `page`."""

    row = Kind("sign_out", "déconnexion", Group.SIGN_INS, by_staff=False, exported=("by",))
    sid: str
    by: str


class CodeIssued(Event):
    """A person entered an ENT: the ENT got an authorization code."""

    row = Kind("code.issued", "entrée dans un ENT", Group.SIGN_INS, by_staff=False)
    sid: str


class CodeReused(Event):
    """An authorization code was presented again; all tokens that it gave were revoked (RFC 9700 4.5).

    Further replays, which find them revoked, are recorded once an hour.
    """

    row = Kind("code.reused", "entrée présentée deux fois, accès annulé", Group.SIGN_INS, by_staff=False)
    result = "refused"


class RefreshReused(Event):
    """A rotated refresh token was presented again; its whole family was revoked (RFC 9700 4.14).

    Further replays, which find the family revoked, are recorded once an hour.
    """

    row = Kind("refresh.reused", "accès présenté deux fois, annulé", Group.SIGN_INS, by_staff=False)
    result = "refused"


class LetterDrawn(Event):
    """A new provisional password was made for a letter."""

    row = Kind(
        "letter.drawn",
        "mot de passe provisoire préparé pour un courrier",
        Group.LETTERS,
        fuller="letter.reissued",
        family="Courrier préparé",
        own=_l("%(who)s a imprimé un courrier %(when)s."),
    )
