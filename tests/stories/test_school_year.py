"""Histoire d'une année : le fichier et les courriers de septembre, ce qui change en octobre, des jetons justes.

Le fichier entre par `idp roster import`, les courriers sortent par `idp letters print`, les mails passent par un vrai
serveur SMTP, et un ENT qui vérifie les jetons avec son propre code lit ce que chaque parent est devenu.
"""

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from pypdf import PdfReader

from tests.activation.steps import ACTIVATION, SENT, fill_in
from tests.builders import Build
from tests.commands.conftest import Run, act, bare, engine, idp  # noqa: F401 - fixtures
from tests.email_confirmation.post import PostOffice, link_of, post_office
from tests.pages import follow, heading, sign_in, submit
from tests.protocol.flow import tokens_for
from tests.relying_party import Attempt, RelyingParty
from tests.rostering.aaf_school import COLLEGE, LYCEE, Parent, Pupil, add, modify, small_year, write
from tests.rostering.seen import imported

MOT_DE_PASSE = "orage brique hamster violon"
CLES = ("9100000", "9150000", "9100001", "9150001", "9100002", "9150003", "9100004", "9150004")


@dataclass
class Famille:
    """Un parent qui a activé son compte, et le navigateur de son téléphone."""

    identifiant: str
    telephone: FlaskClient


def test_de_septembre_a_octobre(
    act: Run,  # noqa: F811 - the fixture
    app: Flask,
    build: Build,
    tmp_path: Path,
) -> None:
    ents = {
        COLLEGE: build.ent("Passerelle", "college.test", uais=[COLLEGE]),
        LYCEE: build.ent("Horizon", "lycee.test", uais=[LYCEE]),
    }
    annee = small_year()

    # Septembre : le fichier complet, les courriers des deux établissements, un parent sur trois active son compte
    fichier = imported(act, annee.write(tmp_path / "complet"))
    assert fichier["access"] == {"reopened": 0, "closed": 0}
    assert fichier["accounts"] == {"total": 24, "created": 24, "disabled": 0}
    courriers = imprime(act, tmp_path, COLLEGE) | imprime(act, tmp_path, LYCEE)
    assert len(courriers) == 24
    with post_office(app) as facteur:
        parents = {cle: active(app, facteur, annee.parents[cle], courriers) for cle in CLES}
        premiers = {cle: jeton(parents[cle], ents) for cle in CLES}
    for cle, vus in premiers.items():
        [(uai, dit)] = vus.items()
        enfant = annee.pupils[str(9200000 + int(cle[-1]))]
        assert uai == enfant.uai
        assert dit["FrEduVecteur"] == [vecteur(annee.parents[cle], enfant)]
        assert dit["ENTPersonJointure"] == cle

    # Octobre : un élève change d'établissement, une sœur arrive, un divorce donne une seconde adresse
    octobre = tmp_path / "delta"
    soeur = Pupil("9300000", "Sœur", "FAMILLEBA", parents=(("9100001", "10", "1"), ("9150001", "20", "1")))
    write(
        octobre / "ENT_Delta_20261012_Eleve_0000.xml",
        [
            modify("Eleve", "9200000", {"ENTPersonStructRattach": ["52001"], "ENTEleveClasses": ["52001$3EME2"]}),
            add("Eleve", soeur.key, soeur.attributes()),
            modify("Eleve", "9200003", {"ENTElevePersRelEleve": ["9100003$10$1$1$1$0"]}),
        ],
    )
    demenage = {
        "ENTPersonAdresse": ["27 rue du Moulin$$"],
        "ENTPersonCodePostal": ["59991"],
        "ENTPersonVille": ["Valdoux"],
    }
    write(octobre / "ENT_Delta_20261012_PersRelEleve_0000.xml", [modify("PersRelEleve", "9150004", demenage)])
    change = imported(act, octobre)
    assert change["mode"] == "delta"
    assert [(issue["code"], issue["key"]) for issue in change["issues"]] == [("guardian_left", "aaf:9150003")]
    assert change["accounts"]["disabled"] == 1

    suivants = {cle: jeton(parents[cle], ents) for cle in CLES if cle != "9150003"}
    for cle in ("9100000", "9150000"):  # l'élève est au collège : le lycée ne sait plus rien d'eux
        [(uai, dit)] = suivants[cle].items()
        assert (uai, dit["children"][0]["class"]) == (COLLEGE, "3EME2")
    for cle in ("9100001", "9150001"):
        assert [enfant["given_name"] for enfant in suivants[cle][COLLEGE]["children"]] == ["Enfantb", "Sœur"]
        assert len(suivants[cle][COLLEGE]["FrEduVecteur"]) == 2
    for cle in ("9100002", "9100004", "9150004"):
        assert {uai: sans_date(dit) for uai, dit in suivants[cle].items()} == {
            uai: sans_date(dit) for uai, dit in premiers[cle].items()
        }
    # qui n'est plus représentant légal n'entre plus, ni avec sa session ni avec son mot de passe
    dehors = parents["9150003"]
    assert heading(follow(dehors.telephone, dehors.telephone.get("/mon-compte"))) == "Connexion"
    assert heading(sign_in(app.test_client(), "/connexion", dehors.identifiant, MOT_DE_PASSE)) == "Connexion"
    # le parent qui a déménagé reçoit son prochain courrier chez lui
    encore = imprime(act, tmp_path, LYCEE, "--username", parents["9150004"].identifiant, "--reason", "divorce")
    [nouveau] = encore.values()
    assert (nouveau["address1"], nouveau["postcode"], nouveau["city"]) == ("27 rue du Moulin", "59991", "Valdoux")


