"""The ENTs of a pupil's school get logout tokens when a tie is suspended, although the session continues."""

import pytest
from flask.testing import FlaskClient

from idp.families import closing
from idp.families.closing import Decision
from tests.builders import COLLEGE, LYCEE, PASSWORD, Build
from tests.pages import sign_in
from tests.protocol.ent_server import EntServer
from tests.protocol.flow import tokens_for
from tests.protocol.told_ents import (  # noqa: F401 - fixtures too
    Work,
    other_told_server,
    outbox,
    outcomes,
    read,
    told_ent,
    told_names,
    told_server,
    told_settings,
    told_work,
)
from tests.relying_party import RelyingParty


@pytest.mark.row("K-25")
@pytest.mark.parametrize("has_another_child", [False, True])
def test_the_ent_gets_the_sign_out_of_a_session_that_continues_here(
    browser: FlaskClient,
    build: Build,
    notified_ent: RelyingParty,
    server: EntServer,
    other_server: EntServer,
    work: Work,
    *,
    has_another_child: bool,
) -> None:
    # Back-Channel Logout 1.0, 2.5.
    other = build.ent("Horizon", "horizon.test", uais=[LYCEE], backchannel_logout_uri=other_server.uri("horizon.test"))
    malo = build.child("Malo")
    siblings = [build.child("Zoé", uai=LYCEE), *([build.child("Léa")] if has_another_child else [])]
    account = build.active(children=[malo, *siblings])
    sign_in(browser, "/connexion", account.username, PASSWORD)
    tokens, _ = tokens_for(browser, notified_ent), tokens_for(browser, other)
    closing.close(account.id, Decision(reason="jugement", child=malo.id, school=build.school(COLLEGE)))
    assert work() == 1
    assert outcomes() == [("sent", "")]
    claims = read(browser, notified_ent, server)
    assert (claims["sub"], claims["sid"]) == (tokens["claims"]["sub"], tokens["claims"]["sid"])
    assert other_server.asked == [], "the ENT of another school keeps its session"
    assert browser.get("/mon-compte").status_code == 200
    assert outbox()[0].payload == {}
