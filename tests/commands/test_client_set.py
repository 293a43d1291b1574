"""`idp client set`, `enable`, `invite`: changes of a registered ENT, and invitations."""

import json
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine, text

from tests.commands.conftest import Run, check_refusal, read_json
from tests.commands.test_client import BASIC, add, show
from tests.dpop_party import Key
from tests.protocol.registering import registered, replaced
from tests.rows import each_row


@pytest.fixture
def jwks(tmp_path: Path) -> Path:
    key = Key.new("ES256")
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps({"keys": [{**key.jwk, "kid": "k", "use": "sig"}]}))
    return file


def invited(act: Run) -> str:
    return str(read_json(act, "client", "invite", "--uai", "0599001N")["initial_access_token"])


def test_set_changes_the_given_options_only(idp: Run) -> None:
    client_id = add(idp, "--uai", "0599001N", "--home-uri", "https://ent.test/", "--charter", "provider")["client_id"]
    before = show(idp, client_id)
    changes = ("--name", "Passerelle", "--uai", "0599002P", "--backchannel-logout-uri", "https://ent.test/out")
    assert "client_secret" not in read_json(idp, "client", "set", client_id, *changes)
    changed = {"name": "Passerelle", "uais": ["0599002P"], "backchannel_logout_uri": "https://ent.test/out"}
    assert show(idp, client_id) == {**before, **changed}
    emptying = ("client", "set", client_id, "--unset", "backchannel-logout-uri", "--unset", "uai")
    assert idp(*emptying).code == 1, "a client for families needs a school"
    assert idp(*emptying, "--audience", "everyone").code == 0
    assert show(idp, client_id) == {**before, "name": "Passerelle", "uais": [], "audience": "everyone"}


def test_set_lists_removed_values(idp: Run) -> None:
    three = ("--uai", "0599001N", "--uai", "0599002P", "--uai", "0599003R")
    more = ("--redirect-uri", "https://ent.test/cb2", "--home-uri", "https://ent.test/", "--default-max-age", "600")
    doors = ("--profile-uri", "eleve=https://ent.test/e", "--policy-uri", "https://ent.test/data")
    client_id = add(idp, *three, *more, *doors, "--always-claims", "ent,charter")["client_id"]
    emptied = ("--home-uri", "", "--unset", "policy-uri", "--unset", "default-max-age")
    for options, removed in (
        (("--uai", "0599003R"), ["--uai 0599001N, 0599002P"]),
        (three, []),
        (("--redirect-uri", "https://ent.test/cb2"), ["--redirect-uri https://ent.test/cb"]),
        (("--scopes", "openid email offline_access"), ["--scopes profile, ent, charter"]),
        (("--always-claims", "ent"), ["--always-claims charter"]),
        (("--profile-uri", "eleve=https://ent.test/eleves"), ["--profile-uri eleve=https://ent.test/e"]),
        (("--home-uri", "https://ent.test/accueil", "--require-par"), []),  # another is in its place
        (("--no-require-par", "--unset", "profile-uri"), ["--profile-uri eleve=https://ent.test/eleves"]),
        (
            emptied,
            ["--home-uri https://ent.test/accueil", "--default-max-age 600", "--policy-uri https://ent.test/data"],
        ),
    ):
        answer = idp("client", "set", client_id, *options)
        notes = [line.removeprefix("note: no longer registered: ") for line in answer.err.splitlines()]
        assert (answer.code, notes) == (0, removed), options


