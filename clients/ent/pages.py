"""The ENT's own pages: home, charter, notifications, inside."""

from collections.abc import Callable
from dataclasses import replace
from functools import wraps

from email_validator import EmailNotValidError, validate_email
from flask import Blueprint, redirect, render_template, request
from werkzeug.wrappers import Response

from clients.ent import charter_text
from clients.ent.claims import children, display_name, first_name, table, verified_address
from clients.ent.door import current_provider
from clients.ent.person import INSIDE, Person, find_person, keep_person, next_page, owed_page
from clients.ent.sessions import current_session, current_store
from clients.ent.settings import current_settings
from clients.kit.checks import CheckError, ProviderRefusedError

pages = Blueprint("pages", __name__)
Answer = Response | str | tuple[str, int]


@pages.get("/healthz")
def health() -> tuple[str, int, dict[str, str]]:
    """Say that the process is alive; touches nothing."""
    return "ok\n", 200, {"Content-Type": "text/plain; charset=utf-8"}


@pages.get("/")
def home() -> str:
    """Show the way in. After the sign-out the provider sends the browser back here, with the `state` it was given."""
    session = current_session()
    state = request.args.get("state")
    signed_out = state is not None and session.get("sign_out") == state
    if signed_out:
        session.pop("sign_out")
    return render_template("home.html", person=find_person(session), signed_out=signed_out)


@pages.get("/accessibilite")
def accessibility() -> str:
    """Show the declaration that every public site in France owes (law of 11 February 2005, article 47)."""
    return render_template("accessibility.html")


def for_person(view: Callable[[Person], Answer]) -> Callable[[], Answer]:
    """Give the view the person who is signed in; anybody else is sent to sign in and comes back to this page."""

    @wraps(view)
    def guarded() -> Answer:
        person = find_person(current_session())
        if person is None:
            return redirect(f"/login?target_link_uri={current_settings().public_url}{request.path}", 303)
        return view(person)

    return guarded


def _go_on(person: Person) -> Response:
    """Leave for the page that is owed next."""
    return redirect(next_page(current_session(), person, current_settings(), current_store()), 303)


def _is_settled() -> bool:
    """Whether the charter is behind this person."""
    return bool(current_session().get("charter_settled"))


@pages.get("/charte")
@for_person
def charter(person: Person) -> Answer:
    """Show the charter that is owed."""
    if _is_settled():
        return _go_on(person)
    return _show_charter(person)


def _show_charter(person: Person, *, problem: str = "", status: int = 200) -> Answer:
    """Show the provider's current text, unless there is none or it was accepted meanwhile (on another device)."""
    current = current_provider().charter(person.access_token)
    if current is None or current.accepted:
        current_session()["charter_settled"] = True
        return _go_on(person)
    page = render_template(
        "charter.html",
        first_name=first_name(person.claims),
        version=current.version,
        published=charter_text.french_date(current.published_at),
        text=charter_text.render(current.markdown),
        problem=problem,
    )
    return page, status


@pages.post("/charte")
@for_person
def accept_charter(person: Person) -> Answer:
    """Record the acceptance of the version that was on the screen, which the form names."""
    if _is_settled():
        return _go_on(person)
    if request.form.get("accord") != "oui":
        return _show_charter(person, problem="unchecked", status=400)
    try:
        recorded = current_provider().accept_charter(person.access_token, request.form.get("version", ""))
    except ProviderRefusedError as refusal:
        if str(refusal) != "no_charter":
            raise
        return _show_charter(person)  # it was withdrawn meanwhile: nothing is owed
    if not recorded:
        return _show_charter(person, problem="changed", status=409)
    current_session()["charter_settled"] = True
    keep_person(current_session(), _with_fresh_claims(person))
    return _go_on(person)


def _with_fresh_claims(person: Person) -> Person:
    """Return the person as UserInfo sees them now; when it cannot be asked, the acceptance is recorded all the same."""
    try:
        userinfo = current_provider().userinfo(person.access_token, person.sub)
    except CheckError:
        userinfo = {"charter_accepted": True}
    return replace(person, claims=person.claims | userinfo)


@pages.get("/charte/refus")
@for_person
def refuse_charter(person: Person) -> Answer:
    """Say what a refusal means, and show both ways out of it."""
    if _is_settled():
        return _go_on(person)
    return render_template("charter_refused.html")


@pages.get("/notifications")
@for_person
def notifications(person: Person) -> Answer:
    """Ask where to write, proposing the address that the provider confirmed."""
    if not _is_settled():
        return _go_on(person)
    saved = current_store().find_address(current_settings().issuer, person.sub)
    address = saved or verified_address(person.claims)
    return render_template(
        "notifications.html", address=address, is_proposed=saved is None and bool(address), problem=""
    )


@pages.post("/notifications")
@for_person
def save_notifications(person: Person) -> Answer:
    """Keep the address in the ENT's own database; the account's address stays what it is."""
    if not _is_settled():
        return _go_on(person)
    typed = request.form.get("mail", "").strip()
    try:
        # `.test` is what a demonstration is tried with (RFC 6761)
        address = validate_email(typed, check_deliverability=False, test_environment=True).normalized
    except EmailNotValidError:
        problem = "empty" if not typed else "wrong"
        return render_template("notifications.html", address=typed, is_proposed=False, problem=problem), 400
    current_store().save_address(current_settings().issuer, person.sub, address)
    return _go_on(person)


@pages.get(INSIDE)
@for_person
def inside(person: Person) -> Answer:
    """Show the inside: the person, the children, what the ENT was told."""
    settings, store = current_settings(), current_store()
    owed = owed_page(current_session(), person, settings, store)
    if owed is not None:
        return redirect(owed, 303)
    return render_template(
        "inside.html",
        name=display_name(person.claims),
        children=children(person.claims),
        rows=table(person.claims),
        address=store.find_address(settings.issuer, person.sub),
    )
