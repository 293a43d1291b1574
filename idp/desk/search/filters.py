"""What narrows a search besides words: the state of a guardian, schools, a class."""

import uuid
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, exists, or_, true

from idp.accounts.models import Account, Child, Guardianship
from idp.desk import access, ties
from idp.families.standing import Group, in_group


def shown_in(group: Group) -> ColumnElement[bool]:
    """Return the condition of the accounts that the desk shows in a state, for a statement about `Account`.

    An account without an open tie in scope is shown as closed, unless a dispute closes it.
    """
    if group is Group.DISPUTED:
        return in_group(group)
    is_cut_off = and_(ties.are_cut_off(access.children()), ~in_group(Group.DISPUTED))
    return or_(in_group(group), is_cut_off) if group is Group.CLOSED else and_(in_group(group), ~is_cut_off)


@dataclass(frozen=True)
class Filters:
    """What narrows a search.

    Attributes:
        group: the state of a guardian, or None for all.
        class_name: a class of the school, "" for pupils without one, or None for all.
        schools: the schools that a person of the académie typed; empty for all in scope.
    """

    group: Group | None = None
    class_name: str | None = None
    schools: tuple[uuid.UUID, ...] = ()

    @property
    def are_of_schools(self) -> bool:
        """Whether only the families of one school, or of few, are asked for."""
        return bool(self.schools) or access.post().school is not None

    def children(self) -> ColumnElement[bool]:
        """Return the condition of the pupils in scope, in the schools and in the class."""
        in_class = true() if self.class_name is None else Child.class_name == self.class_name
        return and_(access.children(), Child.school_id.in_(self.schools) if self.schools else true(), in_class)

    def accounts(self) -> ColumnElement[bool]:
        """Return the condition of the accounts in scope and in the state, with a pupil in schools and class."""
        in_state = [] if self.group is None else [shown_in(self.group)]
        if self.class_name is None and not self.schools:
            return and_(access.accounts(), *in_state)
        tie = exists().where(
            Guardianship.account_id == Account.id,
            Guardianship.child_id == Child.id,
            ties.are_shown(),
            self.children(),
        )
        return and_(tie, *in_state)
