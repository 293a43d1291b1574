"""The store finds the holder of a valid access token, with what UserInfo needs."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from idp.accounts.models import Guardianship
from idp.db import db
from idp.oidc.models import Token
from tests.builders import LYCEE, Build
from tests.protocol.store.world import LOST, SCOPE, World


def test_the_holder_is_the_person_the_client_and_the_scope(world: World) -> None:
    more_claims = {"nickname": "Nono"}
    world.change(
        account__address_lines=["3 rue des Tilleuls"],
        account__postcode="59990",
        account__city="Rivebelle",
        account__country="FR",
        account__more_claims=more_claims,
    )
    access, _ = world.tokens(jkt="thumbprint")
    account = world.account
    holder = world.store.find_holder(access, world.now)
    assert holder is not None
    attributes = {name: getattr(holder, name) for name in holder.__slots__ if name != "children"}
    assert attributes == {
        "scope": SCOPE,
        "claims": '{"userinfo":{}}',
        "jkt": "thumbprint",
        "client_id": world.client.client_id,
        "client_key": world.client.id,
        "client_version": world.client.version,
        "account_id": account.id,
        "join_key": account.join_key,
        "username": account.username,
        "profile": account.profile.name,
        "given_name": "Noémie",
        "family_name": "LEROY-VANDEPUTTE",
        "locale": account.locale,
        "updated_at": account.updated_at,
        "email": account.email,
        "address_lines": ["3 rue des Tilleuls"],
        "postcode": "59990",
        "city": "Rivebelle",
        "country": "FR",
        "more_claims": more_claims,
        "charter_version": None,
        "charter_accepted_at": None,
    }


@pytest.mark.row("U-04")
def test_the_children_are_those_in_the_client_s_schools_in_their_order(world: World, build: Build) -> None:
    children = [build.child("Lina"), build.child("Inès", uai=LYCEE), build.child("Tom")]
    for rank, child in zip((2, 3, 1), children, strict=True):
        db.session.add(Guardianship(account_id=world.account.id, child_id=child.id, rank=rank))
    db.session.commit()
    access, _ = world.tokens()
    holder = world.store.find_holder(access, world.now)
    assert holder is not None
    assert [child["given_name"] for child in holder.children] == ["Malo", "Tom", "Lina"]
    lina = children[0]
    assert holder.children[2] == {
        "given_name": "Lina",
        "family_name": "LEROY",
        "class": "6e 1",
        "uai": "0599001N",
        "student_id": lina.student_id,
        "degree": "SECONDARY",
    }


def test_a_person_without_children_has_an_empty_list(world: World) -> None:
    world.change(client__audience="EVERYONE")
    access, _ = world.tokens()
    world.change_ties(ended_at=world.now)
    holder = world.store.find_holder(access, world.now)
    assert holder is not None
    assert holder.children == []


def test_a_change_of_the_client_does_not_end_an_access_token(world: World) -> None:
    access, _ = world.tokens()
    world.change(client__version=world.client.version + 1)
    assert world.store.find_holder(access, world.now) is not None


def revoke(world: World) -> None:
    db.session.execute(update(Token).values(revoked_at=world.now))
    db.session.commit()


REFUSED: dict[str, Callable[[World], None]] = LOST | {"revoked": revoke}


@pytest.mark.row("U-05", "A-27")
@pytest.mark.parametrize("reason", REFUSED)
def test_a_token_has_no_holder_once_a_condition_fails(world: World, reason: str) -> None:
    access, _ = world.tokens()
    assert world.store.find_holder(access, world.now) is not None
    REFUSED[reason](world)
    assert world.store.find_holder(access, world.now) is None


def test_expired_and_refresh_tokens_have_no_holder(world: World) -> None:
    access, refresh = world.tokens()
    end = db.session.scalars(select(Token.expires_at).where(Token.digest == access)).one()
    assert world.store.find_holder(access, end - timedelta(seconds=1)) is not None
    assert world.store.find_holder(access, end) is None
    assert world.store.find_holder(refresh, world.now) is None
    assert world.store.find_holder(b"unknown", world.now) is None
