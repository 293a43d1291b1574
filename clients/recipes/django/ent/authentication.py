"""What the provider says of a person, checked, and the account that stands for them here."""

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
    """Finds accounts by `sub`, never by the mail address: two parents may share one. The rest the library does."""

    def verify_token(self, token: str, **kwargs: Any) -> Claims:
        """Return the claims of a token that holds.

        Raises:
            SuspiciousOperation: it is not believed, or is no token.
        """
        try:
            claims: Claims = super().verify_token(token, **kwargs)
        except (jwt.PyJWTError, KeyError) as error:
            raise SuspiciousOperation("the token is not believed") from error
        return claims

    def get_payload_data(self, token: str, key: Any) -> Claims:
        """Check the ID token whole: the library would leave its issuer and its audience out.

        Raises:
            jwt.PyJWTError: it does not hold.
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
            raise jwt.InvalidAudienceError("for others too")
        return claims

    def get_userinfo(self, access_token: str, id_token: str, payload: Claims) -> Claims:
        """Return UserInfo, which must speak of the person of the ID token (OpenID Connect Core 5.3.2).

        Raises:
            SuspiciousOperation: it speaks of another.
        """
        claims: Claims = super().get_userinfo(access_token, id_token, payload)
        if claims.get("sub") != payload["sub"]:
            raise SuspiciousOperation("UserInfo speaks of another person")
        return claims

    def verify_claims(self, claims: Claims) -> bool:
        """Let parents in who accepted the charter."""
        return PARENT in claims.get("ENTPersonProfils", []) and claims.get("charter_accepted") is True

    def filter_users_by_claims(self, claims: Claims) -> Any:
        """Return the account of that key, if there is one."""
        return self.UserModel.objects.filter(username=claims["sub"])

    def create_user(self, claims: Claims) -> Any:
        """Make an account at the first sign-in; it has no password."""
        return self.update_user(self.UserModel.objects.create_user(claims["sub"]), claims)

    def update_user(self, user: Any, claims: Claims) -> Any:
        """Keep the names and the address as the provider has them, and the children for this session."""
        user.first_name, user.last_name = claims.get("given_name", ""), claims.get("family_name", "")
        user.email = claims.get("email", "")
        user.save()
        user.children = claims.get("children", [])
        return user


class CallbackView(OIDCAuthenticationCallbackView):
    """Takes the provider's answers, and no other's (RFC 9207)."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """Finish a sign-in, or say that it did not work."""
        if request.GET.get("iss") != settings.OIDC_OP_ISSUER:
            return self.login_failure()
        try:
            return super().get(request)
        except requests.RequestException:  # no answer, or a code that is too old
            return self.login_failure()

    def login_success(self) -> HttpResponse:
        """Begin or prolong the session."""
        response = super().login_success()
        self.request.session["children"] = self.user.children
        return response

    def login_failure(self) -> HttpResponse:
        """Show the page that leads back to the home."""
        return redirect(settings.LOGIN_REDIRECT_URL_FAILURE)


def end_session_url(request: HttpRequest) -> str:
    """Return where the provider signs a person out, and leads back (OpenID Connect RP-Initiated Logout 1.0)."""
    parameters = {
        "client_id": settings.OIDC_RP_CLIENT_ID,
        "post_logout_redirect_uri": request.build_absolute_uri(settings.LOGOUT_REDIRECT_URL),
        "id_token_hint": request.session.get("oidc_id_token", ""),
    }
    return f"{settings.OIDC_OP_LOGOUT_ENDPOINT}?{urlencode(parameters)}"
