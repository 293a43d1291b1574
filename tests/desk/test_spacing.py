"""Names in sentences whose French spaces the desk puts in."""

from tests.builders import Build
from tests.desk.colleagues import Colleagues
from tests.desk.test_suspension import text_of
from tests.waiting_guardians import wait


def test_a_guardian_with_an_apostrophe_is_named_as_written(colleagues: Colleagues, build: Build) -> None:
    child = build.child()
    wait(build.active(children=[child], civility="M.", given_name="Sean", family_name="O'BRIEN"))
    page = text_of(colleagues.signed_in(), f"/familles/{child.id}")
    assert "M. Sean O'BRIEN attend la direction" in page
    assert "&#39;" not in page, "escaped once"
