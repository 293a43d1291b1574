"""Many people of one network sign in at the same time: no deadlock, and the counters are exact."""

import json
import random
import re
from collections import Counter

import psycopg
import pytest
from flask import Flask
from sqlalchemy import func, select

from idp.audit.models import AuditEntry
from idp.db import db
from idp.sessions.models import Session
from idp.throttle.counters import ThrottleCounter
from tests import forked
from tests.builders import Build

PROCESSES, ACCOUNTS = 8, 5
_SLOW_LOCKS = """
CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_sleep(0.002); IF TG_OP = 'DELETE' THEN RETURN OLD; END IF; RETURN NEW; END $$;
CREATE TRIGGER slowly BEFORE INSERT OR UPDATE OR DELETE ON throttle FOR EACH ROW EXECUTE FUNCTION slowly()
"""
"""Statements that lock rows in opposite orders meet: each pauses before it locks the next row."""


@pytest.mark.row("Z-01")
@pytest.mark.parametrize("tries", [30, pytest.param(300, marks=pytest.mark.long)])
def test_people_of_one_network_sign_in_at_once(app: Flask, build: Build, database_url: str, tries: int) -> None:
    # Each process signs in to the same accounts, in another order, from two networks of one site.
    right = [build.active().username for _ in range(ACCOUNTS)]
    wrong = [build.active().username for _ in range(2)]
    drawn = random.Random(7)
    usernames = [[drawn.choice([*right, *right, *wrong]) for _ in range(tries)] for _ in range(PROCESSES)]
    db.session.remove()
    if database_url.startswith("postgresql"):
        with psycopg.connect(database_url) as connection:
            connection.execute(_SLOW_LOCKS)
    order = {"database": database_url, "usernames": usernames, "wrong": wrong}
    done = forked.run("tests.login.rush", timeout=300, stdin=json.dumps(order))
    assert done.returncode == 0, done.stderr[-2000:]
    answers = Counter((username in wrong, status) for answer in json.loads(done.stdout) for username, status in answer)
    assert answers.keys() == {(False, 303), (True, 200)}, answers
    sessions = db.session.scalar(select(func.count()).select_from(Session))
    journal = select(func.count()).select_from(AuditEntry).where(AuditEntry.kind == "sign_in")
    assert sessions == answers[False, 303]
    assert db.session.scalar(journal.where(AuditEntry.result == "ok")) == answers[False, 303]
    assert db.session.scalar(journal.where(AuditEntry.result == "refused")) == answers[True, 200]
    left: Counter[str] = Counter()
    for limit, count in db.session.execute(select(ThrottleCounter.limit, ThrottleCounter.count)):
        left[re.sub(r":\d+", "", limit)] += count
    refused = answers[True, 200]
    assert {limit: count for limit, count in left.items() if count and limit.startswith("sign_in")} == {
        "sign_in_account": refused,
        "sign_in_ip": refused,
        "sign_in_ip:site": refused,
        "sign_in_requests": refused,
        "sign_in_requests:site": refused,
    }