def imprime(act: Run, dossier: Path, uai: str, *options: str) -> dict[str, dict[str, str]]:  # noqa: F811
    """Imprime les courriers, en PDF et en liste ; rend la liste, par identifiant."""
    pdf, liste = dossier / f"{uai}{len(options)}.pdf", dossier / f"{uai}{len(options)}.csv"
    reponse = act("letters", "print", "--school", uai, "--out", str(pdf), "--csv", str(liste), *options)
    assert reponse.code == 0, reponse.err
    lignes = {
        ligne["username"]: ligne
        for ligne in csv.DictReader(io.StringIO(liste.read_text(encoding="utf-8-sig")), delimiter=";")
    }
    pages = [page.extract_text() for page in PdfReader(io.BytesIO(pdf.read_bytes())).pages]
    assert [sum(nom in page for nom in lignes) for page in pages] == [1] * len(lignes)
    return lignes


def active(app: Flask, facteur: PostOffice, parent: Parent, courriers: dict[str, dict[str, str]]) -> Famille:
    """Va du courrier au compte : identifiant, mot de passe provisoire, le sien, son adresse, le lien du mail."""
    [courrier] = [c for c in courriers.values() if (c["given_name"], c["family_name"]) == (parent.given, parent.family)]
    telephone, adresse = app.test_client(), f"parent{parent.key}@exemple.fr"
    page = sign_in(telephone, "/connexion", courrier["username"], courrier["provisional_password"])
    assert heading(page) == ACTIVATION
    assert heading(fill_in(telephone, page, MOT_DE_PASSE, adresse)) == SENT
    [mail] = [mail for mail in facteur.deliver() if mail["To"] == adresse]
    assert heading(submit(telephone, telephone.get(link_of(mail)))) == "Confirmation de votre adresse mail"
    sign_in(telephone, "/connexion", courrier["username"], MOT_DE_PASSE)
    return Famille(courrier["username"], telephone)


def jeton(famille: Famille, ents: dict[str, RelyingParty]) -> dict[str, dict[str, Any]]:
    """Rend ce que chaque ENT lit de ce parent, s'il y a un enfant ; le jeton est vérifié par l'ENT."""
    lu = {}
    for uai, ent in ents.items():
        porte = famille.telephone.get(ent.url(Attempt()))
        if porte.headers["Location"].startswith("/"):
            page = follow(famille.telephone, porte)
            assert heading(page) == "Vos enfants ne sont pas dans cet ENT"
            continue  # cet ENT n’apprend rien d’eux
        issued = tokens_for(famille.telephone, ent)
        dit: dict[str, Any] = ent.userinfo(famille.telephone, issued["access_token"]).get_json()
        assert dit["uai"] == [uai]
        lu[uai] = dit
    return lu


def vecteur(parent: Parent, enfant: Pupil) -> str:
    return f"2|{parent.family}|{parent.given}|7{enfant.key}|{enfant.uai}"


def sans_date(dit: dict[str, Any]) -> dict[str, Any]:
    """Laisse de côté l'instant du dernier changement : un déménagement l'avance."""
    return {nom: valeur for nom, valeur in dit.items() if nom != "updated_at"}
