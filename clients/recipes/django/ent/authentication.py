"""Checks of the provider's responses, and the local accounts."""

from typing import Any
from urllib.parse import urlencode

import jwt
import requests
from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from mozilla_django_oidc.auth import OIDCAuthenticationBackend
from mozilla_django_oidc.views import OIDCAuthenticationCallbackView

PARENT = "National_2"
CLOCK_SKEW = 30

Claims = dict[str, Any]


class Backend(OIDCAuthenticationBackend):
    """Finds accounts by `sub`, not by email, which two parents may share."""

    def verify_token(self, token: str, **kwargs: Any) -> Claims:
        """Return the claims of a valid token.

        Raises:
            SuspiciousOperation: the token is invalid.
        """
        try:
            claims: Claims = super().verify_token(token, **kwargs)
        except (jwt.PyJWTError, KeyError) as error:
            raise SuspiciousOperation("invalid token") from error
        return claims

    def get_payload_data(self, token: str, key: Any) -> Claims:
        """Return the claims of a valid ID token. The library does not check the issuer and the audience.

        Raises:
            jwt.PyJWTError: the token is invalid.
        """
        claims: Claims = jwt.decode(
            token,
            key,
            algorithms=[self.OIDC_RP_SIGN_ALGO],
            issuer=settings.OIDC_OP_ISSUER,
            audience=self.OIDC_RP_CLIENT_ID,
            leeway=CLOCK_SKEW,
            options={"require": ["iss", "sub", "aud", "exp", "iat", "nonce"]},
        )
        if claims["aud"] not in (self.OIDC_RP_CLIENT_ID, [self.OIDC_RP_CLIENT_ID]):
            raise jwt.InvalidAudienceError("the token has other audiences")
        return claims

    def get_userinfo(self, access_token: str, id_token: str, payload: Claims) -> Claims:
        """Return the UserInfo claims (OpenID Connect Core 5.3.2).

        Raises:
            SuspiciousOperation: `sub` differs from that of the ID token.
        """
        claims: Claims = super().get_userinfo(access_token, id_token, payload)
        if claims.get("sub") != payload["sub"]:
            raise SuspiciousOperation("UserInfo and the ID token have different subjects")
        return claims

    def verify_claims(self, claims: Claims) -> bool:
        """Return whether the person is a parent who accepted the charter."""
        return PARENT in claims.get("ENTPersonProfils", []) and claims.get("charter_accepted") is True

    def filter_users_by_claims(self, claims: Claims) -> Any:
        """Return the account with this `sub`."""
        return self.UserModel.objects.filter(username=claims["sub"])

    def create_user(self, claims: Claims) -> Any:
        """Create an account without a password at the first sign-in."""
        return self.update_user(self.UserModel.objects.create_user(claims["sub"]), claims)

    def update_user(self, user: Any, claims: Claims) -> Any:
        """Update names and email of the account; attach the children for this session."""
        user.first_name, user.last_name = claims.get("given_name", ""), claims.get("family_name", "")
        user.email = claims.get("email", "")
        user.save()
        user.children = claims.get("children", [])
        return user


class CallbackView(OIDCAuthenticationCallbackView):
    """Checks the issuer of the authorization response (RFC 9207)."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """Finish a sign-in, or redirect to the error page."""
        if request.GET.get("iss") != settings.OIDC_OP_ISSUER:
            return self.login_failure()
        try:
            return super().get(request)
        except requests.RequestException:  # the provider does not respond, or the code has expired
            return self.login_failure()

    def login_success(self) -> HttpResponse:
        """Begin or extend the session, and store the children in it."""
        response = super().login_success()
        self.request.session["children"] = self.user.children
        return response

    def login_failure(self) -> HttpResponse:
        """Redirect to the error page."""
        return redirect(settings.LOGIN_REDIRECT_URL_FAILURE)


def end_session_url(request: HttpRequest) -> str:
    """Return the URL of the sign-out request (OpenID Connect RP-Initiated Logout 1.0)."""
    parameters = {
        "client_id": settings.OIDC_RP_CLIENT_ID,
        "post_logout_redirect_uri": request.build_absolute_uri(settings.LOGOUT_REDIRECT_URL),
        "id_token_hint": request.session.get("oidc_id_token", ""),
    }
    return f"{settings.OIDC_OP_LOGOUT_ENDPOINT}?{urlencode(parameters)}"
