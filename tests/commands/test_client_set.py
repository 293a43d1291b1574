"""`idp client set`, `enable`, `invite`: changes of a registered ENT, and invitations."""

import json
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine, text

from tests.commands.conftest import Run
from tests.commands.test_client import BASIC, add, show
from tests.dpop_party import Key
from tests.protocol.registering import bearer, registered, replaced


@pytest.fixture
def jwks(tmp_path: Path) -> Path:
    key = Key.new("ES256")
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps({"keys": [{**key.jwk, "kid": "k", "use": "sig"}]}))
    return file


def invited(act: Run) -> str:
    token: str = json.loads(act("client", "invite", "--uai", "0599001N", "--json").out)["initial_access_token"]
    return token


def test_set_changes_the_given_options_only(idp: Run) -> None:
    client_id = add(idp, "--uai", "0599001N", "--home-uri", "https://ent.test/", "--charter", "provider")["client_id"]
    before = show(idp, client_id)
    changes = ("--name", "Passerelle", "--uai", "0599002P", "--backchannel-logout-uri", "https://ent.test/out")
    answer = idp("client", "set", client_id, *changes, "--json")
    assert answer.code == 0, answer.err
    changed = {"name": "Passerelle", "uais": ["0599002P"], "backchannel_logout_uri": "https://ent.test/out"}
    assert show(idp, client_id) == {**before, **changed}
    assert "client_secret" not in json.loads(answer.out)
    emptied = idp("client", "set", client_id, "--unset", "backchannel-logout-uri", "--unset", "uai")
    assert emptied.code == 1, "a client for families needs a school"
    emptying = ("--unset", "backchannel-logout-uri", "--unset", "uai", "--audience", "everyone")
    emptied = idp("client", "set", client_id, *emptying)
    assert emptied.code == 0, emptied.err
    assert show(idp, client_id) == {**before, "name": "Passerelle", "uais": [], "audience": "everyone"}


def test_set_lists_removed_values(idp: Run) -> None:
    three = ("--uai", "0599001N", "--uai", "0599002P", "--uai", "0599003R")
    more = ("--redirect-uri", "https://ent.test/cb2", "--home-uri", "https://ent.test/", "--default-max-age", "600")
    doors = ("--profile-uri", "eleve=https://ent.test/e", "--policy-uri", "https://ent.test/data")
    client_id = add(idp, *three, *more, *doors, "--always-claims", "ent,charter")["client_id"]

    def list_removed(*options: str) -> list[str]:
        answer = idp("client", "set", client_id, *options)
        assert answer.code == 0, answer.err
        return [line.removeprefix("note: no longer registered: ") for line in answer.err.splitlines()]

    assert list_removed("--uai", "0599003R") == ["--uai 0599001N, 0599002P"]
    assert list_removed(*three) == []
    assert list_removed("--redirect-uri", "https://ent.test/cb2") == ["--redirect-uri https://ent.test/cb"]
    assert list_removed("--scopes", "openid email offline_access") == ["--scopes profile, ent, charter"]
    assert list_removed("--always-claims", "ent") == ["--always-claims charter"]
    assert list_removed("--profile-uri", "eleve=https://ent.test/eleves") == ["--profile-uri eleve=https://ent.test/e"]
    assert list_removed("--home-uri", "https://ent.test/accueil", "--require-par") == [], "another is in its place"
    assert list_removed("--no-require-par", "--unset", "profile-uri") == ["--profile-uri eleve=https://ent.test/eleves"]
    emptied = ("--home-uri", "", "--unset", "policy-uri", "--unset", "default-max-age")
    assert list_removed(*emptied) == [
        *("--home-uri https://ent.test/accueil", "--default-max-age 600", "--policy-uri https://ent.test/data"),
    ]


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("home-uri", ("--home-uri", "https://ent.test/autre")),
        ("--uai", ("--uai", "0599002P")),
        ("require-par", ("--require-par",)),
        ("policy-uri", ("--policy-uri", "https://ent.test/data")),
    ],
)
def test_an_option_is_not_set_and_unset_together(idp: Run, option: str, values: tuple[str, ...]) -> None:
    client_id = add(idp, "--home-uri", "https://ent.test/", "--uai", "0599001N")["client_id"]
    before = show(idp, client_id)
    for options in ((*values, "--unset", option), ("--unset", option, *values)):
        answer = idp("client", "set", client_id, *options)
        assert (answer.code, answer.out) == (2, "")
        assert answer.err.endswith(f"\nError: set and unset at once: {option}\n")
    assert show(idp, client_id) == before


def test_set_help_shows_no_defaults(bare: Run) -> None:
    assert "[default: pairwise]" in " ".join(bare("client", "add", "--help").out.split())
    assert "default: (RS256" in " ".join(bare("client", "add", "--help").out.split())
    assert "[default" not in bare("client", "set", "--help").out


