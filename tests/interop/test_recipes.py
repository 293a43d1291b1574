"""The recipes have valid endpoints, valid registration commands and no secrets.

The other tests of this folder run the recipes.
"""

import json
import re
import shlex
from pathlib import Path
from urllib.parse import urlsplit

from click.testing import CliRunner
from flask import Flask

from idp.cli.client import client

CLIENTS = Path(__file__).parents[2] / "clients"
RECIPES = CLIENTS / "recipes"
README = (CLIENTS / "README.md").read_text(encoding="utf-8")
COMMAND = re.compile(r"^idp client add(?:.*\\\n)*.*", re.MULTILINE)
SECTIONS = {part.split("\n", 1)[0]: part for part in README.split("\n## ")}
COMMANDS = {title: matches[0] for title, part in SECTIONS.items() if (matches := COMMAND.findall(part))}


def test_entcore_is_sent_to_the_provider_s_own_addresses() -> None:
    domains = json.loads((RECIPES / "entcore.json").read_text())["openid-federate"]["domains"]
    for settings in domains.values():
        assert urlsplit(settings["uri"]).port == 443, "entcore has no default port"
        assert urlsplit(settings["uri"]).hostname == urlsplit(settings["iss"]).hostname
        paths = [settings[name] for name in ("authorizeUrn", "tokenUrn", "userInfoUrn")]
        assert paths == ["/authorize", "/token", "/userinfo"]
        assert settings["certsUri"] == f"{settings['iss']}/jwks.json"
        assert settings["logoutUri"] == f"{settings['iss']}/logout"


def test_apache_and_oauth2_proxy_read_their_secrets_elsewhere() -> None:
    lines = (RECIPES / "mod_auth_openidc.conf").read_text().splitlines()
    directives = dict(line.split(maxsplit=1) for line in lines if line.startswith("OIDC"))
    for secret in ("OIDCClientSecret", "OIDCCryptoPassphrase"):
        assert directives[secret].startswith("${ENT_")
    settings = re.findall(r"^(\w+) =", (RECIPES / "oauth2-proxy" / "oauth2-proxy.cfg").read_text(), re.MULTILINE)
    assert "cookie_refresh" in settings
    assert not {"client_id", "client_secret", "cookie_secret"} & set(settings)


def test_every_registration_command_is_taken_as_it_stands(app: Flask) -> None:
    for title, command in COMMANDS.items():
        arguments = shlex.split(command.replace("\\\n", " "))
        done = CliRunner().invoke(client, arguments[2:])
        assert done.exit_code == 0, f"{title}: {done.output}"


def test_every_recipe_has_its_section_and_its_command() -> None:
    assert len(COMMANDS) == 1 + len(list(RECIPES.iterdir())), "one for the sample ENT, one for each recipe"
    for path in RECIPES.iterdir():
        assert [title for title in COMMANDS if f"(recipes/{path.name}" in SECTIONS[title]], path.name


def test_the_recipes_name_example_hosts_alone() -> None:
    for path in RECIPES.rglob("*"):
        if path.is_file() and path.name != "package-lock.json" and "node_modules" not in path.parts:
            hosts = set(re.findall(r"https?://([\w.-]+\.\w+)", path.read_text(encoding="utf-8")))
            assert hosts <= {"connexion.exemple.fr", "ent.exemple.fr", "127.0.0.1", "schemas.openid.net"}, path
