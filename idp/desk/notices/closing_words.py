"""The French words of the notices about a closed account: schools that did not decide read not by whom nor why."""

from flask_babel import lazy_gettext as _l

from idp.accounts.school_notices import Kind

STAYS = _l("Donner raison à la suspension : elle reste")
"""The only answer: a head reopens on the page of the account, which settles the notice."""
CLOSINGS = {
    Kind.ACCOUNT_CLOSED: (
        _l("Tout un compte est suspendu"),
        _l("L’accès de %(name)s est suspendu : cette personne ne peut plus se connecter, pour aucun de ses élèves."),
        _l("Ouvrez la page de la personne : elle dit jusqu’à quand, et si votre direction peut rouvrir."),
    ),
    Kind.CLOSING_PASSED_ON: (
        _l("Un accès suspendu que la direction peut rouvrir"),
        _l("L’accès de %(name)s est suspendu, et c’est maintenant à la direction, ou à l’académie, d’en décider."),
        _l("Parlez avec la personne, et demandez à l’académie s’il y a un jugement. Rouvrez sur la page du compte."),
    ),
}
