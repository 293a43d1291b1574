"""French words of the lists of a class."""

from collections.abc import Mapping
from typing import Any

from flask_babel import lazy_gettext as _l

from idp.letters.class_lists import Missing

MISSING: Mapping[Missing, Any] = {
    Missing.ACTIVATION: _l("compte à activer avec le courrier"),
    Missing.NEW_ACTIVATION: _l("compte à activer de nouveau, avec le nouveau courrier"),
    Missing.LETTER: _l("compte à activer : demander un courrier au secrétariat"),
    Missing.CONFIRMATION: _l("adresse mail à confirmer, par le code ou le lien du mail"),
    Missing.EMAIL: _l("adresse mail à donner"),
}
"""What a guardian still has to do."""
