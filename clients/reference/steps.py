"""The steps of one sign-in, each of which ends at the first check that does not hold."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qs

import requests

from clients.kit import Provider, Registration
from clients.kit.checks import Attempt, SignedIn, must, vectors
from clients.reference.person import Person


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done."""

    registration: Registration
    username: str = ""
    password: str = field(default="", repr=False)
    refresh: bool = False
    logout: bool = False


def sign_in(order: Order, begin: Callable[[str], None]) -> None:
    """Do what was ordered; `begin` is told the name of each step.

    Raises:
        CheckError: the provider refuses, or is not believed.
    """
    begin("discovery")
    provider = Provider(order.registration)
    home = provider.metadata()["authorization_endpoint"]
    person = Person(home, order.username, order.password, order.registration.ca_bundle)
    begin("pages")
    url, attempt = provider.departure()
    answer = _answer(provider, person, url, attempt)
    begin("tokens")
    signed_in = provider.arrival(answer, attempt)
    vectors(signed_in.userinfo)
    if order.refresh:
        begin("refresh")
        signed_in = _renewed(provider, signed_in)
    if order.logout:
        begin("logout")
        _sign_out(provider, person, signed_in)


def _answer(provider: Provider, person: Person, url: str, attempt: Attempt) -> dict[str, str]:
    """Return the provider's answer to an attempt, which must be that attempt's."""
    answer = provider.answer(person.answer(url, provider.registration.redirect_uri))
    must(answer.get("state") == attempt.state, "state", "the answer is that of another request")
    return answer


def _renewed(provider: Provider, before: SignedIn) -> SignedIn:
    """Change the refresh token for new tokens."""
    must(before.refresh_token, "refresh_token", "the provider gave no refresh token: is offline_access registered?")
    after = provider.renewed(before)
    must(after.access_token != before.access_token, "access_token", "the provider gave the same access token again")
    return after


def _sign_out(provider: Provider, person: Person, signed_in: SignedIn) -> None:
    """Sign out at the provider, come back if an address was registered for that, and find the session closed."""
    state, back = secrets.token_urlsafe(16), provider.registration.post_logout_redirect_uri
    url = provider.sign_out_url(signed_in.id_token, state)
    must(url, "end_session_endpoint", "the provider has no sign-out")
    arrived = person.go(str(url), back)
    if not isinstance(arrived, str):  # a page: that of the front channel has a link on, others say that all is done
        is_done = arrived.status == requests.codes.ok
        must(is_done, "sign_out_page", f"the provider shows « {arrived.title} » (HTTP {arrived.status})")
        arrived = next((link.partition("?")[2] for link in arrived.links if back and link.startswith(back)), "")
    if back:
        must(parse_qs(arrived).get("state") == [state], "post_logout_redirect_uri", "the provider does not lead back")
    url, attempt = provider.departure(prompt="none")
    answer = _answer(provider, person, url, attempt)
    must(answer.get("error") == "login_required", "signed_out", "the session at the provider is still open")
