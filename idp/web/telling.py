"""The sentence that says who hears of something: a school that has given a mail address, or nobody unless told.

Pages call it as `told(schools)`, mails as `told_plainly(schools)`. It stands alone, from its capital letter to its full
stop. Everything that is written for a parent about telling a school comes from here, so that it is true in every
installation.
"""

from collections.abc import Sequence
from typing import TypedDict

from flask_babel import lazy_gettext as _
from markupsafe import Markup, escape

from idp.services import services
from idp.web.i18n import french_spacing
from idp.web.theme import phone_link


class Tellable(TypedDict):
    """A school as a page or a mail may show it; plain values, as mails want them.

    `by_mail` says whether it has given an address, to which the daily mail of notices goes.
    """

    name: str
    phone: str
    by_mail: bool


def sentence(schools: Sequence[Tellable], *, named: bool = True) -> str:
    """Return who hears of it, and whom the reader has to tell, as plain text.

    The future tense is true before the act and after it: the mail is that of the day, or of the next day.

    Args:
        schools: those that got a notice, or would get one.
        named: name the schools, with the telephones of those that the reader has to tell. False where the reader holds
            a link alone, or a mailbox that may not be the account's any more: a former partner must not learn where
            the children go to school.
    """
    told, others = _parted(schools)
    parts = [_heard(told, named=named)] if told else []
    if others or not told:
        places = [", ".join(filter(None, (one["name"], one["phone"]))) for one in others] if named else []
        parts.append(_to_tell(placed=bool(places)) % {"where": " ; ".join(places)})
    return french_spacing(" ".join(parts))


def on_page(schools: Sequence[Tellable], *, named: bool = True) -> Markup:
    """Return `sentence` for a page: a telephone is a link, and the help line stands in for one that is not known."""
    told, others = _parted(schools)
    parts = [escape(french_spacing(_heard(told, named=named)))] if told else []
    if others or not told:
        places = [_place(one) for one in others] if named else []
        where = Markup("\u00a0; ").join(places)
        parts.append(Markup(_to_tell(placed=bool(places))) % {"where": where})  # noqa: S704 - our own sentence
        if not any(named and one["phone"] for one in others):
            parts.extend(_help_line())
    return Markup(" ").join(parts)


def _parted(schools: Sequence[Tellable]) -> tuple[list[Tellable], list[Tellable]]:
    """Return the schools that hear by mail, and the others."""
    return [one for one in schools if one["by_mail"]], [one for one in schools if not one["by_mail"]]


def _heard(schools: Sequence[Tellable], *, named: bool) -> str:
    names, several = ", ".join(school["name"] for school in schools), len(schools) > 1
    if named:
        one, many = (
            _("L’établissement sera prévenu par mail : %(schools)s."),
            _("Les établissements seront prévenus par mail : %(schools)s."),
        )
    else:
        one, many = _("L’établissement sera prévenu par mail."), _("Les établissements seront prévenus par mail.")
    return str(many if several else one) % {"schools": names}


def _to_tell(*, placed: bool) -> str:
    """Return whom the reader has to tell; if `placed`, with a placeholder for schools and telephones."""
    if placed:
        return french_spacing(str(_("Dites-le au secrétariat : %(where)s.")))
    return str(_("Dites-le au secrétariat de l’établissement de votre enfant."))


def _place(school: Tellable) -> Markup:
    name, phone = escape(school["name"]), _phone(school["phone"])
    return Markup(", ").join(filter(None, (name, phone)))


def _phone(number: str) -> Markup:
    """Return a telephone number as a link that no line breaks; empty without a number."""
    if not number:
        return Markup()
    return Markup('<a class="tel ltr" href="{}">{}</a>').format(phone_link(number), number.replace(" ", "\u00a0"))


def _help_line() -> list[Markup]:
    number = services().settings.support_phone
    if not number:
        return []
    text = Markup(french_spacing(str(_("Assistance aux familles : %(phone)s."))))  # noqa: S704 - our own sentence
    return [text % {"phone": _phone(number)}]
