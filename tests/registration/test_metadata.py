"""The declarations of `ClientMetadata`: each field goes through the row, JSON and the command line and comes back."""

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import click
from click.testing import CliRunner
from flask import Flask
from flask.testing import FlaskClient

from idp.cli.client import options
from idp.clients import registry
from idp.clients.models import Client
from idp.clock import now
from idp.oidc.claims.release import PASSWORD_CLASS
from idp.registration import json_metadata, rows
from idp.registration.declarations import Declaration, Kind
from idp.registration.invitations import Bounds
from idp.registration.metadata import BY_MEMBER, FIELDS, ClientMetadata
from tests.builders import COLLEGE
from tests.dpop_party import Key

JWKS = {"keys": [Key.new("ES256").jwk]}
OTHERS: dict[str, Any] = {
    "name": "Autre",
    "scopes": ("openid", "email"),
    "default_acr_values": (PASSWORD_CLASS,),
    "translations": {"client_name#en": "Other"},
    "profile_uris": {"eleve": "https://ent.test/eleves"},
}


def another(declared: Declaration) -> Any:
    """Return a value of a field that is not its default."""
    by_kind = {
        Kind.TEXT: "texte",
        Kind.URI: "https://ent.test/page",
        Kind.URIS: ("https://ent.test/un", "https://ent.test/deux"),
        Kind.SCHOOLS: (COLLEGE,),
        Kind.TEXTS: ("a@b.test",),
        Kind.WORDS: declared.values[:2],
        Kind.SWITCH: not declared.default,
        Kind.SECONDS: 600,
        Kind.KEYS: JWKS,
    }
    if declared.kind is Kind.CHOICE:
        return next(value for value in reversed(declared.offered) if value != declared.default)
    return OTHERS.get(declared.name, by_kind.get(declared.kind))


FULL = ClientMetadata(**{declared.name: another(declared) for declared in FIELDS if declared.name != "sector"})


def row(metadata: ClientMetadata) -> Client:
    client = Client(client_id="c", sector="", created_at=now())
    rows.write(client, metadata)
    return client


def differing(left: ClientMetadata, right: ClientMetadata, *, leaving_out: set[str]) -> set[str]:
    names = {item.name for item in fields(ClientMetadata)} - leaving_out
    return {name for name in names if getattr(left, name) != getattr(right, name)}


def test_each_field_has_another_value() -> None:
    assert {declared.name for declared in FIELDS if getattr(FULL, declared.name) == declared.default} == {"sector"}


def test_a_row_holds_each_field(app: Flask) -> None:
    assert differing(FULL, rows.read(row(FULL)), leaving_out={"sector"}) == set()
    assert differing(ClientMetadata(), rows.read(row(ClientMetadata())), leaving_out={"sector"}) == set()


def test_a_shown_registration_has_each_field(app: Flask) -> None:
    shown = rows.shown(row(FULL))
    assert set(shown) == {declared.column if declared.column == "description" else declared.name for declared in FIELDS}
    assert shown["redirect_uris"] == list(FULL.redirect_uris)


def test_metadata_in_json_round_trip(app: Flask) -> None:
    answered = json_metadata.of_client(row(FULL))
    assert set(BY_MEMBER) <= set(answered)
    own = {declared.name for declared in FIELDS if not declared.member and declared.kind is not Kind.TRANSLATIONS}
    read = json_metadata.read(answered, Bounds(scopes=["openid", "email"]), ClientMetadata())
    assert differing(FULL, read, leaving_out=own) == set()
    assert differing(ClientMetadata(), read, leaving_out={declared.name for declared in FIELDS} - own) == set()


def test_the_command_line_gives_each_option(app: Flask, tmp_path: Any) -> None:
    file = tmp_path / "jwks.json"
    file.write_bytes(b'{"kty": "EC"}')
    results: list[ClientMetadata] = []

    @click.command()
    @options.registration_options(new=True)
    def command(**options_given: Any) -> None:
        results.append(options.read("Autre", options_given))

    result = CliRunner().invoke(command, list(typed(str(file))))
    assert result.exit_code == 0, result.output
    without = {declared.name for declared in FIELDS if not declared.option} - {"name"}
    assert differing(FULL, results[0], leaving_out={*without, "jwks"}) == set()
    assert results[0].jwks == {"keys": [{"kty": "EC"}]}


def typed(file: str) -> Iterator[str]:
    """Yield the command line that asks for `FULL`."""
    for declared in FIELDS:
        if declared.option is None:
            continue
        value = getattr(FULL, declared.name)
        flag, _, negative = declared.option.flag.partition("/")
        match declared.kind:
            case Kind.SWITCH:
                yield flag if value else negative
            case Kind.KEYS:
                yield from (flag, file)
            case Kind.WORDS:
                yield from (flag, declared.option.separator.join(value))
            case Kind.PROFILE_URIS:
                yield from (part for profile, uri in value.items() for part in (flag, f"{profile}={uri}"))
            case Kind.URIS | Kind.SCHOOLS | Kind.TEXTS:
                yield from (part for item in value for part in (flag, item))
            case _:
                yield from (flag, str(value))


def test_the_profile_implies_what_it_requires(app: Flask) -> None:
    client = row(ClientMetadata(name=" ENT ", profile="fapi2", scopes=["openid", "openid"]))
    assert (client.par_required, client.dpop_required, client.name, client.scopes) == (True, True, "ENT", ["openid"])


def test_discovery_announces_what_may_be_registered(browser: FlaskClient) -> None:
    document = browser.get("/.well-known/openid-configuration").get_json()
    announced = {member: list(declared.offered) for declared in FIELDS for member in declared.announced}
    assert len(announced) == 9
    introspection = announced.pop("introspection_endpoint_auth_methods_supported")
    assert {member: document[member] for member in announced} == announced
    assert document["introspection_endpoint_auth_methods_supported"] == [
        declared for declared in introspection if declared != "none"
    ]


def test_a_request_reads_the_columns_that_are_declared() -> None:
    """`Registration` is what requests read of a row: its fields are columns, or converted from columns."""
    columns = {declared.column for declared in FIELDS} | {declared.member for declared in FIELDS}
    own = {item.name for item in fields(registry.Registration)} - columns - set(Client.__table__.columns.keys())
    assert own == {"key", "fapi2"}
