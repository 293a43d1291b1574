"""Answers of passkeys that are malformed or changed give no access to the desk, and cause no error of the service."""

import json
from typing import Any

import pytest
from flask import Flask

from tests.authenticator import Authenticator, b64
from tests.desk.authenticator import answer_with
from tests.desk.colleagues import Colleagues
from tests.desk.test_passkeys import is_in, keys
from tests.pages import form_token


def shapes() -> list[str]:
    """Return answers that no browser gives."""
    deep = "[" * 5000
    data = b64(json.dumps({"type": "webauthn.get", "challenge": "AAAA", "origin": "x"}).encode())
    responses: list[Any] = [
        None,
        [],
        1,
        "x",
        {},
        {"clientDataJSON": 1},
        {"clientDataJSON": "é"},
        {"clientDataJSON": b64(b"\xff\xfe")},
        {"clientDataJSON": b64(b"[]")},
        {"clientDataJSON": b64(deep.encode())},
        {"clientDataJSON": b64(b'{"challenge": 1}')},
        {"clientDataJSON": b64(b'{"challenge": "\\ud800"}')},
        {"clientDataJSON": data},
    ]
    answers = [json.dumps({"id": "AA", "rawId": "AA", "type": "public-key", "response": r}) for r in responses]
    return [*answers, "x", "null", "[]", "1", '"x"', "{", deep, '{"a":' * 3000, "{}", "\ud83d", "é" * 20_000, "NaN"]


@pytest.mark.parametrize("answer", shapes(), ids=range(len(shapes())))
def test_malformed_answers_are_refused(desk: Flask, colleagues: Colleagues, answer: str) -> None:
    browser, link = desk.test_client(), colleagues.invited()
    data = answer.encode("utf-8", "replace").decode()
    assert answer_with(browser, data).status_code in {200, 413}
    page = browser.post(link, data={"csrf_token": form_token(browser.get(link)), "passkey": data})
    assert page.status_code in {200, 413}
    assert not is_in(browser)


def spoiled() -> list[tuple[str, Any]]:
    """Return members of an answer with values that do not belong there."""
    values: list[Any] = [
        None,
        1,
        [],
        {},
        "",
        "é",
        "\x00",
        "A",
        b64(b"\xff" * 40),
        b64(b"\x9f" * 40),
        b64(b"\x81" * 3000),
    ]
    members = ["id", "rawId", "type", "clientExtensionResults", "authenticatorAttachment"]
    inner = ["authenticatorData", "signature", "userHandle", "attestationObject", "transports"]
    return [(name, value) for name in [*members, *(f"response.{n}" for n in inner)] for value in values]


def test_answers_with_a_spoiled_member_open_nothing_but_what_they_prove(desk: Flask, colleagues: Colleagues) -> None:
    key = Authenticator()
    _, staff = colleagues.enrolled(key)
    browser = desk.test_client()
    token = form_token(browser.get("/connexion"))
    for name, value in spoiled():
        begun = json.loads(browser.post("/connexion/defi", data={"csrf_token": token}).get_data(as_text=True))
        answer = spoil(key.get(begun), name, value)
        page = browser.post("/connexion", data={"csrf_token": token, "passkey": answer})
        assert page.status_code in {200, 303, 429}, (name, value)
        if page.status_code == 303:
            browser = desk.test_client()  # in which nobody is signed in
            token = form_token(browser.get("/connexion"))
    assert keys(staff) == 1


def test_registrations_with_a_spoiled_member_are_no_fault_of_ours(desk: Flask, colleagues: Colleagues) -> None:
    browser, _ = colleagues.enrolled(Authenticator())
    token = form_token(browser.get("/etablissements"))
    for name, value in spoiled():
        begun = json.loads(browser.post("/ma-securite/defi", data={"csrf_token": token}).get_data(as_text=True))
        answer = spoil(Authenticator().create(begun), name, value)
        page = browser.post("/ma-securite/cles", data={"csrf_token": token, "passkey": answer})
        assert page.status_code in {200, 303}, (name, value)


def spoil(answer: str, name: str, value: Any) -> str:
    """Return an answer with another value for a member."""
    content = json.loads(answer)
    outer, _, inner = name.partition(".")
    if inner:
        content[outer][inner] = value
    else:
        content[outer] = value
    return json.dumps(content)
