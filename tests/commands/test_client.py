import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from sqlalchemy import Engine, text

from idp import opaque
from tests.commands.conftest import Run

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


def add(idp: Run, *more: str) -> dict[str, Any]:
    basic = WAY_BACK if "--uai" in more else BASIC
    answer = idp("client", "add", "ENT des Tilleuls", *basic, *more, "--json")
    assert (answer.code, answer.err) == (0, "")
    client: dict[str, Any] = json.loads(answer.out)
    return client


def show(idp: Run, client_id: str) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(idp("client", "show", client_id, "--json").out)
    return shown


def whole_table(engine: Engine) -> str:
    with engine.connect() as connection:
        return repr(connection.execute(text("SELECT * FROM client")).all())


def digests_of(engine: Engine, client_id: str) -> tuple[bytes, bytes | None]:
    """Return the stored digests of a client's current and former secret."""
    query = text("SELECT secret_digest, former_secret_digest FROM client WHERE client_id = :id")
    with engine.connect() as connection:
        current, former = connection.execute(query, {"id": client_id}).one()
    return bytes(current), former if former is None else bytes(former)


def digest_of(engine: Engine, client_id: str) -> bytes:
    return digests_of(engine, client_id)[0]


def test_a_client_is_registered_with_its_options(idp: Run) -> None:
    assert idp("keys", "rotate", "--alg", "ES256").code == 0
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


def test_the_defaults_are_the_strict_ones(idp: Run) -> None:
    shown = show(idp, add(idp)["client_id"])
    assert shown["scopes"] == ["openid", "profile", "email", "ent", "charter"]
    assert (shown["auth_method"], shown["subject"], shown["pkce_required"]) == ("client_secret_basic", "pairwise", True)
    assert (shown["charter"], shown["id_token_alg"], shown["always_claims"]) == ("ent", "RS256", [])


@pytest.mark.row("K-07")
def test_the_secret_is_shown_once_kept_as_a_digest_and_never_listed(idp: Run, engine: Engine) -> None:
    client = add(idp)
    secret = client["client_secret"]
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", secret)
    assert digest_of(engine, client["client_id"]) == opaque.digest(secret)
    assert secret not in whole_table(engine)
    for command in (
        ("list",),
        ("list", "--json"),
        ("show", client["client_id"]),
        ("show", client["client_id"], "--json"),
    ):
        answer = idp("client", *command)
        assert answer.code == 0
        assert client["client_id"] in answer.out
        assert secret not in answer.out


def test_text_output_prints_the_secret_on_one_line(idp: Run) -> None:
    answer = idp("client", "add", "Lycée", *BASIC)
    assert re.fullmatch(r"client_id: \w+\nclient_secret: [\w-]{43}\nname: Lycée\n", answer.out)


def test_a_public_client_has_no_secret(idp: Run, engine: Engine) -> None:
    client = add(idp, "--auth-method", "none")
    assert "client_secret" not in client
    answer = idp("client", "rotate-secret", client["client_id"])
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == "Error: ENT des Tilleuls is a public client: it has no secret\n"


@pytest.mark.row("K-07")
def test_a_new_secret_replaces_the_former(idp: Run, engine: Engine) -> None:
    client = add(idp)
    answer = idp("client", "rotate-secret", client["client_id"], "--json")
    fresh = json.loads(answer.out)
    assert fresh["client_id"] == client["client_id"]
    assert fresh["client_secret"] != client["client_secret"]
    assert digest_of(engine, client["client_id"]) == opaque.digest(fresh["client_secret"])
    ends_in = datetime.fromisoformat(fresh["former_secret_until"]) - datetime.now(UTC)
    assert timedelta(hours=23) < ends_in < timedelta(hours=25)
    answer = idp("client", "rotate-secret", client["client_id"], "--force")
    assert re.fullmatch(r"client_secret: [\w-]{43}\nformer_secret_until: 20[-\dT:.+]+\n", answer.out)
    last = json.loads(idp("client", "rotate-secret", client["client_id"], "--keep-former", "0", "--json").out)
    assert last["former_secret_until"] is show(idp, client["client_id"])["former_secret_until"] is None
    assert idp("client", "rotate-secret", client["client_id"], "--keep-former", "721").code == 2


def test_rotation_refuses_to_revoke_a_valid_former_secret(idp: Run, engine: Engine) -> None:
    """After two rotations, the secret before both is still valid, because the output of the first may be lost."""
    client = add(idp)
    client_id, first = client["client_id"], client["client_secret"]
    lost = json.loads(idp("client", "rotate-secret", client_id, "--json").out)
    until = lost["former_secret_until"]
    digests = digests_of(engine, client_id)
    for more in ((), ("--keep-former", "48"), ("--json",)):
        answer = idp("client", "rotate-secret", client_id, *more)
        assert (answer.code, answer.out) == (1, "")
        [line] = answer.err.splitlines()
        assert until[:16] in line
        assert "--lost" in line
        assert "--force" in line
    assert digests_of(engine, client_id) == digests == (opaque.digest(lost["client_secret"]), opaque.digest(first))
    again = json.loads(idp("client", "rotate-secret", client_id, "--lost", "--json").out)
    assert again["former_secret_until"] == until, "it is not put off either"
    assert digests_of(engine, client_id) == (opaque.digest(again["client_secret"]), opaque.digest(first))
    forced = json.loads(idp("client", "rotate-secret", client_id, "--force", "--json").out)
    two = opaque.digest(forced["client_secret"]), opaque.digest(again["client_secret"])
    assert digests_of(engine, client_id) == two, "the first one is dead"
    alone = json.loads(idp("client", "rotate-secret", client_id, "--keep-former", "0", "--json").out)
    assert digests_of(engine, client_id) == (opaque.digest(alone["client_secret"]), None), "it says so itself"


