"""A certified relying party, openid-client on Node.js, with the installed service.

Once with a client secret, as most ENTs, and once with the profile FAPI 2.0: a key instead of the secret, pushed
requests, bound tokens.
"""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from joserfc.jwk import ECKey, KeyParameters, OKPKey

from tests.builders import COLLEGE, PASSWORD
from tests.interop import node
from tests.interop.installation import Installation
from tests.waiting import wait_for

FLOW = Path(__file__).with_name("flow.mjs")
ENT = "https://localhost:9"  # no server listens there: the script stops at the redirect
SCOPES = "openid profile email ent charter offline_access"
REGISTRATION = (
    *("client", "add", "ENT certifié", "--uai", COLLEGE, "--charter", "none", "--scopes", SCOPES, "--release-username"),
    *("--redirect-uri", f"{ENT}/cb", "--post-logout-redirect-uri", f"{ENT}/bye", "--json"),
)
pytestmark = pytest.mark.interop
Flow = Callable[..., dict[str, Any]]


@pytest.fixture
def flow(installation: Installation, shared: Path, tmp_path: Path) -> Flow:
    packages = node.packages(shared)
    shutil.copy(FLOW, tmp_path)
    tmp_path.joinpath("node_modules").symlink_to(packages / "node_modules")

    def run(*options: str, **more: str) -> dict[str, Any]:
        client = json.loads(installation.idp(*REGISTRATION, *options))
        environment = node.environment(
            installation,
            ISSUER=installation.issuer,
            CLIENT_ID=client["client_id"],
            CLIENT_SECRET=client.get("client_secret", ""),
            REDIRECT_URI=f"{ENT}/cb",
            POST_LOGOUT_URI=f"{ENT}/bye",
            LOGIN=installation.parent(),
            PASSWORD=PASSWORD,
            **more,
        )
        command = node.command(FLOW.name)
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, f"{done.stderr}\n{installation.log()}"
        seen: dict[str, Any] = json.loads(done.stdout)
        assert seen["claims"]["aud"] == client["client_id"]
        assert seen["userinfo"]["preferred_username"] == environment["LOGIN"]
        return seen

    return run


def check(seen: dict[str, Any], issuer: str) -> None:
    assert seen["metadata"]["issuer"] == issuer
    assert seen["answer"]["iss"] == issuer, "RFC 9207; the library refuses an answer without it once it is announced"
    assert seen["metadata"]["authorization_response_iss_parameter_supported"] is True
    claims = seen["claims"]
    assert {"iss", "sub", "exp", "iat", "auth_time", "nonce", "sid", "at_hash"} <= claims.keys()
    userinfo = seen["userinfo"]
    assert userinfo["sub"] == claims["sub"]
    assert (userinfo["given_name"], userinfo["family_name"]) == ("Noémie", "LEROY-VANDEPUTTE")
    assert (userinfo["email"], userinfo["email_verified"]) == ("noemie.leroy@exemple.fr", True)
    assert userinfo["uai"] == [COLLEGE]
    assert set(seen["scope"].split()) == set(SCOPES.split())
    assert (seen["same_person"], seen["same_sign_in"]) == (True, True)
    assert (seen["replay"], seen["refused"]) == ("invalid_grant", "login_required")
    assert seen["end_session"] == f"{issuer}/logout"
    left = urlsplit(seen["left"])
    assert f"{left.scheme}://{left.netloc}{left.path}" == f"{ENT}/bye"
    assert parse_qs(left.query) == {"state": ["au-revoir"]}
    assert seen["after"] == "login_required", "the session is over"


def test_openid_client_goes_from_discovery_to_logout(installation: Installation, flow: Flow) -> None:
    seen = flow()
    check(seen, installation.issuer)
    assert seen["token_type"].lower() == "bearer"
    assert seen["renewed"] == {"access_token": True, "refresh_token": True, "same_person": True}


@pytest.fixture(scope="module")
def signs_es256(installation: Installation) -> None:
    """Create the signing key for clients of the profile; a node reads it within five seconds."""
    installation.idp("keys", "rotate", "--alg", "ES256")
    url, trusted = f"{installation.issuer}/jwks.json", str(installation.trusted)
    wait_for(lambda: '"ES256"' in requests.get(url, verify=trusted, timeout=60).text, tell=installation.log)


@pytest.mark.usefixtures("signs_es256")
@pytest.mark.parametrize(("alg", "signed"), [("ES256", "ES256"), ("EdDSA", "Ed25519"), ("Ed25519", "Ed25519")])
def test_openid_client_does_so_with_a_key_pushed_requests_and_bound_tokens(
    installation: Installation, flow: Flow, tmp_path: Path, alg: str, signed: str
) -> None:
    # FAPI 2.0 Security Profile: `private_key_jwt`, PAR (RFC 9126), DPoP (RFC 9449).
    #
    # For an Ed25519 key the library always uses the name `Ed25519` (RFC 9864).
    members: KeyParameters = {"kid": "ent-1", "use": "sig", "alg": alg}
    key: ECKey | OKPKey = (
        ECKey.generate_key("P-256", members, private=True)
        if alg == "ES256"
        else OKPKey.generate_key("Ed25519", members, private=True)
    )
    public = tmp_path / "jwks.json"
    public.write_text(json.dumps({"keys": [key.as_dict(private=False)]}))
    seen = flow(
        *("--auth-method", "private_key_jwt", "--auth-alg", alg, "--jwks", str(public), "--profile", "fapi2"),
        PRIVATE_JWK=json.dumps(key.as_dict(private=True)),
    )
    check(seen, installation.issuer)
    assert seen["signed"] == {"assertions": [signed], "proofs": [signed]}
    assert sorted(seen["asked"]) == ["client_id", "request_uri"], "the browser carries nothing else"
    assert seen["token_type"].lower() == "dpop"
    assert seen["renewed"] == {"access_token": True, "refresh_token": False, "same_person": True}
    assert seen["stolen"] == {"bearer": "invalid_token", "other_key": "invalid_token"}
