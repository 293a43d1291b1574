from datetime import timedelta

import pytest
from flask import Flask

from idp.db import db
from idp.outbox import leases
from idp.outbox.queue import OutboxMessage, enqueue


def test_a_message_is_committed_or_rolled_back_with_its_transaction(queue_app: Flask) -> None:
    message = enqueue("mail.confirmation", {"token": 7})
    assert message.id
    db.session.rollback()
    assert leases.claim(["mail.confirmation"]) is None
    enqueue("mail.confirmation", {"token": 8})
    db.session.commit()
    claimed = leases.claim(["mail.confirmation"])
    assert claimed is not None
    assert claimed.payload == {"token": 8}


def test_the_payload_is_a_copy(queue_app: Flask) -> None:
    payload = {"token": 7}
    message = enqueue("mail.confirmation", payload)
    payload["token"] = 8
    db.session.commit()
    assert message.payload == {"token": 7}


def test_a_delayed_message_waits(queue_app: Flask) -> None:
    message = enqueue("mail.confirmation", {}, delay=timedelta(minutes=2))
    db.session.commit()
    assert message.available_at - message.created_at == timedelta(minutes=2)
    assert leases.claim(["mail.confirmation"]) is None


def test_an_unserialisable_payload_never_reaches_the_table(queue_app: Flask) -> None:
    enqueue("mail.confirmation", {"token": object()})
    with pytest.raises(Exception, match="not JSON serializable"):
        db.session.commit()
    db.session.rollback()
    assert db.session.query(OutboxMessage).count() == 0
