"""mod_auth_openidc with the recipe of clients/recipes, and an application behind Apache."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack

import pytest

from tests.builders import COLLEGE
from tests.commands.processes import free_port
from tests.interop.apache import Apache, apache, read_variables
from tests.interop.installation import HOST, Installation
from tests.interop.visitor import PATIENCE, Visitor

SECTION = "Apache: mod_auth_openidc"
RENEWAL = "OIDCRefreshAccessTokenBeforeExpiry 60 logout_on_error"
pytestmark = pytest.mark.interop
Start = Callable[..., Apache]


@pytest.fixture
def start(installation: Installation) -> Iterator[Start]:
    with ExitStack() as stack:

        def started(*options: str, changes: Mapping[str, str] | None = None) -> Apache:
            port = free_port()
            client = installation.register(SECTION, f"{HOST}:{port}", *options)
            installation.publish_charter(client)
            return stack.enter_context(apache(installation, client, port, changes))

        yield started


def enter(visitor: Visitor, ent: Apache, parent: str) -> dict[str, str]:
    visitor.open(ent.inside)
    visitor.sign_in(parent)
    visitor.accept_the_charter()
    return read_variables(visitor.page)


def test_the_application_reads_who_signed_in_from_its_environment(
    installation: Installation, start: Start, visitor: Visitor
) -> None:
    ent, parent = start(), installation.parent()
    variables = enter(visitor, ent, parent)
    assert visitor.page.url == ent.inside
    assert variables["OIDC_CLAIM_iss"] == installation.issuer
    assert variables["REMOTE_USER"] == variables["OIDC_CLAIM_sub"]
    assert "OIDC_CLAIM_preferred_username" not in variables, "the registration does not ask for it"
    assert variables["OIDC_CLAIM_name"] == "Noémie LEROY-VANDEPUTTE"
    assert variables["OIDC_CLAIM_ENTPersonProfils"] == "National_2"
    assert variables["OIDC_CLAIM_FrEduVecteur"].startswith("2|LEROY-VANDEPUTTE|Noémie|")
    assert variables["OIDC_CLAIM_uai"] == COLLEGE
    assert (variables["OIDC_CLAIM_charter_accepted"], variables["OIDC_CLAIM_charter_version"]) == ("1", "1")
    assert [child["uai"] for child in json.loads(variables["OIDC_userinfo_json"])["children"]] == [COLLEGE]


def test_a_parent_who_has_not_accepted_the_charter_gets_a_403(
    installation: Installation, start: Start, visitor: Visitor
) -> None:
    ent = start("--charter", "ent")  # the ENT decides about the charter
    visitor.open(ent.inside)
    visitor.sign_in(installation.parent())
    assert (visitor.page.status_code, visitor.page.url) == (403, ent.inside)


def test_the_access_token_is_renewed(installation: Installation, start: Start, visitor: Visitor) -> None:
    ent = start()
    variables = enter(visitor, ent, installation.parent())
    again = read_variables(visitor.open(ent.inside))
    later = read_variables(visitor.open(ent.inside))
    assert len({page["OIDC_access_token"] for page in (variables, again, later)}) == 3
    assert later["OIDC_CLAIM_sub"] == variables["OIDC_CLAIM_sub"]


def test_a_new_version_of_the_charter_blocks_access_until_it_is_accepted(
    installation: Installation, start: Start, visitor: Visitor
) -> None:
    ent, parent = start(), installation.parent()
    enter(visitor, ent, parent)
    installation.publish_charter(ent.client, "2")
    assert visitor.open(ent.inside).status_code == 403, "seen at the next renewal"
    visitor.open(f"{ent.origin}/oidc/callback?logout={ent.origin}/")
    assert enter(visitor, ent, parent)["OIDC_CLAIM_charter_version"] == "2"


def test_a_session_that_ended_at_the_provider_ends_at_the_next_renewal(
    installation: Installation, start: Start, visitor: Visitor
) -> None:
    ent = start("--backchannel-logout-uri", "")
    enter(visitor, ent, installation.parent())
    visitor.sign_out_at(installation.issuer)
    assert visitor.open(ent.inside).url == f"{ent.origin}/", "signed out, and led home"
    visitor.open(ent.inside)
    assert visitor.heading == "Connexion"


def test_signing_out_goes_through_the_provider_and_comes_back(
    installation: Installation, start: Start, visitor: Visitor
) -> None:
    ent = start()
    enter(visitor, ent, installation.parent())
    visitor.open(f"{ent.origin}/oidc/callback?logout={ent.origin}/")
    assert (visitor.page.status_code, visitor.page.url) == (200, f"{ent.origin}/")
    visitor.open(ent.inside)
    assert visitor.heading == "Connexion", "the session at the provider is over too"


def test_the_end_of_a_session_elsewhere_is_sent_by_back_channel(
    installation: Installation, start: Start, visitor: Visitor
) -> None:
    ent = start(changes={RENEWAL: ""})  # which would notice by itself
    enter(visitor, ent, installation.parent())
    visitor.sign_out_at(installation.issuer)
    log_line = "POST /oidc/callback?logout=backchannel 200"
    until = time.monotonic() + PATIENCE
    while log_line not in ent.requests.read_text():
        assert time.monotonic() < until, f"{ent.requests.read_text()}\n{installation.log()}"
        time.sleep(0.1)
    visitor.open(ent.inside)
    assert visitor.heading == "Connexion"
