"""The page of files that change much: each name for each person who decides, and the decision within reach."""

import re

from flask import Flask
from sqlalchemy import func, select

from idp.db import db
from idp.desk.jobs.models import JobFile
from idp.desk.staff.models import Role
from tests.builders import LYCEE
from tests.desk.colleagues import Colleagues, post
from tests.desk.school_files import checked, families, sheet, shown


def test_the_head_reads_each_name_of_files_that_a_secretary_checked(desk: Flask, colleagues: Colleagues) -> None:
    secretary, head, stranger = (
        colleagues.signed_in(),
        colleagues.signed_in(Role.HEAD),
        colleagues.signed_in(Role.HEAD, uai=LYCEE),
    )
    key, _ = checked(secretary, sheet(*families(150)))
    assert "Et 100 autres : « Tout en CSV » les donne tous." in shown(head.get(f"/fichiers/{key}"))
    stored = db.session.scalar(select(func.count()).select_from(JobFile))
    for _ in range(2):
        table = head.get(f"/fichiers/{key}/changements.csv")
        assert table.headers["Content-Disposition"] == "attachment; filename=changements.csv"
        assert not [number for number in range(1, 151) if f"FAMILLE{number} Marie" not in shown(table)]
    assert db.session.scalar(select(func.count()).select_from(JobFile)) == stored, "no copy is stored"
    assert stranger.get(f"/fichiers/{key}/changements.csv").status_code == 404


def test_the_page_shows_two_hundred_lines_of_a_kind(desk: Flask, colleagues: Colleagues) -> None:
    browser = colleagues.signed_in()
    _, page = checked(browser, sheet(*families(150)))
    assert "Et 100 autres : « Tout en CSV » les donne tous." in page
    assert page.count("un compte est créé") + page.count("arrive dans l’établissement") == 200


def test_long_lists_are_folded_and_a_link_leads_to_the_decision(desk: Flask, colleagues: Colleagues) -> None:
    browser = colleagues.signed_in()
    key, page = checked(browser, sheet(*families(150)))
    assert page.index("arrivées 150") < page.index('<a href="#decision">Aller à la décision</a>') < page.index("<table")
    assert page.index("</table>") < page.index('<h2 id="decision">') < page.index(">Importer</button>")
    assert re.findall(r'class="btn" type="submit">([^<]+)', page.partition("<main")[2]) == ["Importer"]
    open_lines = re.sub(r"<details class=\"more\">.*?</details>", "", page.partition("<main")[2], flags=re.DOTALL)
    assert open_lines.count('<th scope="row">') == 10
    assert "Voir les 190 suivants" in page
    _, short = checked(browser, sheet(*families(5)))
    assert "<details" not in short.partition("<main")[2]
    assert short.count('<th scope="row">') == 10, "five pupils and their guardians"
    post(browser, f"/fichiers/{key}/importer", f"/fichiers/{key}")
    assert "#decision" not in shown(browser.get(f"/fichiers/{key}")), "other files have replaced these"
