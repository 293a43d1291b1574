"""`/` and `/mon-compte`: the account at a glance, with links to its pages."""

from dataclasses import dataclass

from flask import Blueprint, Response, request, url_for
from flask_babel import gettext, ngettext

from idp.accounts import account_state
from idp.accounts.models import Account
from idp.clock import now
from idp.my_account import connections
from idp.my_account.ent_data import child_in_words
from idp.sessions.guard import signed_in
from idp.sessions.models import Session
from idp.web.i18n import day
from idp.web.redirects import render_page, see_other
from idp.web.request_context import remote_ip

blueprint = Blueprint("my_account", __name__)


@dataclass(frozen=True)
class Tile:
    """A link to a page: its picture, its name, and one sentence on the present state."""

    key: str
    picture: str
    title: str
    sentence: str
    url: str


@blueprint.get("/")
def root() -> Response:
    """Redirect from the service's bare URL."""
    return see_other(url_for("my_account.show"))


@blueprint.get("/mon-compte")
@signed_in
def show(session: Session, account: Account) -> Response:
    """Show the account's person, its pages, and the children."""
    devices = connections.live(account, session)
    return render_page(
        "my_account/mon_compte.html",
        dest=None,
        account=account,
        done=_done(account),
        tiles=_tiles(account, len(devices)),
        devices=[connections.in_words(connection, remote_ip()) for connection in devices],
        children=[child_in_words(child) for child in account.children],
        closed_ties=account_state.of_ties(account),
        is_kept_out=any(tie.is_shut_at(now()) for tie in account.guardianships),
        letter_url=url_for("letter.link"),
        sign_out_url=url_for("oidc.logout"),
    )


def _tiles(account: Account, devices: int) -> list[Tile]:
    return [
        Tile(
            "motdepasse",
            "lock",
            gettext("Changer mon mot de passe"),
            _password_sentence(account),
            url_for("account_password.change"),
        ),
        Tile(
            "adresse",
            "mail",
            gettext("Changer mon adresse mail"),
            _address_sentence(account),
            url_for("account_email.show"),
        ),
        Tile(
            "connexions",
            "phone",
            gettext("Mes connexions"),
            ngettext("%(num)s appareil connecté", "%(num)s appareils connectés", devices),
            url_for("connections.show"),
        ),
        Tile(
            "cles",
            "key",
            gettext("Se connecter sans mot de passe"),
            gettext("Avec l’empreinte, le visage ou le code de votre appareil"),
            url_for("account_passkeys.show"),
        ),
        # The charters are another slice's: the template asks it for the sentence.
        Tile("charte", "charter", gettext("Ma charte"), "", url_for("charter.show_own")),
        Tile(
            "ent",
            "staff",
            gettext("Mes données dans les ENT"),
            gettext("Ce que chaque ENT reçoit de vous"),
            url_for("received.show"),
        ),
    ]


def _password_sentence(account: Account) -> str:
    if account.password_changed_at is None:
        return str(gettext("Celui que vous avez choisi"))
    return str(gettext("Changé le %(day)s", day=day(account.password_changed_at)))


def _address_sentence(account: Account) -> str:
    if account.pending_email:
        return str(gettext("Un changement attend votre confirmation"))
    if account.email_confirmed_at is None:
        return str(gettext("Pas d’adresse confirmée"))
    return str(gettext("Confirmée le %(day)s", day=day(account.email_confirmed_at)))


def _done(account: Account) -> str:
    """Return the sentence about the act on the page before; it never contains what was typed."""
    sentences = {
        "mot-de-passe": gettext("Votre mot de passe est changé. Vos autres appareils sont déconnectés."),
        "mot-de-passe-cles": gettext(
            "Votre mot de passe est changé et vos clés d’accès sont retirées. Vos autres appareils sont déconnectés."
        ),
        "adresse": gettext("Votre adresse mail est à jour."),
        "adresse-gardee": gettext("Vous gardez votre adresse mail actuelle."),
        "courrier": gettext("C’est fait : tous vos enfants sont sur ce compte. L’autre identifiant ne sert plus."),
        "connexions": gettext("Vos autres appareils sont déconnectés."),
    }
    done = request.args.get("fait", "")
    if done == "adresse" and account.pending_email:
        return str(gettext("Touchez le lien envoyé à la nouvelle adresse. En attendant, l’ancienne reste en service."))
    return str(sentences.get(done, ""))
