"""The columns that hold data about a person: which ones an export shows, names or omits.

Every table and every column is listed here, or in `left_out.TABLES` with its reason; a test compares both with the
database. Labels are French, since the person reads them.
"""

from flask_babel import lazy_gettext as _l
from sqlalchemy import or_

from idp.accounts.models import Account, Child, FormerMailbox, Guardianship, OneTimeLink, RosterAlias, SchoolNotice
from idp.accounts.suspensions.models import Suspension
from idp.audit.models import AuditEntry
from idp.charter.models import CharterAcceptance
from idp.oidc.models import AuthorizationCode, Token
from idp.operations.personal_data import redactions
from idp.operations.personal_data.part import DIGEST, KEY, OWN, Part
from idp.outbox.models import OutboxMessage
from idp.passkeys.models import Passkey, PasskeyUser
from idp.rostering.models import ImportIssue
from idp.sessions.models import DeviceSession, Session

_ACCOUNT = Part(
    Account,
    _l("Votre compte"),
    lambda person: Account.id.in_(person.accounts),
    {
        "id": _l("Clé du compte"),
        "username": _l("Identifiant"),
        "profile": _l("Profil"),
        "civility": _l("Civilité"),
        "family_name": _l("Nom"),
        "given_name": _l("Prénom"),
        "first_given_name": _l("Prénom avant une correction du fichier"),
        "birth_name": _l("Nom de naissance"),
        "roster_key": _l("Clé dans le fichier de l’établissement"),
        "join_key": _l("Clé connue des ENT"),
        "address_lines": _l("Adresse postale"),
        "postcode": _l("Code postal"),
        "city": _l("Commune"),
        "country": _l("Pays"),
        "address_diffusion": _l("Adresse communicable aux associations de parents"),
        "locale": _l("Langue"),
        "more_claims": _l("Autres informations"),
        "provisional_expires_at": _l("Fin du mot de passe provisoire"),
        "password_changed_at": _l("Mot de passe changé le"),
        "activated_at": _l("Compte activé le"),
        "first_activated_at": _l("Compte activé pour la première fois le, avant un nouveau courrier"),
        "pending_email": _l("Adresse mail à confirmer"),
        "email": _l("Adresse mail"),
        "email_confirmed_at": _l("Adresse mail confirmée le"),
        "school_email": _l("Adresse mail du fichier de l’établissement"),
        "password_blocked_at": _l("Mot de passe bloqué le"),
        "contested_at": _l("Changement d’adresse contesté le"),
        "breached_at": _l("Mot de passe trouvé dans une liste volée le"),
        "tries_forgotten_at": _l("Essais effacés le"),
        "is_from_desk": _l("Compte ouvert par un fichier donné au bureau"),
        "last_sign_in_at": _l("Dernière connexion"),
        "inactive_warned_at": _l("Prévenu de la suppression le"),
        "left_at": _l("Fin de scolarité du dernier enfant"),
        "disabled_at": _l("Compte fermé le"),
        "suspended_at": _l("Compte suspendu le"),
        "suspended_until": _l("Compte suspendu jusqu’au"),
        "created_at": _l("Créé le"),
        "updated_at": _l("Modifié le"),
    },
    {
        "password_hash": _l("empreinte du mot de passe"),
        "provisional_hash": _l("empreinte du mot de passe provisoire"),
        "activated_in": DIGEST,
        "contested_email": _l(
            "ancienne adresse mail d’un changement contesté, qui peut être celle d’une autre personne"
        ),
    },
    {
        "name_key": "a digest of the names, to find namesakes",
        "search_text": "a copy of the names and the identifier, folded",
        "mailbox": "a copy of `email`, folded",
        "generation": "a counter of changes of the password",
        "known_use_at": "a copy of the last sign-in, or of another date that is exported, which the purge keeps",
        "letter_school_id": "the school of the last letter, which is a school of the children",
        "merged_into_id": "the person's own other account, which is exported too",
        "merged_rows": "keys and children of that account, which are exported with it",
    },
)

