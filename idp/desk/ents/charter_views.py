"""`/ent/…/charte` of the desk: the versions of a charter, its draft, its publication."""

import hashlib
from uuid import UUID

from flask import Response, request, url_for
from flask_babel import format_decimal, gettext, lazy_gettext as _l
from markupsafe import Markup

from idp.charter import service
from idp.clients.models import CharterMode, Client
from idp.desk import access
from idp.desk.access import Right, needs
from idp.desk.ents import summary
from idp.desk.ents.views import blueprint
from idp.desk.fields import AreaField, WordField
from idp.desk.kept_forms import DeskForm, keeps
from idp.web.forms import PlainField
from idp.web.redirects import render_page, see_other

LONGEST_TYPED = 20_000  # characters of a charter that is typed into the page; `idp charter publish` takes a longer one


class CharterForm(DeskForm):
    """A charter before its publication."""

    version = PlainField(_l("Nom de la version"))
    text = AreaField(_l("Texte de la charte"), longest=LONGEST_TYPED + 1)

    def is_valid(self, client: Client) -> bool:
        """Return whether the charter can be published; write what is wrong beside each field."""
        version, text = self.version.data or "", self.text.data or ""
        if not version or len(version) > service.LONGEST_VERSION or not version.isprintable():
            self.version.errors = [gettext("Donnez un nom de 1 à %(n)s caractères.", n=service.LONGEST_VERSION)]
        elif service.is_published(client.id, version):
            self.version.errors = [gettext("Cette version est déjà publiée : donnez un autre nom.")]
        if not text:
            self.text.errors = [gettext("Écrivez le texte de la charte.")]
        elif len(text) > LONGEST_TYPED:
            self.text.errors = [
                gettext("Ce texte est trop long : %(n)s caractères au plus.", n=format_decimal(LONGEST_TYPED))
            ]
        return not self.errors


class PublicationForm(DeskForm):
    """The word that confirms a publication: every parent of the ENT has to accept the charter again."""

    word = WordField("PUBLIER")


@blueprint.route("/ent/<uuid:key>/charte", methods=["GET", "POST"])
@needs(Right.MANAGE_ENTS)
@keeps("version", "text")
def write_charter(key: UUID) -> Response:
    """Write a charter, from its draft or the text in force; a POST keeps it as a draft and leads to its preview."""
    client, form, copied = access.client(key), CharterForm(), ""
    if request.method == "GET":
        if not form.is_refilled:
            copied = _fill(form, client)
    elif form.is_valid(client):
        service.keep_draft(client.id, form.version.data or "", form.text.data or "")
        return see_other(url_for("ents.draft", key=key))
    return render_page("desk/ents/charte.html", form=form, client=client, copied=copied)


def _fill(form: CharterForm, client: Client) -> str:
    """Fill the form with the draft, else the text in force; return the name of the version whose text was taken.

    A text that is too long for the page is not taken: `idp charter publish` published it, and publishes the next one.
    """
    if client.charter_draft is not None:
        form.version.data, form.text.data = client.charter_draft["version"], client.charter_draft["text"]
        return ""
    in_force = service.in_force(client)
    if in_force is None or len(in_force.text) > LONGEST_TYPED:
        return ""
    form.text.data = in_force.text
    return in_force.version


@blueprint.get("/ent/<uuid:key>/charte/apercu")
@needs(Right.MANAGE_ENTS, fresh=True)
def draft(key: UUID) -> Response:
    """Show the draft as parents will read it, with the button that publishes it."""
    client = access.client(key)
    if client.charter_draft is None:
        return see_other(url_for("ents.write_charter", key=key))
    return _draft_page(client, client.charter_draft, PublicationForm())


def _draft_page(client: Client, kept: dict[str, str], form: PublicationForm, error: str = "") -> Response:
    return render_page(
        "desk/ents/apercu.html",
        client=client,
        version=kept["version"],
        body=_html(kept["text"]),
        is_shown_here=client.charter_mode is CharterMode.PROVIDER,
        hosts=service.hosts(kept["text"]),
        digest=_digest(kept),
        concerned=summary.concerned(client),
        form=form,
        error=error,
    )


def _html(text: str) -> Markup:
    return Markup(service.as_html(text))  # noqa: S704 - Markdown rendered without raw HTML


def _digest(kept: dict[str, str]) -> str:
    """Return what tells one draft from another: exactly the text that was shown is published."""
    return hashlib.sha256(f"{kept['version']}\n{kept['text']}".encode()).hexdigest()


@blueprint.post("/ent/<uuid:key>/charte/publier")
@needs(Right.MANAGE_ENTS, fresh=True)
@keeps("word")
def publish(key: UUID) -> Response:
    """Publish the draft that was shown, once the word was typed."""
    client, form = access.client(key), PublicationForm()
    kept = client.charter_draft
    if kept is None:
        return see_other(url_for("ents.detail", key=key))
    if request.form.get("empreinte") != _digest(kept):
        return _draft_page(client, kept, form, gettext("Le texte a changé entre-temps. Relisez-le, puis publiez."))
    if not form.word.is_typed():
        return _draft_page(client, kept, form)
    try:
        service.publish(client.client_id, kept["version"], kept["text"])
    except ValueError:  # somebody published this version at the same moment
        return _draft_page(client, kept, form, gettext("Cette version est déjà publiée : donnez un autre nom."))
    return see_other(url_for("ents.detail", key=key, fait="charte"))


@blueprint.get("/ent/<uuid:key>/charte/<uuid:version>")
@needs(Right.READ_ENTS)
def read_charter(key: UUID, version: UUID) -> Response:
    """Show a version as parents read it."""
    client = access.client(key)
    row = next((row for row in service.versions(client.id) if row.id == version), None)
    if row is None:
        access.refuse(str(version))
    return render_page(
        "desk/ents/version.html",
        client=client,
        version=row,
        body=_html(row.text),
        acceptance=summary.acceptance(client) if row.id == client.charter_version_id else "",
    )
