import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from sqlalchemy import Engine, text

from idp import opaque
from tests.commands.conftest import Answer, Events, Run, check_refusal, read_json

WAY_BACK = ("--redirect-uri", "https://ent.test/cb")
BASIC = (*WAY_BACK, "--audience", "everyone")
"""The minimal options of a service without schools."""
SHOWN = {
    "client_id", "name", "audience", "uais", "release_username", "redirect_uris",
    "post_logout_redirect_uris", "backchannel_logout_uri", "home_uri",
    "initiate_login_uri",
    "auth_method", "subject", "subject_prefix", "pkce_required", "scopes", "always_claims", "charter", "id_token_alg",
    "default_profile", "profile_uris", "created_at", "disabled_at", "frontchannel_logout_uri", "auth_alg", "jwks",
    "assertion_audience",
    "jwks_uri", "profile", "par_required", "dpop_required", "sector_identifier_uri", "userinfo_alg", "refresh_id_token",
    "default_max_age", "description", "former_secret_until", "registered_by_itself",
    "ended_itself_at",
    "sector", "bounds", "registration_used_at", "pending_since", "pending_hosts", "pending_metadata", "waiting_since",
    "declined_at",
    "asked_uais",
}  # fmt: skip


def add(idp: Run, *more: str) -> Any:
    return read_json(idp, "client", "add", "ENT des Tilleuls", *(WAY_BACK if "--uai" in more else BASIC), *more)


def show(idp: Run, client_id: str) -> Any:
    return read_json(idp, "client", "show", client_id)


def rotate(idp: Run, client_id: str, *options: str) -> Any:
    return read_json(idp, "client", "rotate-secret", client_id, *options)


def digests_of(engine: Engine, client_id: str) -> tuple[bytes, bytes | None]:
    query = text("SELECT secret_digest, former_secret_digest FROM client WHERE client_id = :id")
    with engine.connect() as connection:
        current, former = connection.execute(query, {"id": client_id}).one()
    return bytes(current), former if former is None else bytes(former)


def test_a_client_is_registered_with_its_options(idp: Run) -> None:
    idp("keys", "rotate", "--alg", "ES256")
    client = add(
        idp,
        *("--redirect-uri", "https://ent.test/cb2", "--uai", "0599001N", "--uai", "0599002P", "--uai", "0599001N"),
        *("--post-logout-redirect-uri", "https://ent.test/bye", "--home-uri", "https://ent.test/"),
        *("--initiate-login-uri", "https://ent.test/login", "--auth-method", "client_secret_post"),
        *("--subject", "aaf", "--subject-prefix", "LILLE", "--no-pkce", "--scopes", "openid profile offline_access"),
        *("--always-claims", "ent, charter", "--charter", "provider", "--id-token-alg", "ES256"),
        *("--default-profile", "parent", "--profile-uri", "eleve=https://ent.test/eleves?a=b"),
    )
    assert set(client) == {"client_id", "client_secret", "name"}
    shown = show(idp, client["client_id"])
    assert set(shown) == SHOWN
    given = {
        "client_id": client["client_id"],
        "name": "ENT des Tilleuls",
        "audience": "families",
        "uais": ["0599001N", "0599002P"],
        "redirect_uris": ["https://ent.test/cb", "https://ent.test/cb2"],
        "post_logout_redirect_uris": ["https://ent.test/bye"],
        "home_uri": "https://ent.test/",
        "initiate_login_uri": "https://ent.test/login",
        "auth_method": "client_secret_post",
        "subject": "aaf",
        "subject_prefix": "LILLE",
        "pkce_required": False,
        "scopes": ["openid", "profile", "offline_access"],
        "always_claims": ["ent", "charter"],
        "charter": "provider",
        "id_token_alg": "ES256",
        "default_profile": "parent",
        "profile_uris": {"eleve": "https://ent.test/eleves?a=b"},
    }
    assert given.items() <= shown.items()


@pytest.mark.row("K-07")
def test_the_secret_is_shown_once_kept_as_a_digest_and_never_listed(idp: Run, engine: Engine) -> None:
    shown = idp("client", "add", "Lycée", *BASIC).out
    match = re.fullmatch(r"client_id: (\w+)\nclient_secret: ([\w-]{43})\nname: Lycée\n", shown)
    assert match
    client_id, secret = match.groups()
    assert digests_of(engine, client_id) == (opaque.digest(secret), None)
    with engine.connect() as connection:
        assert secret not in repr(connection.execute(text("SELECT * FROM client")).all())
    for command in (("list",), ("list", "--json"), ("show", client_id), ("show", client_id, "--json")):
        out = idp("client", *command).out
        assert (client_id in out, secret in out) == (True, False), command


