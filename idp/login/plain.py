"""The sign-in page, which the door answers in its plain case: most requests of the first evening.

The page of a browser without a session, of which nothing is known, is rendered once for each client and language, with
marks in place of the interaction and the form token; the door puts the values of the request in their place. Flask's
view answers all other requests.
"""

import enum
import secrets
from collections.abc import Callable, Mapping
from typing import NamedTuple

from flask import current_app, g, render_template
from flask_babel import gettext, lazy_gettext as _l

from idp.accounts.passwords.hasher import fold_provisional, looks_provisional
from idp.clients import registry
from idp.interaction import store
from idp.login import known_accounts
from idp.services import services
from idp.sessions import after_activation, cookies, devices, manager
from idp.web import browser, declarations, languages
from idp.web.forms import Form, PlainField, SecretField
from idp.web.http import Request, Response, answering


class Offers(NamedTuple):
    """Whether the page offers « Rester connecté sur cet appareil », and a passkey beside the password."""

    stay: bool
    passkey: bool


class SignInForm(Form):
    """The identifier and the password, as typed."""

    username = PlainField(_l("Identifiant"), name="identifiant", longest=200)
    password = SecretField(_l("Mot de passe"), name="mot-de-passe")
    has_passkeys = PlainField(name="cles", longest=1)
    """Whether the browser can make passkeys; the page's script says so."""
    stays = PlainField(_l("Rester connecté sur cet appareil"), name="rester", longest=1)

    known_account = PlainField(name=known_accounts.PARAMETER, longest=20)
    """The browser's number of the account that was chosen by its name."""

    def __init__(self, offers: Offers) -> None:
        """Read the form. Unless it is offered, the person cannot stay signed in, whatever was sent."""
        super().__init__()
        self.offers_passkey = offers.passkey
        self.choice = known_accounts.Choice()
        self.unknown_key: dict[str, str] = {}  # for the browser, which offers it no more
        if not offers.stay:
            del self.stays

    @property
    def identifier(self) -> str:
        """The identifier that was typed, or that of the account that was chosen. No page shows the latter."""
        return self.username.data or devices.parents().get(self.known_account.data or "", "")

    @property
    def is_to_stay(self) -> bool:
        """Whether the person stays signed in on this device."""
        return bool(self.stays and self.stays.data)


_MARK = f"mark{secrets.token_hex(16)}"
_TOKEN_MARK = f"mark{secrets.token_hex(16)}"
_MOST = 200
_TYPE = "text/html; charset=utf-8"


def links(url: Callable[[str], str], back_url: str) -> dict[str, str]:
    """Return the links of the page; `url` returns the URL of an endpoint with the interaction."""
    return {
        "change_profile_url": url("profile_choice.choose"),
        "forgotten_username_url": url("recovery.username"),
        "forgotten_password_url": url("recovery.password"),
        "back_url": back_url,
    }


class By(enum.Enum):
    """By what a person signs in."""

    PASSWORD = enum.auto()
    PASSKEY = enum.auto()


class Hint(enum.Enum):
    """Which password the page asks for.

    Attributes:
        LETTER: at the first sign-in after a letter, that of the letter.
        CHOSEN: that which was chosen a short time ago, so that no letter's password is right.
        NONE: the page does not say, since no letter's password can be right.
    """

    LETTER = enum.auto()
    CHOSEN = enum.auto()
    NONE = enum.auto()


def render(
    client: registry.Registration | None,
    form: SignInForm,
    urls: Mapping[str, str],
    *,
    connected: str = "",
    is_unknown: bool = False,
    failed: By | None = None,
    wait: int = 0,
    hint: Hint = Hint.LETTER,
) -> str:
    """Return the HTML of the page.

    Args:
        client: the ENT that asks.
        form: the form, with the errors of its fields.
        urls: the links.
        connected: the name of the person whose session is open.
        is_unknown: whether that person may not enter the ENT.
        failed: by what a sign-in failed, if it did.
        wait: the seconds until the next try.
        hint: which password the page asks for.
    """
    return render_template(
        "login/connexion.html",
        dest=client,
        form=form,
        connected=connected,
        is_unknown=is_unknown,
        failed=failed is By.PASSWORD,
        is_of_letter=looks_provisional(fold_provisional(form.password.data or "")),
        key_failed=failed is By.PASSKEY,
        wait=wait,
        has_chosen=hint is Hint.CHOSEN,
        may_be_first=hint is Hint.LETTER,
        stay_days=services().settings.stay_days,
        profile_title=gettext("Parent"),
        letter_days=services().settings.provisional_days,
        **urls,
    )


def show(request: Request) -> Response | None:
    """Return the page in its plain case, or None: the ordinary view answers then.

    Raises:
        InteractionLostError: the interaction of the URL has expired, or belongs to another browser.
    """
    signed = request.arguments.get(store.PARAMETER, "")
    if request.query_string != f"{store.PARAMETER}={signed}".encode() or manager.cookie_value():
        return None
    if cookies.is_device_sent() or known_accounts.are_several():
        return None
    interaction = store.current()
    client = _plain_client(interaction)
    if client is None or after_activation.expected_username():
        return None
    key = client.key, client.version, languages.choose_language(), (offered := offers(interaction))
    pages = services().sign_in_pages
    if key not in pages:
        if len(pages) >= _MOST:
            pages.clear()
        pages[key] = _render_marked(client, key[2], offered)
    token = browser.form_token()
    return Response(pages[key].replace(_MARK, signed).replace(_TOKEN_MARK, token), content_type=_TYPE)


def offers(interaction: store.Interaction | None) -> Offers:
    """Return what the page offers beside the password: nothing to a person with a letter, who types its password.

    No browser says reliably that other people share its device. An ENT that asks for a fresh password, by `prompt`,
    `max_age` or its registration's `default_max_age`, gets one from a person who is not kept signed in.
    """
    requested = interaction.request if interaction else None
    has_letter = requested is not None and requested.is_from_letter
    is_fresh = requested is not None and (
        requested.max_age is not None or bool({"login", "select_account"}.intersection(requested.prompt.split()))
    )
    return Offers(bool(services().settings.stay_days) and not has_letter and not is_fresh, not has_letter)


def prefilled(requested: store.AuthorizationRequest | None) -> str:
    """Return the identifier that a request fills in: its `login_hint`, unless that names a profile."""
    hint = requested.login_hint if requested else ""
    return "" if ":" in hint else hint[:100]


def _plain_client(interaction: store.Interaction | None) -> registry.Registration | None:
    requested = interaction.request if interaction else None
    if interaction is None or requested is None or interaction.person is not None:
        return None
    if requested.ui_locales or prefilled(requested):
        return None
    return registry.find(requested.client_id)


def _render_marked(client: registry.Registration, language: str, offered: Offers) -> str:
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": declarations.url("login.sign_in"),
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "443",
        "HTTP_ACCEPT_LANGUAGE": language,
        "wsgi.url_scheme": "https",
    }
    with current_app.request_context(environ), answering(Request(environ)):
        g.form_token = _TOKEN_MARK
        try:
            urls = links(_marked_url, _marked_url("oidc.deny"))
            return render(client, SignInForm(offered), urls)
        finally:
            del g.form_token


def _marked_url(endpoint: str) -> str:
    return declarations.url(endpoint, **{store.PARAMETER: _MARK})
