"""Files of a school for tests, and what a person does with them at the desk."""

import io
import uuid
import zipfile

from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from idp.accounts.models import Child
from idp.db import db
from idp.desk.jobs.models import Job
from tests.builders import COLLEGE
from tests.desk.trial_jobs import do_all
from tests.pages import form_token
from tests.rostering import xml_files as xml

HEAD = "id;civilite;nom;prenom;adresse;cp;commune;email;idenfant;nomenfant;prenomenfant;classeenfant;autorite;uai\n"


def row(number: int, **but: str) -> str:
    values = {
        "civility": "Mme",
        "family": f"FAMILLE{number}",
        "given": "Marie",
        "home": f"{number} rue A;59990;Rivebelle",
        "mail": f"marie{number}@exemple.fr",
        "child": f"{1000 + number};FAMILLE{number};Léa;6A",
        "uai": COLLEGE,
        **but,
    }
    return (
        f"{number};{values['civility']};{values['family']};{values['given']};{values['home']};{values['mail']};"
        f"{values['child']};1;{values['uai']}"
    )


def sheet(*rows: str) -> bytes:
    return (HEAD + "\n".join(rows) + "\n").encode()


def families(count: int = 40) -> list[str]:
    return [row(number) for number in range(1, count + 1)]


def send(browser: FlaskClient, *contents: bytes | tuple[str, bytes], **fields: str) -> TestResponse:
    return send_with(browser, form_token(browser.get("/fichiers")), *contents, **fields)


def send_with(browser: FlaskClient, token: str, *contents: bytes | tuple[str, bytes], **fields: str) -> TestResponse:
    """Upload files with the form token of a page that was opened before."""
    named = [content if isinstance(content, tuple) else ("familles.csv", content) for content in contents]
    parts = [
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in {"csrf_token": token, **fields}.items()
    ]
    for name, content in named:
        head = f'--b\r\nContent-Disposition: form-data; name="fichiers"; filename="{name}"\r\n\r\n'
        parts += [head.encode(), content, b"\r\n"]
    body = b"".join(parts) + b"--b--\r\n"
    return browser.post("/fichiers", data=body, content_type="multipart/form-data; boundary=b")


def shown(answer: TestResponse) -> str:
    return answer.get_data(as_text=True).replace("\xa0", " ").replace("\u202f", " ")


def key_of(answer: TestResponse) -> uuid.UUID:
    assert answer.status_code == 303, shown(answer)
    return uuid.UUID(answer.headers["Location"].rpartition("/")[2])


def checked(browser: FlaskClient, *contents: bytes | tuple[str, bytes], **fields: str) -> tuple[uuid.UUID, str]:
    key = key_of(send(browser, *contents, **fields))
    do_all()
    page = browser.get(f"/fichiers/{key}", follow_redirects=True)
    assert page.status_code == 200
    return key, shown(page)


def imported(browser: FlaskClient, *contents: bytes | tuple[str, bytes], **fields: str) -> Job:
    """Upload, check and import files without a look at the difference (`checked`); return the import."""
    token = form_token(browser.get("/fichiers"))
    key = key_of(send_with(browser, token, *contents))
    do_all()
    return _accepted(browser, token, key, **fields)


def accepted(browser: FlaskClient, key: uuid.UUID, **fields: str) -> Job:
    return _accepted(browser, form_token(browser.get(f"/fichiers/{key}")), key, **fields)


def _accepted(browser: FlaskClient, token: str, key: uuid.UUID, **fields: str) -> Job:
    job_key = key_of(browser.post(f"/fichiers/{key}/importer", data={"csrf_token": token, **fields}))
    do_all()
    return db.session.get_one(Job, job_key)


def names() -> set[str]:
    db.session.expire_all()
    return {f"{child.family_name} {child.given_name}" for child in db.session.scalars(select(Child))}


def siecle(uai: str = COLLEGE) -> list[tuple[str, bytes]]:
    """Return the two files of SIECLE with one pupil and one guardian."""
    pupils = xml.siecle("BEE_ELEVES", xml.pupil("812"), xml.placed("812", ("6A", "D")), uaj=uai)
    people = xml.siecle(
        "BEE_RESPONSABLES",
        xml.person("5", ADRESSE_ID="9"),
        xml.postal_address("9"),
        xml.responsible("812", "5", RESP_LEGAL="1"),
        uaj=uai,
    )
    return [("ElevesAvecAdresses.xml", pupils), ("ResponsablesAvecAdresses.xml", people)]


def zipped(*members: tuple[str, bytes]) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as writer:
        for name, content in members:
            writer.writestr(name, content)
    return archive.getvalue()
