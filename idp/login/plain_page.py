"""The sign-in page, and its plain case: a browser without a session, which nothing is known of.

On the first evening most requests are for this page. Its HTML is rendered once for each client and language, with marks
in place of the interaction and the form token; the door answers with the values of the request in their place.
"""

import secrets
from collections.abc import Callable, Mapping

from flask import current_app, g, render_template

from idp.clients import registry
from idp.clients.registry import Registration
from idp.interaction import store
from idp.interaction.store import Interaction
from idp.login.forms import SignInForm
from idp.services import services
from idp.sessions import manager
from idp.web import browser, declarations, i18n
from idp.web.http import Request, Response, answering

_MARK = f"mark{secrets.token_hex(16)}"
_TOKEN_MARK = f"mark{secrets.token_hex(16)}"
_MOST = 200
_TYPE = "text/html; charset=utf-8"


def links(url: Callable[[str], str], back_url: str) -> dict[str, str]:
    """Return the links of the page; `url` returns the URL of an endpoint with the interaction."""
    return {
        "change_profile_url": url("profile_choice.choose"),
        "forgotten_username_url": url("recovery.username"),
        "forgotten_password_url": url("recovery.password"),
        "back_url": back_url,
    }


def render(
    client: Registration | None,
    form: SignInForm,
    urls: Mapping[str, str],
    *,
    connected: str = "",
    shut_out: bool = False,
    failed: bool = False,
    wait: int = 0,
) -> str:
    """Return the HTML of the page.

    Args:
        client: the ENT that asks.
        form: the form, with the errors of its fields.
        urls: the links.
        connected: the name of the person whose session is open.
        shut_out: whether that person may not enter the ENT.
        failed: whether the sign-in failed.
        wait: the seconds until the next try.
    """
    return render_template(
        "login/connexion.html",
        dest=client,
        form=form,
        connected=connected,
        shut_out=shut_out,
        failed=failed,
        wait=wait,
        profile_title="Parent",
        letter_days=services().settings.provisional_days,
        **urls,
    )


def show(request: Request) -> Response | None:
    """Return the page in its plain case, or None: the ordinary view answers then.

    Raises:
        InteractionLostError: the interaction of the URL has expired, or belongs to another browser.
    """
    signed = request.arguments.get(store.PARAMETER, "")
    if request.query_string != f"{store.PARAMETER}={signed}".encode() or manager.cookie_value():
        return None
    interaction = store.current()
    client = _plain_client(interaction)
    if client is None:
        return None
    key = client.key, client.version, i18n.choose_locale()
    pages = services().sign_in_pages
    if key not in pages:
        if len(pages) >= _MOST:
            pages.clear()
        pages[key] = _render_marked(client, key[2])
    token = browser.form_token()
    return Response(pages[key].replace(_MARK, signed).replace(_TOKEN_MARK, token), content_type=_TYPE)


def _plain_client(interaction: Interaction | None) -> Registration | None:
    """Return the client of a request whose page depends on the client alone, or None."""
    requested = interaction.request if interaction else None
    if interaction is None or requested is None or interaction.person is not None:
        return None
    if requested.ui_locales or (requested.login_hint and ":" not in requested.login_hint):
        return None
    return registry.find(requested.client_id)


def _render_marked(client: Registration, language: str) -> str:
    """Render the page for a request that has a language and nothing else."""
    marked = current_app.test_request_context("/connexion", headers={"Accept-Language": language})
    with marked, answering(Request(marked.request.environ)):
        g.csrf_token = _TOKEN_MARK
        try:
            return render(client, SignInForm(), links(_marked_url, _marked_url("oidc.deny")))
        finally:
            del g.csrf_token


def _marked_url(endpoint: str) -> str:
    return declarations.url(endpoint, **{store.PARAMETER: _MARK})