def test_rotation_ignores_an_expired_former_secret(idp: Run) -> None:
    client_id = add(idp)["client_id"]
    assert idp("client", "rotate-secret", client_id, "--keep-former", "1").code == 0
    with time_machine.travel(datetime.now(UTC) + timedelta(hours=1, seconds=1)):
        assert idp("client", "rotate-secret", client_id).code == 0


def test_each_change_is_counted_and_recorded(idp: Run, engine: Engine) -> None:
    client_id = add(idp)["client_id"]
    idp("client", "rotate-secret", client_id)
    idp("client", "disable", client_id)
    assert idp("client", "disable", client_id).code == 0, "twice is once"
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT version FROM client")) == 3
        audit = connection.execute(
            text("SELECT details, actor FROM audit WHERE kind = 'client.changed' ORDER BY id")
        ).all()
    changes = [details if isinstance(details, dict) else json.loads(details) for details, _ in audit]
    assert [details["change"] for details in changes] == ["registered", "secret rotated", "disabled"]
    assert all(actor for _, actor in audit), "who did it is kept"


def test_a_disabled_client_is_marked_and_enabled_again(idp: Run) -> None:
    client_id = add(idp)["client_id"]
    assert idp("client", "disable", client_id).out == f"{client_id} is disabled\n"
    assert show(idp, client_id)["disabled_at"]
    assert "(disabled)" in idp("client", "list").out
    assert idp("client", "enable", client_id).out == f"{client_id} is enabled\n"
    assert show(idp, client_id)["disabled_at"] is None


def test_the_list_is_an_array_sorted_by_name(idp: Run) -> None:
    assert json.loads(idp("client", "list", "--json").out) == []
    for name in ("Zéphyr", "Aurore"):
        idp("client", "add", name, *BASIC)
    rows = json.loads(idp("client", "list", "--json").out)
    assert [row["name"] for row in rows] == ["Aurore", "Zéphyr"]
    assert {frozenset(row) for row in rows} == {frozenset(SHOWN)}


def test_text_output_of_a_registration_leaves_out_empty_fields(idp: Run) -> None:
    more = ("--redirect-uri", "https://ent.test/cb2", "--default-max-age", "0", "--policy-uri", "https://ent.test/data")
    client_id = add(idp, *more, "--profile-uri", "eleve=https://ent.test/eleves", "--no-refresh-id-token")["client_id"]
    answer = idp("client", "show", client_id)
    assert (answer.code, answer.err) == (0, "")
    shown = answer.out.splitlines()
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
    second = ("client", "add", "Deuxième", *WAY_BACK, "--uai", "0599001N", "--json")
    answer = idp(*second)
    note = "note: ENT des Tilleuls ({}) serves {} too; letters name the ENT that was registered first\n"
    assert (answer.code, answer.err) == (0, note.format(first, "0599001N"))
    client_id = json.loads(answer.out)["client_id"]
    assert idp("client", "set", client_id, "--uai", "0599001N", "--uai", "0599002P").err == note.format(
        first, "0599002P"
    )
    assert idp("client", "set", client_id, "--charter", "none").err == "", "it is said when a school comes"
    idp("client", "disable", client_id)
    both = ("--uai", "0599001N", "--uai", "0599002P", "--uai", "0599003R")
    assert idp("client", "invite", *both).err == note.format(first, "0599001N, 0599002P")
    idp("client", "disable", first)
    assert idp(*second).err == "", "who is shut out serves nobody"


def test_a_name_of_another_ent_prints_a_note(idp: Run) -> None:
    first = add(idp)["client_id"]
    note = f"note: ENT des Tilleuls ({first}) has the same name, or one that looks the same\n"
    same = idp("client", "add", "ENT DES TILLEU1S", *BASIC, "--json")
    assert (same.code, same.err) == (0, note)
    other = json.loads(idp("client", "add", "Deuxième", *BASIC, "--json").out)["client_id"]
    idp("client", "disable", json.loads(same.out)["client_id"])
    assert idp("client", "set", other, "--name", "ent des tilleuls").err == note
    assert idp("client", "set", other, "--charter", "none").err == "", "it is said when a name comes"
    assert idp("client", "set", other, "--name", "Troisième").err == ""


@pytest.mark.parametrize("command", ["show", "rotate-secret", "disable"])
def test_an_unknown_client_is_refused(idp: Run, command: str) -> None:
    answer = idp("client", command, "né'\"; --")
    assert (answer.code, answer.out, answer.err) == (1, "", "Error: no client né'\"; --\n")


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
    assert "https://ok.test/" not in answer.err
    assert "0599001N" not in answer.err
    assert json.loads(idp("client", "list", "--json").out) == []
