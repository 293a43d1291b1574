"""What a person sees of a school's files who may import them and may not read families: the académie's engineer.

The person brings the file, so every answer about one line of it would be an answer about a person: a file of one pupil
would ask whether this pupil is known, where the family lives, whether somebody is suspended. Even a rounded number
reveals one person: with nine invented people in the file, it depends on the tenth alone. So the person sees what the
files say of themselves, and one verdict on the whole: whether so much would end that the files look like a mistake.
Files at the threshold of that verdict still ask about one person; without it, an import by mistake could close a
school.
"""

from collections.abc import Iterator

from flask_babel import gettext
from sqlalchemy import select

from idp.accounts.models import School
from idp.db import db
from idp.desk import access
from idp.desk.jobs.models import Job
from idp.desk.staff.models import Role
from idp.rostering.imports import ImportResult
from idp.rostering.issue_codes import COMPARED
from idp.rostering.reconcile import mistakes
from idp.rostering.reconcile.staging import Staging
from idp.rostering.reconcile.told import difference, named_issues
from idp.rostering.reconcile.told.difference import Difference

CROWDED = "crowded"
"""The only mistake that speaks of one person."""


MOST_SCHOOLS = 20
"""The schools of files that a check names."""


def is_for(role: Role) -> bool:
    """Return whether the role reads no names."""
    return access.Right.READ_FAMILIES not in access.spec(role).rights


def schools(check: Job) -> list[str]:
    """Return the schools that files speak for, as lines: the number, and the name if the school is known here."""
    uais = check.result.get("uais", [])
    known = select(School.uai, School.name).where(School.uai.in_(uais))
    names: dict[str, str] = dict(db.session.execute(known).all())
    lines = [f"{names[uai]} ({uai})" if uai in names else gettext("%(uai)s, inconnu ici", uai=uai) for uai in uais]
    more = check.result["schools"] - len(uais)
    return [*lines, gettext("et %(n)s autres", n=more)] if more > 0 else lines


def problems(staging: Staging) -> Iterator[Difference]:
    """Yield the problems that the files have without the database, by line."""
    for issue in named_issues.issues(staging):
        if issue.code not in COMPARED:
            kind = difference.kind_of(issue.code, issue.severity.value)
            yield Difference(kind, "", "", named_issues.sentence_of(issue))


def mistakes_of(result: ImportResult) -> list[str]:
    """Return the codes of what files look like; how many children one person has is counted in the files alone."""
    of_schools = [mistake.code for mistake in result.mistakes if mistake.code != CROWDED]
    return [*dict.fromkeys(of_schools), *([CROWDED] if mistakes.is_crowded(result.staging) else [])]


def not_compared(role: Role) -> frozenset[str]:
    """Return the mistakes that the comparison may find and does not tell the role: the import accepts them."""
    return frozenset({CROWDED}) if is_for(role) else frozenset()


def hides_refusal(refusal: str, staging: Staging, read: int) -> bool:
    """Return whether a refusal would tell something of the people of a small file.

    If the comparison refused all of them, the check tells nothing; only the import itself, which is a step further,
    ends without a change. Lines that cannot be read are no secret.
    """
    return refusal == "all_refused" and staging.refused.total() < read
