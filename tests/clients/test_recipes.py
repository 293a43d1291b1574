"""The ready-made configurations name the addresses that the provider serves, and hold no secret."""

import json
from pathlib import Path
from urllib.parse import urlsplit

RECIPES = Path(__file__).parents[2] / "clients" / "recipes"


def test_entcore_is_sent_to_the_provider_s_own_addresses() -> None:
    domains = json.loads((RECIPES / "entcore.json").read_text())["openid-federate"]["domains"]
    for settings in domains.values():
        assert urlsplit(settings["uri"]).port == 443, "entcore has no default port"
        assert urlsplit(settings["uri"]).hostname == urlsplit(settings["iss"]).hostname
        paths = [settings[name] for name in ("authorizeUrn", "tokenUrn", "userInfoUrn")]
        assert paths == ["/authorize", "/token", "/userinfo"]
        assert settings["certsUri"] == f"{settings['iss']}/jwks.json"
        assert settings["logoutUri"] == f"{settings['iss']}/logout"


def test_apache_asks_what_the_sample_ent_asks_and_reads_its_secrets_elsewhere() -> None:
    lines = (RECIPES / "mod_auth_openidc.conf").read_text().splitlines()
    directives = dict(line.split(maxsplit=1) for line in lines if line.startswith("OIDC"))
    assert directives["OIDCScope"] == '"openid profile email ent charter"'
    assert directives["OIDCPKCEMethod"] == "S256"
    assert directives["OIDCIDTokenSignedResponseAlg"] == "RS256"
    for secret in ("OIDCClientSecret", "OIDCCryptoPassphrase"):
        assert directives[secret].startswith("${ENT_")
