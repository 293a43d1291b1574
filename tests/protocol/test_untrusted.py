"""The error page for an unknown client or redirect URI names the cause."""

import pytest
from flask.testing import FlaskClient

from tests.protocol.flow import stays_here
from tests.relying_party import Attempt, RelyingParty
from tests.rows import each_row

SENTENCES = {
    "client": "Ce service ne connaît pas le site d’où vous venez, ou ne l’accepte plus.",
    "redirect_uri": "L’adresse où vous deviez revenir n’est pas enregistrée ici.",
    "none": "Le site d’où vous venez ne nous a pas dit où vous ramener.",
    "request": "Le site d’où vous venez a envoyé une demande que nous ne pouvons pas lire.",
}


@pytest.mark.row("A-04", "A-03")
@each_row(
    ("changes", "sentence", "phrase"),
    [
        ({"redirect_uri": "https://ent.test/autre"}, "redirect_uri", "invalid redirect_uri"),
        ({"redirect_uri": "x"}, "redirect_uri", "invalid redirect_uri"),
        ({"redirect_uri": None}, "none", "invalid redirect_uri"),
        ({"redirect_uri": ""}, "none", "invalid redirect_uri"),
        ({"client_id": "nobody"}, "client", "invalid client_id"),
        ({"client_id": None}, "client", "invalid client_id"),
        ({"response_mode": "fragment"}, "request", "response_mode must be one of: query, form_post"),
        ({"state": "x" * 5000}, "request", "too long state"),
    ],
)
def test_the_page_says_why_it_does_not_redirect(
    browser: FlaskClient, ent: RelyingParty, changes: dict[str, str | None], sentence: str, phrase: str
) -> None:
    """RFC 6749, 4.1.2.1."""
    text = stays_here(browser.get(ent.url(Attempt(), **changes))).replace("\u202f", " ")
    assert phrase in text
    assert [known_sentence for known_sentence in SENTENCES.values() if known_sentence in text] == [SENTENCES[sentence]]
