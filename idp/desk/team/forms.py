"""The invitation of a colleague."""

from flask_babel import gettext
from flask_babel import lazy_gettext as _l

from idp.accounts import emails
from idp.desk import access
from idp.desk.choices import ChoiceField
from idp.desk.kept_forms.forms import DeskForm
from idp.desk.staff.models import Role
from idp.desk.team.invitations import LONGEST_NAME
from idp.mail.emails import InvalidEmailError, fold_email, parse_email
from idp.uai import is_uai, normalised_uai
from idp.web.forms import PlainField


class InvitationForm(DeskForm):
    """Who is invited, and for what; only the engineer chooses the school or the ENT."""

    person = PlainField(_l("Prénom et nom"), name="nom")
    email = PlainField(_l("Adresse mail"), name="mail", longest=400)
    role = ChoiceField(_l("Rôle"), name="role")
    uai = PlainField(_l("Établissement"), name="uai", longest=20)
    client = ChoiceField(_l("ENT"), name="ent")

    @property
    def chosen_role(self) -> Role | None:
        """The chosen role if the person may grant it."""
        return Role(self.role.chosen) if self.role.chosen else None

    def is_valid(self, own_mailbox: str, *, chooses_scope: bool) -> bool:
        """Return whether the person may be invited; write what is wrong beside each field."""
        name = self.person.data or ""
        if not name or len(name) > LONGEST_NAME or not name.isprintable():
            self.person.errors = [gettext("Écrivez le prénom et le nom, %(n)s caractères au plus.", n=LONGEST_NAME)]
        try:
            if _without_tag(fold_email(parse_email(self.email.data or ""))) == _without_tag(own_mailbox):
                self.email.errors = [
                    gettext("Personne ne se donne un accès à soi-même. Demandez à une autre personne.")
                ]
        except InvalidEmailError as fault:
            self.email.errors = [emails.explain(fault)]
        if self.chosen_role is None:
            self.role.errors = [gettext("Choisissez un rôle de la liste.")]
        elif chooses_scope:
            self._check_scope(self.chosen_role)
        return not self.errors

    def _check_scope(self, role: Role) -> None:
        scope = access.spec(role).scope
        if scope is access.Scope.SCHOOL and not is_uai(normalised_uai(self.uai.data or "")):
            self.uai.errors = [gettext("Écrivez le numéro de l’établissement (UAI) : sept chiffres et une lettre.")]
        if scope is access.Scope.ENT and not self.client.chosen:
            self.client.errors = [gettext("Choisissez l’ENT.")]


def _without_tag(mailbox: str) -> str:
    """Return the mailbox that receives what is sent to « sylvie+autre@… », for most providers."""
    local, _, domain = mailbox.rpartition("@")
    return f"{local.partition('+')[0]}@{domain}"
