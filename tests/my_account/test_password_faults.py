"""M-03: the form of a new password reports all faults."""

import pytest
from flask.testing import FlaskClient

from tests.builders import PASSWORD, Build
from tests.my_account.changes import change_password, enter, errors


@pytest.mark.row("M-03")
def test_all_faults_of_a_form_are_reported_together(browser: FlaskClient, build: Build) -> None:
    account = build.active()
    enter(browser, account)
    both = ["Il faut 12 caractères au moins.", "Les deux mots de passe ne sont pas les mêmes."]
    for current, messages in (("", ["Tapez votre mot de passe actuel.", *both]), ("faux", both)):
        page = change_password(browser, current=current, new="court", again="autre")
        assert [error[: len(start)] for error, start in zip(errors(page), messages, strict=True)] == messages
    [same, again] = errors(change_password(browser, new=PASSWORD, again="autre"))
    assert same.startswith("C’est le même que votre mot de passe actuel.")
    assert again.startswith(both[1])
