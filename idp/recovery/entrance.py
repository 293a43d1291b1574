"""The URL that mails and pages of this slice lead to: the ENT, whose sign-in leads back here."""

from idp.accounts import directory
from idp.accounts.models import Account
from idp.clients import audience
from idp.config import Settings


def entrance(settings: Settings, account: Account) -> str:
    """Return the URL of the ENT that serves a child's school, or of our own sign-in page if there is none."""
    ent = audience.first_ent(account)
    url = ent.home_uri or ent.entrance(settings.issuer) if ent else ""
    return url or f"{settings.issuer}/connexion"


def ent_name(account: Account) -> str:
    """Return the name of the ENT that serves a child's school, or an empty string."""
    ent = audience.first_ent(account)
    return ent.name if ent else ""


def school_names(account: Account) -> str:
    """Return the schools of the account's children on one line: « Collège des Tilleuls, Lycée Louise-Weber »."""
    return ", ".join(school.name for school in directory.schools(account))
