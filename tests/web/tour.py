"""A response of each page and of each error page."""

from collections.abc import Iterator

from flask import Flask
from werkzeug.test import TestResponse

from idp.accounts.credentials import PasswordState
from idp.clients.registry import LETTER_HINT
from tests.activation.steps import CHOSEN, activate, newest_link, open_activation
from tests.authenticator import key_of_parent
from tests.builders import PASSWORD, Build
from tests.my_account.passkeys import add, answer_with
from tests.pages import follow, sign_in, submit
from tests.relying_party import Attempt, RelyingParty
from tests.services import changed_services

ACCEPTED = {"version": "1", "accepte": "y"}
COUNT = 65
"""How many pages there are: `tests/web/test_pages.py` counts them, `docs/accessibilite.md` says it."""


_seen: list[tuple[str, TestResponse]] = []


def pages(app: Flask, build: Build) -> list[tuple[str, TestResponse]]:
    """Return what `tour` yields; a process makes the tour once, in the languages of the product."""
    if not _seen:
        _seen.extend(tour(app, build))
    return _seen


def tour(app: Flask, build: Build) -> Iterator[tuple[str, TestResponse]]:
    """Yield the name and the response of each page of a journey, and of the other pages."""
    ent = build.ent(charter="provider")
    build.publish(ent, "1")
    yield from _before(app, build, ent)
    yield from _during(app, build, ent)
    yield from _after(app, build, ent)
    yield from _by_twos(app, build)


def _by_twos(app: Flask, build: Build) -> Iterator[tuple[str, TestResponse]]:
    """Yield the pages for two tabs, two people with one browser and two accounts with one mailbox."""
    browser, account, lone = app.test_client(), build.active(), build.ent("Horizon", "horizon.test", home_uri="")
    first, second = (follow(browser, browser.get(lone.url(Attempt()))) for _ in range(2))
    submit(browser, first, identifiant=account.username, mot_de_passe=PASSWORD)
    yield "signed in already", follow(browser, browser.get(first.request.full_path))
    yield "another account here", submit(browser, second, identifiant="x.autre1", mot_de_passe=PASSWORD)
    sharer = build.never_activated()
    activate(app.test_client(), sharer, mail=str(account.email))
    link = newest_link(build.settings, sharer.id)
    with changed_services(app, settings=build.settings.model_copy(update={"shared_mailbox": "refuse"})):
        yield "mailbox refused", browser.get(link)
    shared = browser.get(link)
    yield "mailbox shared", shared
    yield "mailbox shared and confirmed", submit(browser, shared, mot_de_passe=CHOSEN)
    for closed in (
        build.active(password_state=PasswordState.BREACHED),
        build.active(password_state=PasswordState.BLOCKED, email=None),
    ):
        name = f"password {closed.password_state.value}"
        yield name, sign_in(browser, "/connexion", closed.username, PASSWORD)


def _before(app: Flask, build: Build, ent: RelyingParty) -> Iterator[tuple[str, TestResponse]]:
    browser = app.test_client()
    profile = follow(browser, browser.get(ent.url(Attempt(), login_hint=None)))
    yield "profile", profile
    yield "elsewhere", submit(browser, profile, profil="enseignant")
    yield "sign-in", submit(browser, profile, profil="parent")
    yield "refused", sign_in(browser, "/connexion", "x.inconnu", "faux")
    yield "passkey refused", answer_with(browser, "{}")
    for place in (
        "identifiant-oublie",
        "identifiant-oublie/envoye",
        "mot-de-passe-oublie",
        "mot-de-passe-oublie/envoye",
        "mot-de-passe/change",
        "mon-ent",
        "mentions-legales",
        "donnees-personnelles",
        "accessibilite",
    ):
        yield place, browser.get(f"/{place}")
    yield "request refused", browser.get("/authorize?client_id=nobody")
    yield "request over", browser.get(ent.url(Attempt(), request_uri="urn:ietf:params:oauth:request_uri:x"))
    yield "not found", browser.get("/rien")
    yield "method", browser.put("/connexion")
    yield "form token", browser.post("/connexion")
    yield "too long", browser.post("/connexion", data={"identifiant": "x" * 70_000})
    yield "address too long", browser.get("/connexion?x=" + "x" * 17_000)
    yield "lost", browser.get("/activation")
    yield "link cut", browser.get("/adresse/lien/abc")
    for place in ("adresse/lien", "adresse/contestation", "adresse/signalement", "mot-de-passe/lien"):
        yield f"dead link of {place}", browser.get(f"/{place}/" + "A" * 43)


def _during(app: Flask, build: Build, ent: RelyingParty) -> Iterator[tuple[str, TestResponse]]:
    browser, account = app.test_client(), build.never_activated()
    activation = open_activation(browser, account, ent.url(Attempt()))
    yield "activation", activation
    yield "activation with errors", submit(browser, activation, nouveau="court", mail="rien")
    yield (
        "not the guardian",
        browser.get(activation.request.full_path.replace("/activation?", "/activation/non-representant?")),
    )
    waiting = submit(browser, activation, nouveau=CHOSEN, confirmation=CHOSEN, mail="noemie@exemple.fr")
    yield "mail sent", waiting
    yield "too soon", submit(browser, waiting)
    yield "correction", browser.get(waiting.request.full_path.replace("/confirmation", "/modifier"))
    link = browser.get(newest_link(build.settings, account.id))
    yield "link", link
    elsewhere = app.test_client().get(link.request.path)
    yield "link elsewhere", elsewhere
    yield "confirmed", submit(browser, link)
    yield "confirmed already", browser.get(link.request.path)
    yield "active already", browser.get(activation.request.full_path)
    holder, other = app.test_client(), build.never_activated()
    question = open_activation(holder, other)
    place = question.request.full_path.replace("/activation?", "/activation/non-representant?")
    yield "reported", submit(holder, holder.get(place))


def _after(app: Flask, build: Build, ent: RelyingParty) -> Iterator[tuple[str, TestResponse]]:
    browser, account = app.test_client(), build.active()
    charter = sign_in(browser, ent.url(Attempt()), account.username, PASSWORD)
    yield "charter", charter
    yield "charter not ticked", submit(browser, charter)
    yield "agreement", submit(browser, follow(browser, browser.get(ent.url(Attempt(), prompt="consent"))), **ACCEPTED)
    yield "is it you", follow(browser, browser.get(ent.url(Attempt(), login_hint=LETTER_HINT)))
    yield "answer posted", browser.get(ent.url(Attempt(), response_mode="form_post"))
    places = ("", "/mot-de-passe", "/adresse", "/sessions", "/cles", "/charte", "/ent", "/courrier", "/verification")
    for place in places:
        yield f"account{place}", browser.get(f"/mon-compte{place}")
    add(browser, key_of_parent())
    yield "passkeys", browser.get("/mon-compte/cles")
    yield "passkey offered", browser.get("/connexion/cle-d-acces")
    yield "sign-out", browser.get("/logout")
    yield "signed out", submit(browser, browser.get("/logout"))
    activate(app.test_client(), build.never_activated(), mail="attente@exemple.fr")
    for _ in range(6):
        braked = sign_in(browser, "/connexion", "x.freine", "faux")
    yield "braked", braked


def break_page(app: Flask, fault: Exception) -> None:
    def fail() -> str:
        raise fault

    app.view_functions["legal.notice"] = fail