@pytest.mark.row("O-02")
def test_control_characters_in_metadata_are_escaped(act: Run, browser: FlaskClient) -> None:
    odd = "\x1b[2J\x9b2J\u202e\n"
    key = {**Key.new("ES256").jwk, "kid": "k1"}
    metadata: dict[str, Any] = {"contacts": [odd], "client_name#en": odd, "jwks": {"keys": [key]}}
    client = registered(browser, invited(act), **metadata)
    for command in (("show", client["client_id"]), ("set", client["client_id"]), ("list",)):
        for options in ((), ("--json",)):
            out = act("client", *command, *options).out
            assert client["client_id"] in out
            assert not [character for character in out if not character.isprintable() and character != "\n"]
    shown = act("client", "show", client["client_id"]).out
    assert "description: contacts=\\x1b[2J\\x9b2J\\u202e\\n\n" in shown
    assert "jwks: keys=EC k1\n" in shown


def test_a_wrong_change_changes_nothing(idp: Run) -> None:
    client_id = add(idp)["client_id"]
    before = show(idp, client_id)
    wrong: list[tuple[tuple[str, ...], int]] = [
        (("--redirect-uri", "http://ent.test/"), 1),
        (("--redirect-uri", "https://autre.test/cb"), 1),  # another sector has other subjects
        (("--subject", "public"), 1),
        (("--profile", "fapi2"), 1),
        (("--unset", "redirect-uri"), 0),  # refused below: an ENT needs one
        (("--unset", "charter"), 2),
        (("--unset", "nothing"), 2),
        (("--jwks-uri", "https://ent.test/keys", "--auth-alg", "HS256"), 1),
    ]
    for options, code in wrong:
        answer = idp("client", "set", client_id, "--name", "Autre", *options)
        assert answer.code == (code or 1), (options, answer.err)
        assert show(idp, client_id) == before


def test_an_ent_changes_from_a_secret_to_keys_and_back(idp: Run, jwks: Path) -> None:
    client_id = add(idp)["client_id"]
    keyed = idp("client", "set", client_id, "--auth-method", "private_key_jwt", "--jwks", str(jwks))
    assert keyed.code == 0, keyed.err
    assert show(idp, client_id)["jwks"]["keys"][0]["kid"] == "k"
    back = idp("client", "set", client_id, "--auth-method", "client_secret_post", "--unset", "jwks", "--json")
    assert len(json.loads(back.out)["client_secret"]) == 43


def test_fapi2_lists_its_requirements(idp: Run, jwks: Path) -> None:
    profile = ("client", "add", "ENT", *BASIC, "--profile", "fapi2")
    refused = idp(*profile, "--no-pkce")
    assert refused.code == 1
    assert "--profile fapi2 needs the authentication method private_key_jwt" in refused.err
    assert "--profile fapi2 needs PKCE" in refused.err
    keyed = (*profile, "--auth-method", "private_key_jwt", "--jwks", str(jwks))
    idp("keys", "rotate")
    assert "idp keys rotate --alg ES256" in idp(*keyed).err
    idp("keys", "rotate", "--alg", "ES256")
    answer = idp(*keyed, "--json")
    assert answer.code == 0, answer.err
    shown = show(idp, json.loads(answer.out)["client_id"])
    assert (shown["id_token_alg"], shown["par_required"], shown["dpop_required"]) == ("ES256", True, True)


