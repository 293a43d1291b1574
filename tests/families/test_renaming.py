"""The answer « the same person » about a name in doubt gives the account its new name."""

from idp.accounts.school_notices import Kind
from idp.audit.models import AuditEntry
from idp.db import db
from idp.families import acts
from idp.families.refusals import Code
from tests.builders import Build
from tests.families.notices import noticed
from tests.settlements import REASON, refused


def test_a_name_is_changed_once_and_its_notice_is_settled(build: Build) -> None:
    account = build.active()
    notice = noticed(Kind.NAME_IN_DOUBT, account, build.school())
    with refused(Code.SAME_NAMES):
        acts.rename(account.id, {"family_name": account.family_name}, REASON, notice.id)
    acts.rename(account.id, {"family_name": "VANDEPUTTE", "civility": account.civility}, REASON, notice.id)
    db.session.expire_all()
    assert (account.family_name, notice.sentence) == ("VANDEPUTTE", REASON)
    [entry] = db.session.query(AuditEntry).filter_by(kind="account.renamed")
    assert (entry.details["changed"], entry.details["reason"]) == (["family_name"], REASON)
    with refused(Code.SETTLED):
        acts.rename(account.id, {"family_name": "AUTRE"}, REASON, notice.id)
