"""What a person sees of a school's files who may import them and may not read families: the académie's engineer.

The person brings the file, so every answer about one line of it would be an answer about a person: a file of one pupil
would ask whether this pupil is known, where the family lives, whether somebody is suspended. So there is no name, what
the files themselves do wrong is told by line, and what follows from the comparison is told as a number of tens.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

from flask_babel import gettext

from idp.desk.access import RIGHTS, Right
from idp.desk.staff.models import Role
from idp.rostering.issue_codes import COMPARED
from idp.rostering.reconcile import difference
from idp.rostering.reconcile.difference import Difference, Kind
from idp.rostering.reconcile.staging import Staging

TEN = 10
"""Numbers are told in tens; a smaller one is not told."""


def is_for(role: Role) -> bool:
    """Return whether the role reads no names."""
    return role not in RIGHTS[Right.READ_FAMILIES]


def about(number: int) -> str:
    """Return a number of people in words, in tens."""
    if number < TEN:
        return str(gettext("moins de 10"))
    return str(gettext("environ %(n)s", n=number // TEN * TEN))


def problems(staging: Staging) -> Iterator[Difference]:
    """Yield the problems of the files by line, then the remarks of the comparison with their numbers."""
    remarks: Counter[str] = Counter()
    for issue in difference.issues(staging):
        if issue.code in COMPARED:
            remarks[issue.message] += 1
        else:
            yield Difference(Kind.PROBLEM, "", "", difference.sentence_of(issue))
    yield from (Difference(Kind.PROBLEM, "", "", sentence) for sentence in summed(remarks.items()))


def summed(remarks: Iterable[tuple[str, int]]) -> Iterator[str]:
    """Yield the remarks that concern ten lines or more."""
    for message, count in remarks:
        if count >= TEN:
            yield str(gettext("%(message)s (%(count)s lignes)", message=message, count=about(count)))


def hides_refusal(refusal: str, staging: Staging, read: int) -> bool:
    """Return whether a refusal would tell something of the people of a small file.

    If the comparison refused all of them, the check tells nothing; only the import itself, which is a step further,
    ends without a change. Lines that cannot be read are no secret.
    """
    return refusal == "all_refused" and staging.refused.total() < read
