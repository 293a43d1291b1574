"""The end of the reader's own role."""

from idp.desk.staff.models import Role
from tests.desk.colleagues import Colleagues
from tests.pages import heading


def test_who_ends_the_own_access_reads_that_another_person_has_to_invite(colleagues: Colleagues) -> None:
    staff = colleagues.person("Chef")
    own = colleagues.grant(staff, Role.HEAD)
    browser, _ = colleagues.session(staff)
    page = browser.get(f"/equipe/{own.id}/terminer")
    assert heading(page) == "Terminer mon accès"
    assert "une autre personne devra vous inviter" in page.get_data(as_text=True)
    assert "l’inviter à nouveau" not in page.get_data(as_text=True)
