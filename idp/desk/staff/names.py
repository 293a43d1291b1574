"""The names of roles, on pages and in mails."""

from flask_babel import gettext

from idp.desk.staff.models import Role


def role_name(role: Role) -> str:
    """Return the name of a role."""
    names: dict[Role, str] = {
        Role.SECRETARY: gettext("Secrétariat"),
        Role.HEAD: gettext("Direction"),
        Role.ENT_OPERATOR: gettext("Exploitation d’un ENT"),
        Role.HELPDESK: gettext("Assistance de l’académie"),
        Role.DPO: gettext("Protection des données"),
        Role.ENGINEER: gettext("Ingénierie de l’académie"),
    }
    return names[role]