def test_invalid_keys_are_refused(idp: Run, tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    public, private = Key.new("ES256").jwk, Key.new("ES256").secret_jwk
    weak = {"kty": "RSA", "n": "AQAB", "e": "AQAB"}
    contents: list[Any] = [
        {"keys": []},
        {"keys": [weak]},
        {"keys": 5},
        {"keys": [{"kty": "oct"}]},
        {},
    ]
    for content in contents:
        file.write_text(json.dumps(content))
        answer = idp("client", "add", "ENT", *BASIC, "--auth-method", "private_key_jwt", "--jwks", str(file))
        assert answer.code == 1, content
        assert "usable public key" in answer.err
    for keys in ([private], [public, private], [public, {"kty": "oct", "k": "c2VjcmV0"}]):
        file.write_text(json.dumps({"keys": keys}))
        answer = idp("client", "add", "ENT", *BASIC, "--auth-method", "private_key_jwt", "--jwks", str(file))
        assert answer.code == 1
        assert answer.err.startswith("Error: --jwks holds a private key")
        assert answer.err.count("\n") == 1, "not that there is none besides"
        assert private["d"] not in answer.err
    for content in ("", "[", "[]", "5"):
        file.write_text(content)
        assert idp("client", "add", "ENT", *BASIC, "--jwks", str(file)).code == 2


def test_several_hosts_need_a_sector(idp: Run, engine: Engine) -> None:
    both = (*BASIC, "--redirect-uri", "https://autre.test/cb")
    message = "Error: --sector-identifier-uri is needed{}, because the redirect URIs have several hosts\n"
    answer = idp("client", "add", "ENT", *both)
    assert (answer.code, answer.out, answer.err) == (1, "", message.format(""))
    client_id = add(idp)["client_id"]
    assert idp("client", "set", client_id, *both).err == message.format(" on ent.test")
    assert show(idp, client_id)["redirect_uris"] == [BASIC[1]]
    assert idp("client", "add", "ENT", *both, "--subject", "public").code == 0


def test_an_ent_keeps_its_own_sector_when_its_hosts_change(act: Run, browser: FlaskClient) -> None:
    uris = [BASIC[1], "https://autre.test/cb"]
    token = json.loads(act("client", "invite", "--uai", "0599001N", "--json").out)["initial_access_token"]
    client_id = registered(browser, token, redirect_uris=uris)["client_id"]
    for more in (("--name", "Autre"), (*BASIC, "--redirect-uri", "https://tiers.test/cb"), BASIC):
        assert act("client", "set", client_id, *more).code == 0
        assert show(act, client_id)["sector"] == ""


@pytest.mark.row("N-03")
def test_a_scope_removed_by_an_operator_stays_removed(act: Run, browser: FlaskClient) -> None:
    client = registered(browser, invited(act))
    assert client["scope"] == "openid profile email ent charter"
    assert act("client", "set", client["client_id"], "--scopes", "openid profile").code == 0
    assert replaced(browser, client, scope="openid profile email ent").get_json()["scope"] == "openid profile"
    assert act("client", "set", client["client_id"], "--scopes", "openid profile email").code == 0
    assert replaced(browser, client).get_json()["scope"] == "openid profile email"
    shown = show(act, client["client_id"])
    assert (shown["registered_by_itself"], shown["uais"]) == (True, ["0599001N"])


def test_a_client_that_ended_its_registration_is_not_enabled(act: Run, browser: FlaskClient) -> None:
    client = registered(browser, invited(act))
    path, own = f"/register/{client['client_id']}", bearer(client["registration_access_token"])
    assert browser.delete(path, headers=own).status_code == 204
    answer = act("client", "enable", client["client_id"])
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == "Error: Nouveau ended its registration itself: invite it to register again\n"
    shown = show(act, client["client_id"])
    assert shown["registered_by_itself"] is True
    assert shown["ended_itself_at"] == shown["disabled_at"] is not None


def test_show_distinguishes_an_operator_from_a_client_that_ended_itself(act: Run, browser: FlaskClient) -> None:
    itself = registered(browser, invited(act))["client_id"]
    by_operator = add(act)["client_id"]
    for client_id in (itself, by_operator):
        act("client", "disable", client_id)
    shown = {client_id: show(act, client_id) for client_id in (itself, by_operator)}
    assert [row["registered_by_itself"] for row in shown.values()] == [True, False]
    assert [row["ended_itself_at"] for row in shown.values()] == [None, None]
    assert all(row["disabled_at"] for row in shown.values())


def test_an_algorithm_without_a_key_is_refused_with_a_command_to_run(idp: Run, engine: Engine) -> None:
    for has_key in (True, False):
        if not has_key:
            with engine.begin() as connection:
                connection.execute(text("DELETE FROM signing_key"))
        for option in ("--id-token-alg", "--userinfo-alg"):
            answer = idp("client", "add", "ENT", *BASIC, option, "ES256")
            assert (answer.code, answer.out) == (1, "")
            assert "run `idp keys rotate --alg ES256` first" in answer.err
        assert idp("client", "add", "ENT", *BASIC, "--id-token-alg", "RS256").code == 0


def test_an_invitation_is_shown_once_listed_without_its_token_and_revoked(idp: Run) -> None:
    invitation: dict[str, Any] = json.loads(
        idp("client", "invite", "--label", "ENT 59", "--uai", "0599001N", "--json").out
    )
    token = invitation["initial_access_token"]
    assert len(token) == 43
    listed = idp("client", "invites", "--json")
    assert token not in listed.out
    assert [row["label"] for row in json.loads(listed.out)] == ["ENT 59"]
    assert idp("client", "revoke-invite", invitation["invite"]).code == 0
    assert idp("client", "revoke-invite", invitation["invite"]).code == 1
    assert idp("client", "revoke-invite", "x").code == 2
    assert idp("client", "invite", "--uai", "0599001N", "--uai", "x").code == 2
    for wrong in (("--scopes", "profile"), ("--scopes", "openid admin"), ("--label", "x" * 81)):
        assert idp("client", "invite", "--uai", "0599001N", *wrong).code == 1
