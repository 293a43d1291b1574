"""The seed of the demonstration: its families, the real commands, interruptions, and later starts."""

import itertools
import json
import re
import unicodedata
from datetime import date, timedelta

import click
import pytest
import time_machine
from sqlalchemy import select, update

from demo.aaf_files import aaf_files
from demo.ents import ents_at
from demo.families import (
    AAF,
    COLLEGE,
    GUARDIANS,
    LYCEE,
    SCHOOLS,
    SIECLE,
    TUTOR,
    DemoGuardian,
)
from demo.seed import in_order
from demo.siecle_files import siecle_files
from idp import opaque
from idp.accounts.models import Account, Child, Guardianship, Merge, RosterAlias, School
from idp.charter.models import CharterVersion
from idp.clients.models import Client
from idp.clock import day_of, now
from idp.db import UnitSession, db, release_connection
from idp.letters import printing
from idp.letters.printing import PrintOrder
from idp.oidc.models import SigningKey
from idp.rostering.models import ImportBatch, ImportIssue
from idp.sessions import models as _sessions  # noqa: F401 - its table is named by the protocol's
from tests.closed import dispute_tie
from tests.demo.house import House, account, count

ISSUER = "http://127.0.0.1:8000"
EVERYTHING = (Account, Child, School, Guardianship, Client, CharterVersion, SigningKey)


def test_every_letter_opens_its_account(house: House) -> None:
    letters = house.seed()
    assert len(letters) == 40
    for letter in letters.values():
        stored = account(letter)
        assert letter.usable
        assert stored.provisional_expires_at
        assert timedelta(days=59) < stored.provisional_expires_at - now() <= timedelta(days=60)
        assert letter.printed.letter.valid_until <= day_of(stored.provisional_expires_at)
        assert house.opens(letter)


def test_the_files_give_these_families_letter_by_letter(house: House) -> None:
    house.seed()
    accounts = {stored.roster_key: stored for stored in db.session.scalars(select(Account))}
    assert set(accounts) == {guardian.roster_key for guardian in GUARDIANS}
    for guardian in GUARDIANS:
        stored = accounts[guardian.roster_key]
        assert (stored.civility, stored.given_name, stored.family_name) == (
            guardian.civility,
            guardian.given_name,
            guardian.family_name,
        )
        assert (tuple(stored.address_lines), stored.postcode, stored.city) == (
            guardian.home.lines,
            guardian.home.postcode,
            guardian.home.city,
        )
        assert [
            (child.school.uai, child.student_id, child.given_name, child.family_name, child.class_name)
            for child in stored.children
        ] == [
            (child.school.uai, child.student_id, child.given_name, child.family_name, child.class_name)
            for child in guardian.children
        ]
        assert {link.kinship for link in stored.guardianships} == {guardian.kinship}
        assert stored.join_key == (guardian.key if guardian.source == "aaf" else None)


def test_letters_show_the_name_address_and_phone_of_their_school(house: House) -> None:
    letters = house.seed()
    first = {letter.printed.uai: letter.printed.letter for letter in letters.values()}
    assert {
        uai: (page.school_name, tuple(page.school_postal_address), page.school_phone) for uai, page in first.items()
    } == {
        "0599001N": ("Collège des Tilleuls", ("12 rue des Tilleuls", "59990 Rivebelle"), "03 53 01 40 40"),
        "0599002P": ("Lycée Louise-Weber", ("3 place du Kiosque", "59990 Rivebelle"), "03 53 01 50 50"),
        "0599003R": ("Lycée professionnel Rosa-Bonheur", ("21 rue des Ateliers", "59990 Rivebelle"), "03 53 01 60 60"),
    }
    assert {uai: page.ent_url for uai, page in first.items()} == {
        "0599001N": "http://127.0.0.1:8001/",
        "0599002P": "http://127.0.0.1:8002/",
        "0599003R": "http://127.0.0.1:8002/",
    }


@pytest.mark.usefixtures("house")
def test_rows_without_account_are_the_only_reported_rows() -> None:
    assert sorted(db.session.scalars(select(ImportIssue.code))) == [
        "no_legal_authority",
        "no_open_student",
        "no_open_student",
        "student_left",
        "student_without_class",
    ]


def test_rows_carry_the_contract_names(house: House) -> None:
    letter = house.seed()["s.haddad"]
    row = letter.printed.row()
    assert set(row) == {"school", "uai", "name", "username", "provisional_password", "children"}
    assert row["children"] == [{"given_name": "Inès", "class": "4e 2"}, {"given_name": "Yanis", "class": "2de 4"}]
    assert (row["school"], row["uai"], row["name"]) == ("Collège des Tilleuls", "0599001N", "Mme Samia HADDAD")
    assert (row["username"], row["provisional_password"]) == (letter.username, letter.shown)


