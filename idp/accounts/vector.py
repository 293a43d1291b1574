"""FrEduVecteur: the key by which ENT software knows the parent of a child (SDET, annex on the vectors of identity)."""

from idp.accounts.models import Degree

_GUARDIAN = {Degree.PRIMARY: "1", Degree.SECONDARY: "2"}


def guardian_vector(degree: Degree, *, family_name: str, given_name: str, student_id: str, uai: str) -> str:
    """Return the vector of a guardian for one child in one school: « 2|NOM|Prénom|eleve_id|UAI ».

    The names are the guardian's, verbatim from the school's file; the identifier is the child's in that file.
    """
    return "|".join((_GUARDIAN[degree], _field(family_name), _field(given_name), _field(student_id), uai))


def _field(value: str) -> str:
    """Replace bars by spaces: a bar in a name would add a field to the vector."""
    return value.replace("|", " ")
