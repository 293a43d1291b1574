from flask.testing import FlaskClient

from tests.builders import PASSWORD, Build
from tests.pages import sign_in
from tests.relying_party import Attempt, RelyingParty


def test_a_whole_sign_on(browser: FlaskClient, build: Build, ent: RelyingParty) -> None:
    account = build.active()
    attempt = Attempt()
    response = sign_in(browser, ent.url(attempt), account.username, PASSWORD)
    assert response.status_code == 303, response.get_data(as_text=True)
    answer = ent.answer(response)
    assert answer["state"] == attempt.state
    tokens = ent.tokens(browser, answer["code"], attempt)
    info = ent.userinfo(browser, tokens["access_token"]).get_json()
    assert info["sub"] == tokens["claims"]["sub"]
    assert info["FrEduVecteur"][0].startswith("2|LEROY-VANDEPUTTE|Noémie|")
