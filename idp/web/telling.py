"""The sentence that says who hears of something: a school that has given a mail address, or nobody unless told.

Templates call it as `told(schools)`. It stands alone, from its capital letter to its full stop. Everything that is
written for a parent about telling a school comes from here, so that it is true in every installation.
"""

from collections.abc import Sequence
from typing import TypedDict

from flask_babel import lazy_gettext as _

from idp.web.i18n import french_spacing


class Tellable(TypedDict):
    """A school as a page or a mail may show it; plain values, as mails want them.

    `by_mail` says whether it has given an address, to which the daily mail of notices goes.
    """

    name: str
    phone: str
    by_mail: bool


def sentence(schools: Sequence[Tellable], *, before: bool = False, named: bool = True) -> str:
    """Return who hears of it, and whom the reader has to tell.

    Args:
        schools: those that got a notice, or would get one.
        before: nothing was done yet: the page asks.
        named: say which schools; not where the holder of a link must learn nothing of the account.
    """
    told = [school for school in schools if school["by_mail"]]
    others = [school for school in schools if not school["by_mail"]]
    parts = [_heard(told, before=before, named=named)] if told else []
    if others or not told:
        parts.append(_to_tell(others, named=named))
    return french_spacing(" ".join(parts))


def _heard(schools: Sequence[Tellable], *, before: bool, named: bool) -> str:
    names, several = ", ".join(school["name"] for school in schools), len(schools) > 1
    if before and named:
        one, many = (
            _("L’établissement sera prévenu : %(schools)s."),
            _("Les établissements seront prévenus : %(schools)s."),
        )
    elif before:
        one, many = _("L’établissement sera prévenu."), _("Les établissements seront prévenus.")
    elif named:
        one, many = (
            _("L’établissement est prévenu : %(schools)s."),
            _("Les établissements sont prévenus : %(schools)s."),
        )
    else:
        one, many = _("L’établissement est prévenu."), _("Les établissements sont prévenus.")
    return str(many if several else one) % {"schools": names}


def _to_tell(schools: Sequence[Tellable], *, named: bool) -> str:
    """Return whom the reader has to tell, with the telephones that are known."""
    places = [", ".join(filter(None, (school["name"] if named else "", school["phone"]))) for school in schools]
    where = " ; ".join(filter(None, places))
    if where:
        return str(_("Dites-le au secrétariat : %(where)s.")) % {"where": where}
    return str(_("Dites-le au secrétariat de l’établissement."))
