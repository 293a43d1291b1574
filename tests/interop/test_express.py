"""The Express recipe of clients/recipes, whose relying party is openid-client."""

import secrets
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest
import requests

from tests.commands.processes import free_port
from tests.interop import node
from tests.interop.installation import HOST, Ent, Installation, Server, behind_tls
from tests.interop.visitor import PATIENCE, Visitor
from tests.waiting import wait_for

SECTION = "Express: openid-client"
pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def ent(installation: Installation, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ent]:
    port = free_port()
    client = installation.register(SECTION, f"{HOST}:{port}")
    installation.publish_charter(client)
    settings = {
        "ISSUER": installation.issuer,
        "CLIENT_ID": client.client_id,
        "CLIENT_SECRET": client.secret,
        "PUBLIC_URL": f"https://{HOST}:{port}",
        "SESSION_SECRET": secrets.token_urlsafe(32),
        "PORT": "{port}",
    }
    server = Server(node.command("server.mjs"), node.packages(shared), node.environment(installation, **settings))
    with behind_tls(installation, client, port, server, tmp_path_factory.mktemp("express")) as running:
        yield running


def enter(visitor: Visitor, ent: Ent, parent: str) -> None:
    visitor.open(ent.inside)
    visitor.sign_in(parent)
    assert visitor.heading == "Charte de l’ENT", visitor.page.text
    assert "Soyons polis." in visitor.page.text
    visitor.submit("version")
    assert (visitor.heading, visitor.page.url) == ("Mon espace", ent.inside), visitor.page.text


def test_a_parent_signs_in_accepts_the_charter_and_comes_back_to_it(
    installation: Installation, ent: Ent, visitor: Visitor
) -> None:
    enter(visitor, ent, installation.parent())
    assert "Bonjour Noémie LEROY-VANDEPUTTE." in visitor.page.text
    assert "<li>Malo, 6e 1</li>" in visitor.page.text
    visitor.open(f"{ent.origin}/charte")
    assert visitor.heading == "Charte de l’ENT", "it can be read again"


def test_tokens_are_renewed_and_claims_with_them(installation: Installation, ent: Ent, visitor: Visitor) -> None:
    enter(visitor, ent, installation.parent())
    before = installation.count_requests("oidc.token")
    for times in (1, 2):  # the second time with the refresh token of the first response
        assert visitor.open(ent.inside).status_code == 200
        assert installation.count_requests("oidc.token") == before + times
    installation.publish_charter(ent.client, "2")
    visitor.open(ent.inside)
    assert (visitor.heading, visitor.page.url) == ("Charte de l’ENT", f"{ent.origin}/charte")
    visitor.submit(version="1")
    assert visitor.heading == "Charte de l’ENT", "another version is current: that one is shown"
    visitor.submit("version")
    assert visitor.heading == "Mon espace"


def test_a_session_ends_by_sign_out_and_back_channel_logout(
    installation: Installation, ent: Ent, visitor: Visitor
) -> None:
    parent, count = installation.parent(), times_told(ent)
    enter(visitor, ent, parent)
    visitor.submit()
    assert (visitor.heading, visitor.page.url) == ("Mon ENT", f"{ent.origin}/"), "through the provider and back"
    wait_until_told(installation, ent, count + 1)
    visitor.open(ent.inside)
    visitor.sign_in(parent)
    assert visitor.heading == "Mon espace", "the session at the provider was over too"
    visitor.sign_out_at(installation.issuer)
    wait_until_told(installation, ent, count + 2)
    before = installation.count_requests("oidc.token")
    visitor.open(ent.inside)
    assert visitor.heading == "Connexion"
    assert installation.count_requests("oidc.token") == before, "known without asking"


def times_told(ent: Ent) -> int:
    return ent.log.read_text().count("the provider ended a session")


def wait_until_told(installation: Installation, ent: Ent, times: int) -> None:
    wait_for(lambda: times_told(ent) >= times, tell=lambda: f"{ent.log.read_text()}\n{installation.log()}")


def test_a_valid_logout_token_is_accepted_once(installation: Installation, ent: Ent) -> None:
    token = installation.logout_token(ent.client, "somebody", "a-session")
    others = installation.register(SECTION, "autre.exemple.fr")
    foreign = installation.logout_token(others, "somebody", "a-session")
    head, body, signature = token.split(".")
    swapped = f"{head}.{foreign.split('.')[1]}.{signature}"

    def post(content: dict[str, str]) -> int:
        where = f"{ent.origin}/backchannel-logout"
        return requests.post(where, content, verify=str(installation.trusted), timeout=PATIENCE).status_code

    assert [
        post({"logout_token": invalid_token}) for invalid_token in (foreign, swapped, f"{head}.{body}.", "x", "")
    ] == [400] * 5
    assert post({}) == 400
    assert [post({"logout_token": token}) for _ in range(2)] == [200, 400]


def test_an_unrequested_answer_gives_an_error_page(ent: Ent, visitor: Visitor) -> None:
    for answer in ("code=x&state=forged", "error=access_denied&state=forged", "state=__proto__", ""):
        visitor.open(f"{ent.origin}/callback?{answer}")
        assert (visitor.page.status_code, visitor.heading) == (400, "Connexion impossible")


def test_a_refusal_is_a_page_and_an_answer_of_another_provider_is_refused(
    installation: Installation, ent: Ent, visitor: Visitor
) -> None:
    for issuer, believed in ((installation.issuer, True), ("https://autre.exemple.fr", False)):
        visitor.open(f"{ent.origin}/login")
        [request_url] = [step for step in visitor.steps if "/authorize?" in step]
        [state] = parse_qs(urlsplit(request_url).query)["state"]
        visitor.open(f"{ent.origin}/callback?error=access_denied&state={state}&iss={quote(issuer, safe='')}")
        assert (visitor.page.status_code, visitor.heading) == (400, "Connexion impossible")
        assert ("La connexion a été annulée, ou vos enfants sont dans un autre ENT" in visitor.page.text) is believed


def test_a_form_of_another_site_is_refused(installation: Installation, ent: Ent) -> None:
    headers = {"Origin": "https://autre.exemple.fr"}
    where = f"{ent.origin}/deconnexion"
    answer = requests.post(where, headers=headers, verify=str(installation.trusted), timeout=PATIENCE)
    assert answer.status_code == 403