def test_a_second_start_imports_nothing_and_changes_nothing(house: House) -> None:
    first = house.seed()
    numbers = [count(model) for model in EVERYTHING]
    hashes = {letter.username: account(letter).provisional_hash for letter in first.values()}
    release_connection()
    db.session.expunge_all()
    assert house.seed() == first
    assert hashes == {letter.username: account(letter).provisional_hash for letter in first.values()}
    assert numbers == [count(model) for model in EVERYTHING]
    assert (numbers[0], numbers[2], numbers[4:]) == (40, 3, [2, 2, 2])
    batches = db.session.scalars(select(ImportBatch).order_by(ImportBatch.started_at)).all()
    assert [(batch.format, batch.schools) for batch in batches] == [
        ("aaf", ["0599003R"]),
        ("siecle", ["0599001N"]),
        ("siecle", ["0599002P"]),
    ]


def test_used_and_refused_letters_stay_so(house: House) -> None:
    first = house.seed()
    used, refused = account(first["n.leroy"]), account(first["k.leroy"])
    used.activated_at, used.provisional_hash, used.generation = now(), None, used.generation + 1
    refused.provisional_hash, refused.generation = None, refused.generation + 1
    for link in refused.guardianships:
        dispute_tie(link)
    db.session.commit()
    letters = house.seed()
    assert {name for name, letter in letters.items() if not letter.usable} == {"n.leroy", "k.leroy"}
    assert account(letters["k.leroy"]).provisional_hash is None
    assert letters["k.leroy"].printed == first["k.leroy"].printed


def test_the_letter_of_a_merged_account_stays_and_is_refused(house: House) -> None:
    first = house.seed()
    mine, other = account(first["s.dubois"]), account(first["s.rousseau"])
    db.session.add(RosterAlias(roster_key=str(other.roster_key), account_id=mine.id))
    db.session.execute(update(Guardianship).where(Guardianship.account_id == other.id).values(account_id=mine.id))
    other.roster_key, other.merge, other.disabled_at = None, Merge(into_id=mine.id), now()
    db.session.commit()
    letters = house.seed()
    assert {name for name, letter in letters.items() if not letter.usable} == {"s.rousseau"}
    assert (len(letters), count(Account)) == (40, 40)


def test_an_expired_letter_is_printed_again(house: House) -> None:
    first = house.seed()
    house.paper.print(in_order(list(first.values())))
    with time_machine.travel(now() + timedelta(days=61)):
        again = house.seed()
        assert again["n.leroy"].shown != first["n.leroy"].shown
        assert again["n.leroy"].username == first["n.leroy"].username
        assert account(again["n.leroy"]).generation == 2
        assert not house.paper.pdf.exists()


def test_a_lost_list_of_letters_is_made_again(house: House) -> None:
    first = house.seed()
    (house.folder / "letters.json").unlink()
    again = house.seed()
    assert again["n.leroy"].shown != first["n.leroy"].shown
    assert all(house.opens(letter) for letter in again.values())


def test_a_letter_that_an_operator_printed_since_stays_valid_after_a_start(house: House) -> None:
    letter = house.seed()["n.leroy"]
    order = PrintOrder(usernames=[letter.username], csv=house.folder / "list.csv")
    with time_machine.travel(now() + timedelta(minutes=5)):
        printing.print_letters(house.settings, house.hasher, order, lambda _line: None)
        drawn = account(letter).provisional_hash
        release_connection()
        again = house.seed()["n.leroy"]
    assert not again.usable
    assert account(letter).provisional_hash == drawn


def test_a_start_interrupted_at_any_commit_is_resumed(empty: House, monkeypatch: pytest.MonkeyPatch) -> None:
    commit, cuts = UnitSession.commit, 0
    for reached in itertools.count(1):
        left = reached

        def cut_once(session: UnitSession) -> None:
            nonlocal left
            left -= session.is_writing
            if left == 0:
                raise KeyboardInterrupt
            commit(session)

        with monkeypatch.context() as patch:
            patch.setattr(UnitSession, "commit", cut_once)
            try:
                letters = empty.seed()
            except KeyboardInterrupt:
                cuts += 1
            else:
                break
        db.session.rollback()
        db.session.expunge_all()
    assert cuts > 8
    assert len(letters) == count(Account) == 40
    release_connection()
    assert all(letter.usable and empty.opens(letter) for letter in letters.values())


def test_another_port_moves_the_ents_and_what_the_letters_say_of_them(house: House) -> None:
    first = house.seed()
    version = db.session.scalars(select(Client.version).where(Client.client_id == "passerelle")).one()
    letters = house.seed(port=9000)
    moved = db.session.scalars(select(Client).where(Client.client_id == "passerelle")).one()
    assert moved.redirect_uris == ["http://127.0.0.1:9001/callback"]
    assert moved.home_uri == "http://127.0.0.1:9001/"
    assert moved.version > version
    assert letters["n.leroy"].printed.letter.ent_url == "http://127.0.0.1:9001/"
    assert letters["n.leroy"].shown == first["n.leroy"].shown
    assert letters["n.leroy"].usable


