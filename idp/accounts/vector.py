"""FrEduVecteur: how the software of ENTs knows the parent of a child (SDET, annex on the vectors of identity)."""

from idp.accounts.models import Degree

_GUARDIAN = {Degree.PRIMARY: "1", Degree.SECONDARY: "2"}


def guardian_vector(degree: Degree, *, family_name: str, given_name: str, student_id: str, uai: str) -> str:
    """Return the vector of a guardian for one child in one school: « 2|NOM|Prénom|eleve_id|UAI ».

    Names are the guardian's, letter by letter as the school's file has them; the identifier is the child's there.
    """
    return "|".join((_GUARDIAN[degree], _field(family_name), _field(given_name), _field(student_id), uai))


def _field(value: str) -> str:
    """A vector has five fields: a bar in a name would make six."""
    return value.replace("|", " ")
