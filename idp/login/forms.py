"""The sign-in form."""

from typing import NamedTuple

from flask_babel import lazy_gettext as _l

from idp.login import known_accounts
from idp.sessions import devices
from idp.web.forms import Form, PlainField, SecretField


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