_CHILDREN = Part(
    Child,
    _l("Vos enfants"),
    lambda person: Child.id.in_(person.children),
    {
        "family_name": _l("Nom"),
        "given_name": _l("Prénom"),
        "class_name": _l("Classe"),
        "school_id": _l("Établissement"),
        "student_id": _l("Numéro d’élève"),
        "roster_key": _l("Clé dans le fichier de l’établissement"),
        "moved_at": _l("Arrivé d’un autre établissement le"),
        "left_at": _l("Parti le"),
    },
    left_out={"id": KEY, "search_text": "a copy of the names, the class and the number, folded"},
)

_TIES = Part(
    Guardianship,
    _l("Vos liens avec des enfants"),
    lambda person: Guardianship.account_id.in_(person.accounts),
    {
        "child_id": _l("Enfant"),
        "rank": _l("Rang"),
        "kinship": _l("Lien de parenté"),
        "authority": _l("Responsabilité"),
        "disputed_at": _l("Contesté le"),
        "ended_at": _l("Terminé le"),
        "excluded_at": _l("Écarté par l’établissement le"),
        "was_excluded": _l("Écarté par l’établissement avant un changement du fichier"),
        "suspended_at": _l("Suspendu le"),
        "suspended_until": _l("Suspendu jusqu’au"),
    },
    left_out={"account_id": OWN},
    redact=redactions.tie,
)

_SUSPENSIONS = Part(
    Suspension,
    _l("Suspensions de votre accès, et liens qui attendent la direction"),
    lambda person: Suspension.account_id.in_(person.accounts),
    {
        "child_id": _l("Enfant"),
        "school_id": _l("Établissement"),
        "begins_at": _l("Début"),
        "until": _l("Jusqu’au"),
        "ended_at": _l("Rouvert le"),
        "sessions_ended": _l("Connexions terminées"),
        "former_names": _l("Vos noms d’avant une correction"),
    },
    {
        "reason": _l("motif de l’établissement, qui peut parler d’autres personnes"),
        "reference": _l("document de l’établissement, qui peut parler d’autres personnes"),
        "end_reason": _l("motif de la réouverture, qui peut parler d’autres personnes"),
        "wait": _l("pourquoi un lien attend la direction, ce qui peut parler d’autres personnes"),
    },
    {
        "id": KEY,
        "account_id": OWN,
        "begun_by": "names a member of staff",
        "ended_by": "names a member of staff",
    },
    redactions.suspension,
)

_ALIASES = Part(
    RosterAlias,
    _l("Vos autres clés dans les fichiers des établissements"),
    lambda person: RosterAlias.account_id.in_(person.accounts),
    {"roster_key": _l("Clé")},
    left_out={"account_id": OWN},
)

_FORMER_MAILBOXES = Part(
    FormerMailbox,
    _l("Vos anciennes adresses mail"),
    lambda person: FormerMailbox.account_id.in_(person.accounts),
    {"left_at": _l("Quittée le")},
    {"mailbox": _l("ancienne adresse mail, qui peut être celle d’une autre personne après un changement contesté")},
    {"account_id": OWN},
)

_LINKS = Part(
    OneTimeLink,
    _l("Liens envoyés par mail"),
    lambda person: OneTimeLink.account_id.in_(person.accounts),
    {
        "purpose": _l("Usage"),
        "client_id": _l("ENT"),
        "email": _l("Adresse mail"),
        "created_at": _l("Demandé le"),
        "expires_at": _l("Fin"),
        "used_at": _l("Utilisé le"),
        "revoked_at": _l("Annulé le"),
    },
    {"digest": DIGEST},
    {"id": KEY, "account_id": OWN, "generation": "a counter of changes of the password"},
    redactions.link,
)


