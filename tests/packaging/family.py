"""Insert a school, a pupil and a parent with an active account.

The Python of the installed wheel runs it, with the parent's password as the argument; it does not import the tests.
"""

import sys
import uuid

from idp.accounts.models import Account, Child, Degree, Guardianship, School
from idp.app import create_app
from idp.clock import now
from idp.config import load
from idp.db import db, unit_of_work
from idp.services import services_of

app = create_app(load())
with app.app_context():
    password_hash = services_of(app).hasher.hash(sys.argv[1], "sign_in")
    with unit_of_work():
        school = School(
            uai="0599001N", name="Collège des Tilleuls", degree=Degree.SECONDARY, postal_address=[], phone=""
        )
        db.session.add(school)
        db.session.flush()
        child = Child(school_id=school.id, student_id="1", given_name="Malo", family_name="LEROY", class_name="6e 1")
        account = Account(
            id=uuid.uuid4(),
            username="n.leroy4821",
            civility="Mme",
            given_name="Noémie",
            family_name="LEROY-VANDEPUTTE",
            join_key="9100001",
            password_hash=password_hash,
            activated_at=now(),
            email="noemie@exemple.fr",
            email_confirmed_at=now(),
            generation=1,
        )
        db.session.add_all((child, account))
        db.session.flush()
        db.session.add(Guardianship(account_id=account.id, child_id=child.id, rank=0, kinship="10"))
    db.engine.dispose()
    services_of(app).close()
print("n.leroy4821")  # noqa: T201 - the output for the test
