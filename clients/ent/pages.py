"""The ENT's own pages: home, charter, notifications, inside."""

from collections.abc import Callable
from dataclasses import replace
from functools import wraps

from email_validator import EmailNotValidError, validate_email
from flask import Blueprint, redirect, render_template, request
from werkzeug.wrappers import Response

from clients.ent import charter_text
from clients.ent.claims import children, display_name, first_name, table, verified_email
from clients.ent.person import INSIDE, Person, find_person, next_page, next_step, store_person
from clients.ent.sessions import current_session, current_store
from clients.ent.settings import current_settings
from clients.ent.sign_in_routes import current_provider
from clients.kit.checks import CheckError, ProviderRefusedError

pages = Blueprint("pages", __name__)
ViewResult = Response | str | tuple[str, int]


@pages.get("/healthz")
def health() -> tuple[str, int, dict[str, str]]:
    """Report that the process runs, without access to the database."""
    return "ok\n", 200, {"Content-Type": "text/plain; charset=utf-8"}


@pages.get("/")
def home() -> str:
    """Show the home page. After a sign-out the provider redirects to this page with the `state` of the request."""
    session = current_session()
    state = request.args.get("state")
    signed_out = state is not None and session.get("sign_out") == state
    if signed_out:
        session.pop("sign_out")
    return render_template("home.html", person=find_person(session), signed_out=signed_out)


@pages.get("/accessibilite")
def accessibility() -> str:
    """Show the accessibility statement, mandatory on public sites in France (law of 11 February 2005, article 47)."""
    return render_template("accessibility.html")


def for_person(view: Callable[[Person], ViewResult]) -> Callable[[], ViewResult]:
    """Pass the signed-in person to the view. Without one, redirect to the sign-in, then to this page."""

    @wraps(view)
    def guarded() -> ViewResult:
        person = find_person(current_session())
        if person is None:
            return redirect(f"/login?target_link_uri={current_settings().public_url}{request.path}", 303)
        return view(person)

    return guarded


def _redirect_to_next_page(person: Person) -> Response:
    return redirect(next_page(current_session(), person, current_settings(), current_store()), 303)


def _is_charter_done() -> bool:
    """Return whether the charter is accepted or not required in this session."""
    return bool(current_session().get("charter_settled"))


@pages.get("/charte")
@for_person
def charter(person: Person) -> ViewResult:
    """Show the charter that the person has to accept."""
    if _is_charter_done():
        return _redirect_to_next_page(person)
    return _show_charter(person)


def _show_charter(person: Person, *, problem: str = "", status: int = 200) -> ViewResult:
    """Show the current charter, unless there is none or the person has accepted it meanwhile on another device."""
    current = current_provider().charter(person.access_token)
    if current is None or current.accepted:
        current_session()["charter_settled"] = True
        return _redirect_to_next_page(person)
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
def accept_charter(person: Person) -> ViewResult:
    """Record the acceptance of the version that the form names."""
    if _is_charter_done():
        return _redirect_to_next_page(person)
    if request.form.get("accord") != "oui":
        return _show_charter(person, problem="unchecked", status=400)
    try:
        recorded = current_provider().accept_charter(person.access_token, request.form.get("version", ""))
    except ProviderRefusedError as refusal:
        if str(refusal) != "no_charter":
            raise
        return _show_charter(person)  # the charter was withdrawn meanwhile
    if not recorded:
        return _show_charter(person, problem="changed", status=409)
    current_session()["charter_settled"] = True
    store_person(current_session(), _with_fresh_claims(person))
    return _redirect_to_next_page(person)


def _with_fresh_claims(person: Person) -> Person:
    """Return the person with current UserInfo claims; if UserInfo fails, mark the charter as accepted."""
    try:
        userinfo = current_provider().userinfo(person.access_token, person.sub)
    except CheckError:
        userinfo = {"charter_accepted": True}
    return replace(person, claims=person.claims | userinfo)


@pages.get("/charte/refus")
@for_person
def refuse_charter(person: Person) -> ViewResult:
    """Show what a refusal means, and the choice between accepting and signing out."""
    if _is_charter_done():
        return _redirect_to_next_page(person)
    return render_template("charter_refused.html")


@pages.get("/notifications")
@for_person
def notifications(person: Person) -> ViewResult:
    """Ask for the notification email. The default is the email that the provider confirmed."""
    if not _is_charter_done():
        return _redirect_to_next_page(person)
    saved = current_store().find_email(current_settings().issuer, person.sub)
    email = saved or verified_email(person.claims)
    return render_template("notifications.html", email=email, is_proposed=saved is None and bool(email), problem="")


@pages.post("/notifications")
@for_person
def save_notifications(person: Person) -> ViewResult:
    """Store the notification email in the ENT's database. The email of the provider's account does not change."""
    if not _is_charter_done():
        return _redirect_to_next_page(person)
    typed = request.form.get("mail", "").strip()
    try:
        # demonstrations use emails under `.test` (RFC 6761)
        email = validate_email(typed, check_deliverability=False, test_environment=True).normalized
    except EmailNotValidError:
        problem = "empty" if not typed else "wrong"
        return render_template("notifications.html", email=typed, is_proposed=False, problem=problem), 400
    current_store().save_email(current_settings().issuer, person.sub, email)
    return _redirect_to_next_page(person)


@pages.get(INSIDE)
@for_person
def inside(person: Person) -> ViewResult:
    """Show the private page: the person, the children and all received claims."""
    settings, store = current_settings(), current_store()
    step = next_step(current_session(), person, settings, store)
    if step is not None:
        return redirect(step, 303)
    return render_template(
        "inside.html",
        name=display_name(person.claims),
        children=children(person.claims, settings.schools),
        rows=table(person.claims),
        email=store.find_email(settings.issuer, person.sub),
    )