_NOTICES = Part(
    SchoolNotice,
    _l("Signalements à un établissement"),
    lambda person: or_(
        SchoolNotice.account_id.in_(person.accounts), SchoolNotice.other_account_id.in_(person.accounts)
    ),
    {
        "school_id": _l("Établissement"),
        "kind": _l("Objet"),
        "note": _l("Correction demandée"),
        "created_at": _l("Signalé le"),
        "digested_at": _l("Envoyé par mail le"),
        "settled_at": _l("Réglé le"),
    },
    {"sentence": _l("phrase de l’établissement, qui peut parler d’autres personnes")},
    {
        "id": KEY,
        "account_id": "the person's own account, or another person's",
        "other_account_id": "the person's own account, or another person's",
        "child_ids": "keys of the children, who stand in their own part, or of another account's children",
        "settled_by": "names a member of staff",
        "taken_by": "names a member of staff",
    },
    redactions.notice,
)

_SESSIONS = Part(
    Session,
    _l("Vos connexions"),
    lambda person: Session.account_id.in_(person.accounts),
    {
        "auth_time": _l("Mot de passe tapé, ou clé d’accès utilisée, le"),
        "amr": _l("Moyen"),
        "acr": _l("Niveau"),
        "created_at": _l("Début"),
        "last_seen_at": _l("Dernière activité"),
        "expires_at": _l("Fin au plus tard"),
        "ended_at": _l("Fin"),
        "ip": _l("Adresse IP"),
        "user_agent": _l("Navigateur"),
    },
    {"digest": DIGEST, "sid": _l("numéro de la connexion, connu des ENT")},
    {"id": KEY, "account_id": OWN, "generation": "a counter of changes of the password"},
)

_ROTATION = {"rotation": "a counter of secrets", "presented": "the secret that was used last"}

_DEVICE_SESSIONS = Part(
    DeviceSession,
    _l("Vos appareils qui restent connectés"),
    lambda person: DeviceSession.account_id.in_(person.accounts),
    {
        "auth_time": _l("Mot de passe tapé le"),
        "amr": _l("Moyen"),
        "acr": _l("Niveau"),
        "created_at": _l("Début"),
        "rotated_at": _l("Dernière utilisation"),
        "expires_at": _l("Fin au plus tard"),
        "ended_at": _l("Fin"),
        "ip": _l("Adresse IP"),
        "user_agent": _l("Navigateur"),
    },
    {"digest": DIGEST, "sid": _l("numéro de la connexion, connu des ENT")},
    {"id": KEY, "account_id": OWN, "generation": "a counter of changes of the password", **_ROTATION},
)

_PASSKEYS = Part(
    Passkey,
    _l("Vos clés d’accès"),
    lambda person: Passkey.account_id.in_(person.accounts),
    {
        "name": _l("Nom"),
        "created_at": _l("Ajoutée le"),
        "last_used_at": _l("Dernière utilisation"),
        "is_backup_eligible": _l("Peut être copiée sur vos autres appareils"),
        "is_backed_up": _l("Copiée sur vos autres appareils"),
    },
    {"credential_id": _l("numéro de la clé"), "public_key": _l("clé publique")},
    {"id": KEY, "account_id": OWN, "sign_count": "a counter of the device"},
)

_PASSKEY_OFFERS = Part(
    PasskeyUser,
    _l("Clés d’accès proposées"),
    lambda person: PasskeyUser.account_id.in_(person.accounts),
    {"offered_at": _l("Le")},
    {"handle": _l("numéro que vos appareils gardent avec la clé")},
    {"account_id": OWN},
)

_CHARTERS = Part(
    CharterAcceptance,
    _l("Chartes acceptées"),
    lambda person: CharterAcceptance.account_id.in_(person.accounts),
    {"charter_version_id": _l("Charte"), "accepted_at": _l("Acceptée le"), "ip": _l("Adresse IP")},
    left_out={"account_id": OWN},
)