def test_a_public_client_has_no_secret(idp: Run) -> None:
    client = add(idp, "--auth-method", "none")
    assert "client_secret" not in client
    answer = idp("client", "rotate-secret", client["client_id"])
    check_refusal(answer, "ENT des Tilleuls is a public client: it has no secret")


@pytest.mark.row("K-07")
def test_a_new_secret_replaces_the_former(idp: Run, engine: Engine) -> None:
    client = add(idp)
    client_id, first = client["client_id"], opaque.digest(client["client_secret"])
    fresh = rotate(idp, client_id)
    assert digests_of(engine, client_id) == (opaque.digest(fresh["client_secret"]), first)
    ends_in = datetime.fromisoformat(fresh["former_secret_until"]) - datetime.now(UTC)
    assert timedelta(hours=23) < ends_in < timedelta(hours=25)
    answer = idp("client", "rotate-secret", client_id, "--force")
    assert re.fullmatch(r"client_secret: [\w-]{43}\nformer_secret_until: 20[-\dT:.+]+\n", answer.out)
    last = rotate(idp, client_id, "--keep-former", "0")
    assert last["former_secret_until"] is show(idp, client_id)["former_secret_until"] is None
    assert digests_of(engine, client_id) == (opaque.digest(last["client_secret"]), None)
    assert idp("client", "rotate-secret", client_id, "--keep-former", "721").code == 2


def test_rotation_refuses_to_revoke_a_valid_former_secret(idp: Run, engine: Engine) -> None:
    """After two rotations, the secret before both is still valid, because the output of the first may be lost."""
    client = add(idp)
    client_id, first = client["client_id"], opaque.digest(client["client_secret"])
    lost = rotate(idp, client_id)
    digests = digests_of(engine, client_id)
    for more in ((), ("--keep-former", "48"), ("--json",)):
        answer = idp("client", "rotate-secret", client_id, *more)
        check_refusal(answer, lost["former_secret_until"][:16])
        assert ("--lost" in answer.err, "--force" in answer.err) == (True, True)
    assert digests_of(engine, client_id) == digests == (opaque.digest(lost["client_secret"]), first)
    again = rotate(idp, client_id, "--lost")
    assert again["former_secret_until"] == lost["former_secret_until"], "it is not put off either"
    second = opaque.digest(again["client_secret"])
    assert digests_of(engine, client_id) == (second, first)
    forced = opaque.digest(rotate(idp, client_id, "--force")["client_secret"])
    assert digests_of(engine, client_id) == (forced, second), "the first one is dead"


def test_rotation_ignores_an_expired_former_secret(idp: Run) -> None:
    client_id = add(idp)["client_id"]
    assert idp("client", "rotate-secret", client_id, "--keep-former", "1").code == 0
    with time_machine.travel(datetime.now(UTC) + timedelta(hours=1, seconds=1)):
        assert idp("client", "rotate-secret", client_id).code == 0


def test_each_change_is_counted_and_recorded(idp: Run, events: Events, engine: Engine) -> None:
    client_id = add(idp)["client_id"]
    for command in ("rotate-secret", "disable", "disable"):  # twice is once
        assert idp("client", command, client_id).code == 0
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT version FROM client")) == 3
    assert [(entry.details["change"], bool(entry.actor)) for entry in events("client.changed")] == [
        *(("registered", True), ("secret rotated", True), ("disabled", True)),
    ]


def test_a_disabled_client_is_marked_and_enabled_again(idp: Run) -> None:
    client_id = add(idp)["client_id"]
    assert idp("client", "disable", client_id).out == f"{client_id} is disabled\n"
    assert show(idp, client_id)["disabled_at"]
    assert "(disabled)" in idp("client", "list").out
    assert idp("client", "enable", client_id).out == f"{client_id} is enabled\n"
    assert show(idp, client_id)["disabled_at"] is None


