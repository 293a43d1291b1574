"""Judges whether the record of a known key is still the person of the account.

The same key is no proof: secretaries write one parent over the other, and files are numbered again. The given name must
stay too:

1. The given name and the civility agree: the same person. The postal address, the mail address, the class and the
   children may change. If the family name changes as well (marriage, divorce), a child, the home or the mailbox must
   stay; otherwise the school decides.
2. The given name agrees and the civility does not (« Mme », then « M. »): a corrected civility if the family name and
   the home stay; otherwise the school decides.
3. The given name does not agree: if the family name and the home or the mailbox stay, and the civility does not differ,
   the file may have been corrected or may name another person of the household: the school decides. In all other
   cases it is another person.

Given names agree if they are equal without case, accents and hyphens, whatever their order; if one file has some of the
given names of the other; or if one letter was corrected while the family name and something else stay. They are
compared with the given name that the account had when it was opened, or that the school confirmed, so that several
small changes do not lead to another person.

« The school decides » means that the record is refused, the account does not change, and the school gets a notice
(`name_in_doubt`). If it is the same person, the school answers so. If no letter was ever printed for
the account, it belongs to nobody yet: the correction is taken, with a warning (`decide`).
"""

import enum
import re
from dataclasses import dataclass

from idp.accounts.merging import civilities_differ, shares_a_family_name
from idp.accounts.models import Account
from idp.folding import fold

_SHORTEST = 3  # Letters. A shorter given name is another name if one letter changes.


class Verdict(enum.StrEnum):
    """The result of comparing the person of a record with the person of the account."""

    SAME = "same"
    DOUBT = "doubt"
    OTHER = "other"


@dataclass(frozen=True)
class Named:
    """The civility and the names of a person, as a file has them."""

    civility: str
    given_name: str
    family_name: str
    birth_name: str

    def as_account(self) -> Account:
        """Return an account of these names that is not stored."""
        return Account(
            civility=self.civility,
            given_name=self.given_name,
            family_name=self.family_name,
            birth_name=self.birth_name,
        )


def judge(
    record: Named, holder: Named, opened_as: str, *, keeps_child: bool, keeps_home: bool, keeps_email: bool
) -> Verdict:
    """Return whether the person of a record is the holder of the account.

    Args:
        record: The person of the file.
        holder: The person of the account, as the last file named them.
        opened_as: The given name at the opening of the account, or the name that the school confirmed.
        keeps_child: Whether a child of the account is in the record.
        keeps_home: Whether the whole postal address is the same.
        keeps_email: Whether the email of the file is the same.
    """
    first, other = record.as_account(), holder.as_account()
    contradicted, family = civilities_differ(first, other), shares_a_family_name(first, other)
    stays = keeps_child or keeps_home or keeps_email
    given = _letters(record.given_name) == _letters(holder.given_name) or given_names_agree(
        record.given_name, opened_as
    )
    if not given and family and stays and not contradicted:
        sure = bool(record.civility and holder.civility)
        given = _is_corrected(_letters(record.given_name), _letters(opened_as), sure=sure)
    if given and not contradicted:
        return Verdict.SAME if family or stays else Verdict.DOUBT
    if given:
        return Verdict.SAME if family and keeps_home else Verdict.DOUBT
    return Verdict.DOUBT if family and not contradicted and (keeps_home or keeps_email) else Verdict.OTHER


def given_names_agree(first: str, other: str) -> bool:
    """Return whether one text has all given names of the other, in any order: « Anne » and « Marie Anne ».

    « Anne » is not « Anne-Marie », but « Anne Marie » is.
    """
    if sorted(_words(first)) == sorted(_words(other)) or _letters(first) == _letters(other):
        return bool(_words(first))
    ours, theirs = ({_letters(name) for name in re.split(r"[\s,]+", text)} - {""} for text in (first, other))
    return bool(ours) and bool(theirs) and (ours <= theirs or theirs <= ours)


def _is_corrected(first: str, other: str, *, sure: bool) -> bool:
    """Return whether one letter was added, removed, changed, or exchanged with the next one.

    The end of a French given name tells Paul from Paule and Léo from Léa: it counts only if the civilities are known
    to be equal (`sure`).
    """
    shorter, longer = sorted((first, other), key=len)
    if len(shorter) < _SHORTEST or len(longer) - len(shorter) > 1 or not (sure or first[-2:] == other[-2:]):
        return False
    begun = next((i for i, (a, b) in enumerate(zip(shorter, longer, strict=False)) if a != b), len(shorter))
    if len(shorter) < len(longer):
        return shorter[begun:] == longer[begun + 1 :]
    ours, theirs = shorter[begun:], longer[begun:]
    return ours[1:] == theirs[1:] or (ours[:2] == theirs[:2][::-1] and ours[2:] == theirs[2:])


def _words(name: str) -> list[str]:
    return re.findall(r"[^\W_]+", fold(name))


def _letters(name: str) -> str:
    return "".join(_words(name))


def civilities_agree(first: str, other: str) -> bool:
    """Return whether two civilities may be the same person's; an unknown one agrees with any."""
    return not civilities_differ(Account(civility=first), Account(civility=other))
