"""The sentence for parents that says which schools are informed by mail, and which the parent must inform.

Pages call it as `told(schools)`, mails as `told_plainly(schools)`. It is a complete sentence. All texts that say who is
informed come from here.
"""

from collections.abc import Sequence
from typing import TypedDict

from flask_babel import lazy_gettext as _
from markupsafe import Markup, escape

from idp.services import services
from idp.web.i18n import left_to_right, spacing
from idp.web.theme import phone_link


class Tellable(TypedDict):
    """A school for a page or a mail; `by_mail` says whether it has an email for the daily notices."""

    name: str
    phone: str
    by_mail: bool


def sentence(schools: Sequence[Tellable], *, named: bool = True) -> str:
    """Return who is informed by mail, and whom the reader must inform, as plain text.

    The future tense is right before and after the act, since the daily mail is sent later.

    Args:
        schools: the schools that get a notice.
        named: whether to name the schools, with the telephones of those without an email. False if the reader has only
            a link, or a mailbox that may no longer be the account's: a former partner must not learn where the children
            go to school.
    """
    informed, others = _by_mail(schools)
    parts = [_informed(informed, named=named)] if informed else []
    if others or not informed:
        places = (
            [", ".join(filter(None, (entry["name"], left_to_right(entry["phone"])))) for entry in others]
            if named
            else []
        )
        parts.append(_to_inform(placed=bool(places)) % {"where": " ; ".join(places)})
    return spacing(" ".join(parts))


def on_page(schools: Sequence[Tellable], *, named: bool = True) -> Markup:
    """Return `sentence` for a page: telephones are links, and the help line is added if no telephone is known."""
    informed, others = _by_mail(schools)
    parts = [escape(spacing(_informed(informed, named=named)))] if informed else []
    if others or not informed:
        places = [_place(entry) for entry in others] if named else []
        where = Markup("\u00a0; ").join(places)
        parts.append(Markup(_to_inform(placed=bool(places))) % {"where": where})  # noqa: S704 - our own sentence
        if not any(named and entry["phone"] for entry in others):
            parts.extend(_help_line())
    return Markup(" ").join(parts)


def _by_mail(schools: Sequence[Tellable]) -> tuple[list[Tellable], list[Tellable]]:
    return [entry for entry in schools if entry["by_mail"]], [entry for entry in schools if not entry["by_mail"]]


def _informed(schools: Sequence[Tellable], *, named: bool) -> str:
    names, several = ", ".join(school["name"] for school in schools), len(schools) > 1
    if named:
        singular, plural = (
            _("L’établissement sera prévenu par mail : %(schools)s."),
            _("Les établissements seront prévenus par mail : %(schools)s."),
        )
    else:
        singular, plural = (
            _("L’établissement sera prévenu par mail."),
            _("Les établissements seront prévenus par mail."),
        )
    return str(plural if several else singular) % {"schools": names}


def _to_inform(*, placed: bool) -> str:
    if placed:
        return spacing(str(_("Dites-le au secrétariat : %(where)s.")))
    return str(_("Dites-le au secrétariat de l’établissement de votre enfant."))


def _place(school: Tellable) -> Markup:
    name, phone = escape(school["name"]), _phone(school["phone"])
    return Markup(", ").join(filter(None, (name, phone)))


def _phone(number: str) -> Markup:
    if not number:
        return Markup()
    return Markup('<a class="tel" dir="ltr" href="{}">{}</a>').format(phone_link(number), number.replace(" ", "\u00a0"))


def _help_line() -> list[Markup]:
    number = services().settings.support_phone
    if not number:
        return []
    text = Markup(spacing(str(_("Assistance aux familles : %(phone)s."))))  # noqa: S704 - our own sentence
    return [text % {"phone": _phone(number)}]