@each_row(
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
    for options in ((*values, "--unset", option), ("--unset", option, *values)):
        answer = idp("client", "set", client_id, *options)
        assert (answer.code, answer.out) == (2, "")
        assert answer.err.endswith(f"\nError: set and unset at once: {option}\n")


def test_set_help_shows_no_defaults(bare: Run) -> None:
    added = " ".join(bare("client", "add", "--help").out.split())
    assert ("[default: pairwise]" in added, "default: (RS256" in added) == (True, True)
    assert "[default" not in bare("client", "set", "--help").out


@pytest.mark.row("O-02")
def test_control_characters_in_metadata_are_escaped(act: Run, browser: FlaskClient) -> None:
    odd = "\x1b[2J\x9b2J\u202e\n"
    key = {**Key.new("ES256").jwk, "kid": "k1"}
    metadata: dict[str, Any] = {"contacts": [odd], "client_name#en": odd, "jwks": {"keys": [key]}}
    client_id = registered(browser, invited(act), **metadata)["client_id"]
    for command in (("show", client_id), ("set", client_id), ("list",)):
        for options in ((), ("--json",)):
            out = act("client", *command, *options).out
            assert client_id in out
            assert out.replace("\n", "").isprintable()
    shown = act("client", "show", client_id).out
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
    keyed = ("client", "set", client_id, "--auth-method", "private_key_jwt", "--jwks", str(jwks))
    assert read_json(idp, *keyed)["jwks"]["keys"][0]["kid"] == "k"
    back = ("client", "set", client_id, "--auth-method", "client_secret_post", "--unset", "jwks")
    assert len(read_json(idp, *back)["client_secret"]) == 43


def test_invalid_keys_are_refused(idp: Run, tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    public, private = Key.new("ES256").jwk, Key.new("ES256").secret_jwk
    weak = {"kty": "RSA", "n": "AQAB", "e": "AQAB"}
    contents: list[Any] = [{"keys": []}, {"keys": [weak]}, {"keys": 5}, {"keys": [{"kty": "oct"}]}, {}]
    secrets = ([private], [public, private], [public, {"kty": "oct", "k": "c2VjcmV0"}])
    for content, fault in (
        *((content, "usable public key") for content in contents),
        *(({"keys": keys}, "Error: --jwks holds a private key") for keys in secrets),
    ):
        file.write_text(json.dumps(content))
        answer = idp("client", "add", "ENT", *BASIC, "--auth-method", "private_key_jwt", "--jwks", str(file))
        check_refusal(answer, fault)
        assert private["d"] not in answer.err
    for broken in ("", "[", "[]", "5"):
        file.write_text(broken)
        assert idp("client", "add", "ENT", *BASIC, "--jwks", str(file)).code == 2


@pytest.mark.row("N-03")
def test_a_scope_removed_by_an_operator_stays_removed(act: Run, browser: FlaskClient) -> None:
    client = registered(browser, invited(act))
    assert client["scope"] == "openid profile email ent charter"
    for scopes in ("openid profile", "openid profile email"):
        assert act("client", "set", client["client_id"], "--scopes", scopes).code == 0
        assert replaced(browser, client, scope="openid profile email ent").get_json()["scope"] == scopes
    shown = show(act, client["client_id"])
    assert (shown["registered_by_itself"], shown["uais"]) == (True, ["0599001N"])


def test_an_algorithm_without_a_key_is_refused_with_a_command_to_run(idp: Run, engine: Engine) -> None:
    for option in ("--id-token-alg", "--userinfo-alg"):
        answer = idp("client", "add", "ENT", *BASIC, option, "ES256")
        check_refusal(answer, "run `idp keys rotate --alg ES256` first")
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM signing_key"))
    assert idp("client", "add", "ENT", *BASIC, "--id-token-alg", "ES256").code == 1
    assert idp("client", "add", "ENT", *BASIC, "--id-token-alg", "RS256").code == 0


def test_an_invitation_is_shown_once_listed_without_its_token_and_revoked(idp: Run) -> None:
    invite = ("client", "invite", "--uai", "0599001N")
    invitation = read_json(idp, *invite, "--label", "ENT 59")
    assert len(invitation["initial_access_token"]) == 43
    rows = read_json(idp, "client", "invites")
    assert [row["label"] for row in rows] == ["ENT 59"]
    assert invitation["initial_access_token"] not in json.dumps(rows)
    revocations = [
        idp("client", "revoke-invite", key).code for key in (invitation["invite"], invitation["invite"], "x")
    ]
    assert revocations == [0, 1, 2]
    assert idp(*invite, "--uai", "x").code == 2
    for wrong in (("--scopes", "profile"), ("--scopes", "openid admin"), ("--label", "x" * 81)):
        assert idp(*invite, *wrong).code == 1