def test_secret_files_are_readable_by_their_owner_alone(house: House) -> None:
    house.paper.print(in_order(list(house.seed().values())))
    secrets = [path for path in house.folder.iterdir() if not path.name.startswith("idp.db")]
    secrets += house.files.rglob("*")
    assert {"letters.json", "letters.pdf", "passerelle.client-secret", "fichiers"} <= {path.name for path in secrets}
    assert all(path.stat().st_mode & 0o077 == 0 for path in secrets)
    assert house.paper.pdf.read_bytes().startswith(b"%PDF-")


def test_the_letters_are_printed_in_the_order_of_schools_classes_and_names(house: House) -> None:
    pages = in_order(list(house.seed().values()))
    assert [page.uai for page in pages] == ["0599001N"] * 25 + ["0599002P"] * 9 + ["0599003R"] * 6
    last = [(page.letter.children[0].class_name, page.letter.recipient[0]) for page in pages[-6:]]
    assert last == [
        ("1re MELEC", "M. Benoît ROUSSEAU"),
        ("1re MELEC", "Mme Sandrine ROUSSEAU"),
        ("2de MTNE 1", "Mme Nadia BENALI"),
        ("2de MTNE 1", "M. Rachid BENALI"),
        ("Tle MELEC", "M. João DA SILVA"),
        ("Tle MELEC", "Mme Maria de Fátima DA SILVA"),
    ]


@pytest.mark.parametrize("spoilt", [{}, {"page": {}}, {"expires_at": "demain"}])
def test_a_list_of_letters_that_is_not_ours_is_refused_with_the_way_out(
    house: House, spoilt: dict[str, object]
) -> None:
    house.seed()
    path = house.folder / "letters.json"
    rows = json.loads(path.read_text())
    path.write_text(json.dumps([rows[0] | spoilt if spoilt else {"username": "n.leroy4821"}]))
    with pytest.raises(click.ClickException, match="make demo-reset"):
        house.seed()


def test_an_ent_has_its_present_secret_and_a_salt_of_its_own(house: House) -> None:
    house.seed()
    (house.folder / "passerelle.client-secret").unlink()
    house.seed()
    client = db.session.scalars(select(Client).filter_by(client_id="passerelle")).one()
    assert client.secret_digest == opaque.digest(ents_at(8000, house.folder)[0].client_secret)
    assert client.former_secret_digest is None
    assert len({*db.session.scalars(select(Client.subject_salt))}) == 2, "so that ENTs cannot link a person"


def find_guardian(given_name: str) -> DemoGuardian:
    [guardian_found] = [guardian for guardian in GUARDIANS if guardian.given_name == given_name]
    return guardian_found


def test_there_is_a_family_of_each_kind() -> None:
    claire, julien, noemie, karim = map(find_guardian, ("Claire", "Julien", "Noémie", "Karim"))
    assert claire.children == julien.children
    assert claire.home != julien.home, "they are separated"
    assert (noemie.children, noemie.home) == (karim.children, karim.home)
    dubois, rousseau = (guardian for guardian in GUARDIANS if guardian.given_name == "Sandrine")
    assert dubois.source != rousseau.source
    assert dubois.birth_name == rousseau.family_name != dubois.family_name
    (tutor,) = [guardian for guardian in GUARDIANS if guardian.kinship == TUTOR]
    assert tutor.family_name != tutor.children[0].family_name


def test_names_are_as_awkward_as_in_life() -> None:
    names = [f"{guardian.given_name} {guardian.family_name}" for guardian in GUARDIANS]
    assert [n for n in names if "’" in n and "-" in n and unicodedata.normalize("NFD", n) != n]
    assert [n for n in names if "'" in n]
    assert [n for n in names if any(unicodedata.name(letter).startswith("ARABIC") for letter in n if letter.isalpha())]
    assert [n for n in names if "İ" in n and "ı" in n]
    assert [n for n in names if len(n) > 70]


def test_the_aaf_is_utf_8_and_the_siecle_latin_9_with_references_for_other_characters() -> None:
    today = date(2026, 9, 21)
    assert "Benoît" in b"".join(aaf_files(today).values()).decode()
    siecle = siecle_files(COLLEGE, today)
    assert set(siecle) == {"ElevesAvecAdresses.xml", "ResponsablesAvecAdresses.xml"}
    people = siecle["ResponsablesAvecAdresses.xml"].decode("iso-8859-15")
    for written in ("Noémie", "O'BRIEN", "D&#8217;ALMEIDA-GONÇALVES", "Y&#305;lmaz"):
        assert written in people


@pytest.mark.parametrize(("today", "year"), [(date(2027, 8, 31), "2026"), (date(2027, 9, 1), "2027")])
def test_departure_date_is_past_on_any_day_of_the_first_start(today: date, year: str) -> None:
    text = siecle_files(LYCEE, today)["ElevesAvecAdresses.xml"].decode("iso-8859-15")
    assert re.findall(r"<ANNEE_SCOLAIRE>(\d+)", text) == [year]
    assert re.findall(r"<DATE_SORTIE>(\S+)<", text) == [f"01/09/{year}"]
    assert [school.source for school in SCHOOLS] == [SIECLE, SIECLE, AAF]