def test_text_output_of_a_registration_leaves_out_empty_fields(idp: Run) -> None:
    more = ("--redirect-uri", "https://ent.test/cb2", "--default-max-age", "0", "--policy-uri", "https://ent.test/data")
    client_id = add(idp, *more, "--profile-uri", "eleve=https://ent.test/eleves", "--no-refresh-id-token")["client_id"]
    shown = idp("client", "show", client_id).out.splitlines()
    assert shown.pop(-2).startswith("created_at: 20")
    assert shown == [
        f"client_id: {client_id}",
        "name: ENT des Tilleuls",
        "audience: everyone",
        "release_username: no",
        "redirect_uris: https://ent.test/cb, https://ent.test/cb2",
        "auth_method: client_secret_basic",
        "assertion_audience: issuer",
        "par_required: no",
        "dpop_required: no",
        "subject: pairwise",
        "sector: ent.test",
        "pkce_required: yes",
        "scopes: openid, profile, email, ent, charter",
        "charter: ent",
        "id_token_alg: RS256",
        "refresh_id_token: no",
        "default_max_age: 0",
        "description: policy_uri=https://ent.test/data",
        "profile_uris: eleve=https://ent.test/eleves",
        "registered_by_itself: no",
    ]


def test_a_school_of_another_ent_prints_a_note(idp: Run) -> None:
    first = add(idp, "--uai", "0599001N", "--uai", "0599002P")["client_id"]
    add_second = ("client", "add", "Deuxième", *WAY_BACK, "--uai", "0599001N", "--json")
    answer = idp(*add_second)
    note = "note: ENT des Tilleuls ({}) serves {} too; letters name the ENT that was registered first\n"
    assert (answer.code, answer.err) == (0, note.format(first, "0599001N"))
    second = json.loads(answer.out)["client_id"]
    both = ("--uai", "0599001N", "--uai", "0599002P")
    assert idp("client", "set", second, *both).err == note.format(first, "0599002P")
    assert idp("client", "set", second, "--charter", "none").err == "", "the note is printed when a school is added"
    idp("client", "disable", second)
    assert idp("client", "invite", *both, "--uai", "0599003R").err == note.format(first, "0599001N, 0599002P")
    idp("client", "disable", first)
    assert idp(*add_second).err == "", "a disabled ENT serves no school"


def test_a_name_of_another_ent_prints_a_note(idp: Run) -> None:
    note = f"note: ENT des Tilleuls ({add(idp)['client_id']}) has the same name, or one that looks the same\n"
    same = idp("client", "add", "ENT DES TILLEU1S", *BASIC, "--json")
    assert (same.code, same.err) == (0, note)
    idp("client", "disable", json.loads(same.out)["client_id"])
    other = read_json(idp, "client", "add", "Deuxième", *BASIC)["client_id"]
    assert idp("client", "set", other, "--name", "ent des tilleuls").err == note
    for options in (("--charter", "none"), ("--name", "Troisième")):
        assert idp("client", "set", other, *options).err == ""


@pytest.mark.parametrize("command", ["show", "test", "rotate-secret", "disable"])
def test_an_unknown_client_is_refused(idp: Run, command: str) -> None:
    assert idp("client", command, "né'\"; --") == Answer(1, "", "Error: no client né'\"; --\n")


def test_all_faults_are_listed_and_no_client_is_registered(idp: Run) -> None:
    answer = idp(
        *("client", "add", " ", "--redirect-uri", "http://ent.test/cb", "--redirect-uri", "https://ok.test/"),
        *("--uai", "0599001N", "--post-logout-redirect-uri", "https://ent.test/#f"),
        *("--scopes", "profile admin", "--always-claims", "iss", "--auth-method", "none", "--no-pkce"),
        *("--subject", "email", "--charter", "maybe", "--id-token-alg", "HS256", "--default-profile", "roi"),
        *("--profile-uri", "reine=https://ent.test/", "--subject-prefix", "x" * 31),
    )
    assert (answer.code, answer.out) == (1, "")
    for named in (
        "the name", "--redirect-uri 'http://ent.test/cb'", "--post-logout-redirect-uri",
        "--scopes", "--always-claims", "--no-pkce", "--subject 'email'", "--charter", "--id-token-alg",
        "--default-profile 'roi'", "--profile-uri 'reine'", "--subject-prefix must",
    ):  # fmt: skip
        assert named in answer.err, named
    assert not [named for named in ("https://ok.test/", "0599001N") if named in answer.err]
    assert read_json(idp, "client", "list") == []
