"""`clients.kit` refuses arbitrary input with `CheckError` only."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt

from clients.kit import Registration
from clients.kit.checks import Attempt, CheckError, Checks, Claims
from tests.clients.fake_provider import RSA
from tests.clients.kit_steps import CALLBACK

CHECKS = Checks(
    Registration(issuer="https://connexion.exemple.fr", client_id="ent", redirect_uri=CALLBACK),
    lambda _afresh: {"keys": [RSA.as_dict(private=False)]},
)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
NAMES = (
    "iss",
    "sub",
    "aud",
    "azp",
    "exp",
    "iat",
    "nbf",
    "nonce",
    "at_hash",
    "sid",
    "jti",
    "events",
    "auth_time",
    "acr",
)
READERS: list[Callable[[object], object]] = [
    lambda token: CHECKS.id_token(token, Attempt("s", "n", "v", "", "60", "a"), "at-x"),
    lambda token: CHECKS.renewed_id_token(token, {"sub": "x"}, "at-x"),
    CHECKS.logout_token,
]


@given(st.text() | st.from_regex(r"[\w.=-]*", fullmatch=True) | JSON)
def test_value_that_is_no_token_raises_check_error(token: object) -> None:
    for read in READERS:
        with pytest.raises(CheckError):
            read(token)


@given(st.dictionaries(st.sampled_from(NAMES), JSON), st.dictionaries(st.sampled_from(["typ", "cty"]), st.text()))
def test_signed_token_with_nonsense_raises_check_error(claims: Claims, header: Claims) -> None:
    now = int(time.time())
    good = {"iss": "https://connexion.exemple.fr", "aud": "ent", "iat": now, "exp": now + 60} | claims
    token = jwt.encode({**header, "alg": "RS256", "kid": "rsa-1"}, good, RSA, algorithms=["RS256"])
    for read in READERS:
        with pytest.raises(CheckError):
            read(token)


@given(JSON)
def test_userinfo_with_nonsense_raises_check_error(userinfo: object) -> None:
    with pytest.raises(CheckError):
        CHECKS.userinfo(userinfo, "quelqu-un")
