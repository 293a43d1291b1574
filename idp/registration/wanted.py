"""A registration as it is asked for, by an operator or by a client, and how it is refused."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

DEFAULT_SCOPES = "openid profile email ent charter"


class RegistrationRefused(Exception):  # noqa: N818 - what happened
    """The registration has faults; each is one sentence."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A registration as an operator asks for it.

    `sector` is that of a registered client, or empty for a sector of its own; None if the redirect URIs decide.
    """

    name: str
    redirect_uris: Sequence[str]
    uais: Sequence[str] = ()
    audience: str = "families"
    release_username: bool = False
    post_logout_redirect_uris: Sequence[str] = ()
    backchannel_logout_uri: str = ""
    frontchannel_logout_uri: str = ""
    initiate_login_uri: str = ""
    home_uri: str = ""
    auth_method: str = "client_secret_basic"
    auth_alg: str = ""
    jwks: dict[str, Any] | None = None
    jwks_uri: str = ""
    profile: str = ""
    par: bool = False
    dpop: bool = False
    sector: str | None = None
    sector_identifier_uri: str = ""
    userinfo_alg: str = ""
    default_max_age: int | None = None
    description: dict[str, Any] = field(default_factory=dict)
    subject: str = "pairwise"
    subject_prefix: str = ""
    pkce: bool = True
    scopes: str = DEFAULT_SCOPES
    always_claims: Sequence[str] = ()
    charter: str = "ent"
    id_token_alg: str = "RS256"  # noqa: S105 - an algorithm
    refresh_id_token: bool = True
    default_profile: str = ""
    profile_uris: dict[str, str] = field(default_factory=dict)
