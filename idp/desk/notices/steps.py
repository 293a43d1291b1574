"""What a school does after a notice is settled: a letter, a file, the family."""

from collections.abc import Iterator

from flask import url_for
from flask_babel import gettext
from sqlalchemy import select

from idp.accounts import school_notices
from idp.accounts.models import Account, Child
from idp.accounts.school_notices import Kind
from idp.db import db
from idp.desk import access
from idp.desk.access import Right
from idp.desk.jobs.kinds import Step
from idp.desk.notices import settling
from idp.desk.notices.shown import Shown
from idp.desk.notices.words import Answer, Next
from idp.families.standing import Group, group_of, standings


def after(item: Shown) -> list[Step]:
    """Return the steps after a settled notice that the post may do, the likeliest first; none for an open notice."""
    if item.row.settled_at is None:
        return []
    answer = settling.answer_of(item.row)
    consequence = settling.consequence(item.row, answer) if answer else None
    coming = consequence.next if consequence else Next.ACCOUNT
    may_need_letter = item.is_about_children or answer is Answer.ADMIT
    prints = coming is Next.LETTER or (may_need_letter and _is_without_letter(item))
    return [*_of_answer(item, coming, prints=prints), *_people(item), *_families(item)]


def needs_letter(item: Shown) -> bool:
    """Return whether the person keeps other pupils after a dispute, and needs a letter: a dispute ends one."""
    return item.is_about_children and _is_without_letter(item)


def _is_without_letter(item: Shown) -> bool:
    account = db.session.get_one(Account, item.row.account_id)
    return group_of(standings(account)) in {Group.NO_LETTER, Group.EXPIRED, Group.RELETTER}


def _of_answer(item: Shown, coming: Next, *, prints: bool) -> Iterator[Step]:
    if coming is Next.FILES and access.may(Right.IMPORT_FILES):
        yield Step(gettext("Importer le fichier corrigé"), url_for("files.show"))
    if prints and access.may(Right.PRINT_LETTER):
        is_one = item.row.kind == Kind.LETTER_DOUBT.value
        keys = (item.row.account_id, None if is_one else item.row.other_account_id)
        for person, key in zip(item.people, keys, strict=False):
            if person.url and key:
                label = gettext("Imprimer un courrier pour %(name)s", name=person.name)
                yield Step(label, url_for("letter.show", key=key))


def _people(item: Shown) -> Iterator[Step]:
    for person in item.people:
        if person.url:
            yield Step(gettext("Ouvrir le compte de %(name)s", name=person.name), person.url)


def _families(item: Shown) -> Iterator[Step]:
    """Yield the families of the pupils of whom a person said that they are not the own children."""
    if not item.is_about_children or not access.may(Right.READ_FAMILIES):
        return
    keys = [child.id for child in school_notices.children_of([item.row])[item.row.id]]
    for child in db.session.scalars(select(Child).where(Child.id.in_(keys), access.children())):
        label = gettext("Voir la famille de %(name)s", name=f"{child.given_name} {child.family_name}")
        yield Step(label, url_for("accounts.family", pupil=child.id))
