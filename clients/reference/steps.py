"""The steps of one sign-in, which stops at the first failed check."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qs

import requests

from clients.kit import Provider, Registration
from clients.kit.checks import Attempt, SignedIn, parse_vectors, require
from clients.reference.person import Person


@dataclass(frozen=True, slots=True)
class Order:
    """One sign-in to do. `refresh` and `logout` add these steps."""

    registration: Registration
    username: str = ""
    password: str = field(default="", repr=False)
    refresh: bool = False
    logout: bool = False


def sign_in(order: Order, begin: Callable[[str], None]) -> None:
    """Sign in, and call `begin` with the name of each step.

    Raises:
        CheckError: a check failed, or the provider returned an error.
    """
    begin("discovery")
    provider = Provider(order.registration)
    home = provider.metadata()["authorization_endpoint"]
    person = Person(home, order.username, order.password, order.registration.ca_bundle)
    begin("pages")
    url, attempt = provider.start_sign_in()
    answer = _sign_in_at_provider(provider, person, url, attempt)
    begin("tokens")
    signed_in = provider.finish_sign_in(answer, attempt)
    parse_vectors(signed_in.userinfo)
    if order.refresh:
        begin("refresh")
        signed_in = _renew_tokens(provider, signed_in)
    if order.logout:
        begin("logout")
        _sign_out(provider, person, signed_in)


def _sign_in_at_provider(provider: Provider, person: Person, url: str, attempt: Attempt) -> dict[str, str]:
    """Return the parameters of the authorization response, whose `state` is that of the attempt."""
    answer = provider.parse_answer(person.sign_in(url, provider.registration.redirect_uri))
    require(answer.get("state") == attempt.state, "state", "the response belongs to another request")
    return answer


def _renew_tokens(provider: Provider, before: SignedIn) -> SignedIn:
    """Exchange the refresh token and check that the access token is new."""
    require(
        before.refresh_token, "refresh_token", "the provider issued no refresh token: is offline_access registered?"
    )
    after = provider.renew_tokens(before)
    require(
        after.access_token != before.access_token, "access_token", "the provider issued the same access token again"
    )
    return after


def _sign_out(provider: Provider, person: Person, signed_in: SignedIn) -> None:
    """Sign out at the provider; check the redirect, if one is registered, and that the session has ended."""
    state, back = secrets.token_urlsafe(16), provider.registration.post_logout_redirect_uri
    url = provider.sign_out_url(signed_in.id_token, state)
    require(url, "end_session_endpoint", "the provider has no sign-out")
    result = person.open(str(url), back)
    if not isinstance(result, str):  # the page of the front-channel logout links to `back`; other pages have no link
        is_done = result.status == requests.codes.ok
        require(is_done, "sign_out_page", f'the provider shows "{result.title}" (HTTP {result.status})')
        result = next((link.partition("?")[2] for link in result.links if back and link.startswith(back)), "")
    if back:
        is_back = parse_qs(result).get("state") == [state]
        require(is_back, "post_logout_redirect_uri", "the provider does not redirect to post_logout_redirect_uri")
    url, attempt = provider.start_sign_in(prompt="none")
    answer = _sign_in_at_provider(provider, person, url, attempt)
    require(answer.get("error") == "login_required", "signed_out", "the session at the provider has not ended")
