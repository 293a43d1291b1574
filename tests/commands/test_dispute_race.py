"""Several operators settle one dispute at the same time, in separate processes."""

import json

from sqlalchemy import select

from idp.accounts.models import Account, Guardianship
from idp.audit.models import AuditEntry
from idp.clock import now
from idp.db import db
from tests import forked
from tests.builders import Build
from tests.closed import closed_as, contest, dispute

ROUNDS = 6


def test_concurrent_operators_settle_a_dispute_once(build: Build) -> None:
    ties = [build.never_activated(provisional_hash=None) for _ in range(ROUNDS)]
    dispute()
    db.session.commit()
    contested = [
        build.active(email=f"new{n}@exemple.fr", contested_at=now(), contested_email=f"former{n}@exemple.fr")
        for n in range(ROUNDS)
    ]
    usernames = [account.username for account in (*ties, *contested)]
    keys = {account.username: account.id for account in (*ties, *contested)}
    db.session.rollback()
    done = forked.run(
        "tests.commands.dispute_race",
        timeout=400,
        stdin=json.dumps({"database": build.settings.database_url, "usernames": usernames}),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for username, answers in json.loads(done.stdout).items():
        [winner] = [answer for answer in answers if answer]
        settled = db.session.scalars(
            select(AuditEntry.details).where(
                AuditEntry.account_id == keys[username], AuditEntry.kind == "dispute.settled"
            )
        ).all()
        assert [details["outcome"] for details in settled] == [winner]
        account = db.session.get_one(Account, keys[username], populate_existing=True)
        if account.activated_at is None:
            [tie] = db.session.scalars(select(Guardianship).where(Guardianship.account_id == account.id))
            assert closed_as(tie) == (set() if winner == "reject" else {"excluded"})
        else:
            assert contest(account.id) is None
            assert (account.email or "").startswith("new" if winner == "reject" else "former")