_ISSUED = {
    "client_id": _l("ENT"),
    "scope": _l("Informations demandées"),
    "acr": _l("Niveau"),
    "auth_time": _l("Mot de passe tapé, ou clé d’accès utilisée, le"),
    "expires_at": _l("Fin"),
    "used_at": _l("Utilisé le"),
}
_ISSUED_KEYS = {
    "family": KEY,
    "account_id": OWN,
    "session_id": "the connection, which stands in its own part",
    "claims": "what the ENT's software asked for",
}

_CODES = Part(
    AuthorizationCode,
    _l("Entrées dans un ENT"),
    lambda person: AuthorizationCode.account_id.in_(person.accounts),
    _ISSUED,
    {"digest": DIGEST, "nonce": _l("valeur aléatoire de l’ENT"), "code_challenge": DIGEST, "jkt": DIGEST},
    {**_ISSUED_KEYS, "redirect_uri": "the address of the ENT's software"},
)

_TOKENS = Part(
    Token,
    _l("Accès donnés à un ENT"),
    lambda person: Token.account_id.in_(person.accounts),
    {**_ISSUED, "kind": _l("Genre"), "family_expires_at": _l("Fin au plus tard"), "revoked_at": _l("Annulé le")},
    {"digest": DIGEST, "jkt": DIGEST},
    _ISSUED_KEYS,
)

_MESSAGES = Part(
    OutboxMessage,
    _l("Messages qui attendent"),
    lambda person: OutboxMessage.id.in_(person.messages),
    {"kind": _l("Genre"), "created_at": _l("Demandé le"), "available_at": _l("Prochain essai")},
    left_out={
        "id": KEY,
        "payload": "keys of rows that stand in their own parts",
        "attempts": "how the message is handed over",
        "lease": "how the message is handed over",
        "leased_until": "how the message is handed over",
        "finished_at": "empty: the message waits",
        "outcome": "how the message is handed over",
        "last_error": "what a mail server or an ENT answered",
    },
)

_ISSUES = Part(
    ImportIssue,
    _l("Remarques sur les fichiers des établissements"),
    lambda person: ImportIssue.key.in_(person.roster_keys),
    {
        "file": _l("Fichier"),
        "line": _l("Ligne"),
        "key": _l("Clé"),
        "person": _l("Nom dans le fichier"),
        "severity": _l("Gravité"),
        "code": _l("Référence de la remarque"),
    },
    {"message": _l("phrase pour le secrétariat, qui peut parler d’autres personnes")},
    {"id": KEY, "batch_id": "the import, which is an act of an operator", "because": "the key of a pupil"},
)


_JOURNAL = Part(
    AuditEntry,
    _l("Journal de sécurité"),
    lambda person: AuditEntry.account_id.in_(person.accounts),
    {
        "at": _l("Date"),
        "kind": _l("Événement"),
        "result": _l("Résultat"),
        "client_id": _l("ENT"),
        "ip": _l("Adresse IP (de vos propres actes)"),
        "request_id": _l("Référence"),
        "details": _l("Détails (sans ce qui peut parler d’autres personnes)"),
    },
    left_out={
        "id": KEY,
        "account_id": OWN,
        "actor": "names a member of staff",
        "staff_id": "names a member of staff",
        "school_id": "the school for which a member of staff acted",
        "salt": "protects the journal",
        "personal_digest": "protects the journal",
        "mac": "protects the journal",
        "seal_id": "protects the journal",
    },
    redact=redactions.event,
    consulted=("actor",),
)

PARTS = (
    _ACCOUNT,
    _CHILDREN,
    _TIES,
    _SUSPENSIONS,
    _ALIASES,
    _FORMER_MAILBOXES,
    _CHARTERS,
    _SESSIONS,
    _DEVICE_SESSIONS,
    _PASSKEYS,
    _PASSKEY_OFFERS,
    _CODES,
    _TOKENS,
    _LINKS,
    _MESSAGES,
    _NOTICES,
    _ISSUES,
    _JOURNAL,
)
