"""What may be registered: each fault by its field and its code, whatever its text says."""

from collections.abc import Iterable, Iterator
from dataclasses import fields, replace
from typing import Any

import click
from click.testing import CliRunner
from flask import Flask
from flask.testing import FlaskClient

from idp.cli.client import options
from idp.clients import registry
from idp.clients.models import Client
from idp.clock import now
from idp.config import Settings, load
from idp.oidc.claims.release import PASSWORD_CLASS
from idp.registration import checks, json_metadata, rows
from idp.registration.declarations import Declaration, Kind
from idp.registration.faults import Fault
from idp.registration.invitations import Bounds
from idp.registration.metadata import BY_MEMBER, BY_NAME, FIELDS, ClientMetadata
from tests.builders import COLLEGE
from tests.dpop_party import Key
from tests.rows import each_row

VALID = ClientMetadata(name="Passerelle", redirect_uris=["https://ent.test/cb"], uais=[COLLEGE])
KEYS = {"keys": [Key.new("ES256").jwk]}
RSA_KEYS = {"keys": [Key.new().jwk]}
SIGNS = {"auth_method": "private_key_jwt", "jwks": KEYS}
TWO_HOSTS = ["https://un.test/cb", "https://deux.test/cb"]
FAPI2 = {**SIGNS, "profile": "fapi2", "id_token_alg": "ES256"}


def find_fault_fields(settings: Settings, **changed: Any) -> list[str]:
    return [fault.field for fault in checks.find_faults(settings, replace(VALID, **changed))]


@each_row(
    ("changed", "names"),
    [
        ({}, []),
        ({"name": " "}, ["name"]),
        ({"name": "x" * 81}, ["name"]),
        ({"name": " " + "x" * 80 + " "}, []),
        ({"name": "a\nb"}, ["name"]),
        ({"uais": []}, ["uais"]),
        ({"uais": [], "audience": "everyone"}, []),
        ({"uais": [COLLEGE, "0599001A"]}, ["uais"]),
        ({"audience": "all"}, ["audience"]),
        ({"home_uri": "http://ent.test/"}, ["home_uri"]),
        ({"home_uri": ""}, []),
        ({"post_logout_redirect_uris": [""]}, ["post_logout_redirect_uris"]),
        ({"profile_uris": {"eleve": "https://ent.test/#"}}, ["profile_uris"]),
        ({"profile_uris": {"reine": "https://ent.test/"}}, ["profile_uris"]),
        ({"logo_uri": "javascript:alert(1)"}, ["logo_uri"]),
        ({"redirect_uris": TWO_HOSTS}, ["sector_identifier_uri"]),
        ({"redirect_uris": TWO_HOSTS, "subject": "public"}, []),
        ({"redirect_uris": TWO_HOSTS, "sector": ""}, []),
        ({"redirect_uris": TWO_HOSTS, "sector_identifier_uri": "https://un.test/s.json"}, []),
        ({"backchannel_logout_uri": "http://ent.test/out"}, ["backchannel_logout_uri"]),
        ({"frontchannel_logout_uri": "https://ent.test:444/out"}, ["frontchannel_logout_uri"]),
        ({"frontchannel_logout_uri": "https://ent.test:443/out"}, []),
        ({"scopes": ["profile"]}, ["scopes"]),
        ({"scopes": ["openid", "admin"]}, ["scopes"]),
        ({"always_claims": ["iss"]}, ["always_claims"]),
        ({"always_claims": ["ent", "charter"]}, []),
        ({"auth_method": "client_secret_jwt"}, ["auth_method"]),
        ({"auth_method": "private_key_jwt"}, ["auth_method"]),
        (SIGNS, []),
        ({**SIGNS, "jwks": None, "jwks_uri": "https://ent.test/keys"}, []),
        ({**SIGNS, "jwks_uri": "https://ent.test/keys"}, ["jwks"]),
        ({**SIGNS, "auth_alg": "PS256"}, ["jwks"]),
        ({**SIGNS, "auth_alg": "ES256"}, []),
        ({"auth_alg": "ES256"}, ["auth_alg"]),
        ({"auth_alg": "HS256"}, ["auth_alg", "auth_alg"]),
        ({"jwks": {"keys": [Key.new().secret_jwk]}}, ["jwks"]),
        ({"jwks": {"keys": [Key.new().jwk] * 21}}, ["jwks"]),
        ({"jwks": {}}, ["jwks"]),
        ({"auth_method": "none"}, []),
        ({"auth_method": "none", "pkce_required": False}, ["pkce_required"]),
        ({"pkce_required": False}, []),
        ({"id_token_alg": "ES256"}, ["id_token_alg"]),
        ({"userinfo_alg": "ES256"}, ["userinfo_alg"]),
        ({"userinfo_alg": "HS256"}, ["userinfo_alg"]),
        ({"charter": "maybe"}, ["charter"]),
        ({"default_profile": "roi"}, ["default_profile"]),
        ({"subject": "email"}, ["subject"]),
        ({"subject_prefix": "LILLE"}, ["subject_prefix"]),
        ({"subject": "aaf", "subject_prefix": "LILLE"}, []),
        ({"subject": "aaf", "subject_prefix": "LILLE-"}, ["subject_prefix"]),
        ({"subject": "aaf", "subject_prefix": "Île"}, ["subject_prefix"]),
        ({"subject": "aaf", "subject_prefix": "x" * 31}, ["subject_prefix"]),
        ({"default_max_age": -1}, ["default_max_age"]),
        ({"default_max_age": 10**9 + 1}, ["default_max_age"]),
        ({"default_max_age": 0}, []),
        ({"application_type": "native"}, ["application_type"]),
        ({"profile": "fapi1"}, ["profile"]),
        (FAPI2, ["id_token_alg"]),  # there is no such key
        ({**FAPI2, "assertion_audience": "legacy"}, ["id_token_alg", "assertion_audience"]),
        ({**FAPI2, "pkce_required": False}, ["id_token_alg", "profile"]),
        ({**FAPI2, "auth_method": "client_secret_basic"}, ["id_token_alg", "profile"]),
        ({**FAPI2, "id_token_alg": "RS256", "userinfo_alg": "RS256"}, ["id_token_alg", "userinfo_alg"]),
        ({**FAPI2, "jwks": RSA_KEYS, "auth_alg": "RS256"}, ["id_token_alg", "auth_alg"]),
    ],
)
def test_each_rule_names_its_field(app: Flask, settings: Settings, changed: dict[str, Any], names: list[str]) -> None:
    assert find_fault_fields(settings, **changed) == names


def test_a_fault_of_a_redirect_uri_names_its_field(app: Flask, settings: Settings) -> None:
    for uris in ([], ["http://ent.test/cb"], ["https://ent.test/cb#f"], ["x"]):
        assert find_fault_fields(settings, redirect_uris=uris) == ["redirect_uris"]


NO_ADDRESS: Any = (
    "", " ", "ent.test/cb", "/cb", "//ent.test/cb", "javascript:alert(1)", "data:text/html,x", "ftp://ent.test/cb",
    "https:///cb", "https://", "https://[::1/cb", "https://ent.test:port/cb", "https://ent.test:99999/cb",
    "https://ent.test:0/cb", "https://user@ent.test/cb", "https://ent.test@evil.test/cb", "https://ent.test/cb#f",
    "https://ent.test/c b", "https://ent.test/cb\\..", "https://ent.test/*|x", "https://ént.test/cb",
    "https://ent.test/cb\x7f", "https://ent.test/cb\t", "http://127.0.0.1/cb", "http://localhost/cb",
    "https://ent.test/" + "a" * 500, "https://ent.test/cb%0a", "https://ent.test/cb%7F", "https://ent.test/[cb]",
    "https://ENT.test/cb", "https://ent..test/cb", "https://./cb", "https://ent.test./cb", "https://ent.test:/cb",
    "https://a;sandbox;b.test/cb", "https://a,b.test/cb", "https://*.test/cb", "https://'none'/cb", "https://-a.test/cb",
    "https://" + "a" * 64 + ".test/cb", "https://" + "a." * 130 + "test/cb",
)  # fmt: skip


def test_each_invalid_uri_is_a_fault(app: Flask, settings: Settings) -> None:
    for name in ("redirect_uris", "post_logout_redirect_uris"):
        faults = checks.find_faults(settings, replace(VALID, **{name: NO_ADDRESS}))
        assert [(fault.field, fault.value) for fault in faults] == [(name, uri) for uri in NO_ADDRESS]


def test_all_faults_are_found_at_once(app: Flask, settings: Settings) -> None:
    wrong = {"name": "", "redirect_uris": ["x", "y"], "uais": ["z"], "scopes": [], "charter": "maybe"}
    names = ["name", "redirect_uris", "redirect_uris", "uais", "charter", "scopes"]
    assert find_fault_fields(settings, **wrong) == names


def test_plain_http_is_for_loopback_in_development(app: Flask, settings: Settings) -> None:
    own_machine = load(env="development", issuer="http://127.0.0.1:8000", database_url=settings.database_url)
    local = {"redirect_uris": ["http://127.0.0.1:8001/cb"], "backchannel_logout_uri": "http://127.0.0.1:8001/out"}
    assert find_fault_fields(own_machine, **local) == []
    assert find_fault_fields(settings, **local) == [*local]


def test_every_choice_is_checked_by_its_declaration(app: Flask, settings: Settings) -> None:
    choices = [declared.name for declared in FIELDS if declared.kind is Kind.CHOICE]
    assert len(choices) > 8
    for name in choices:
        assert name in find_fault_fields(settings, **{name: "\x00"}), name
        assert BY_NAME[name].values, name


def test_no_text_names_a_field_of_one_surface(app: Flask, settings: Settings) -> None:
    texts = [fault.text for fault in all_faults(settings)]
    foreign = {name for declared in FIELDS for name in (declared.name, declared.member) if "_" in name}
    assert len(texts) > 25
    assert [text for text in texts if "--" in text or any(name in text for name in foreign)] == []


def all_faults(settings: Settings) -> Iterable[Fault]:
    wrong: dict[str, Any] = {
        declared.name: {
            Kind.URIS: ["x"],
            Kind.SCHOOLS: ["x"],
            Kind.WORDS: ["x"],
            Kind.KEYS: {"keys": []},
            Kind.PROFILE_URIS: {"x": "x"},
            Kind.SECONDS: -1,
        }.get(declared.kind, "x")
        for declared in FIELDS
        if declared.kind not in {Kind.SWITCH, Kind.TEXTS, Kind.TRANSLATIONS, Kind.TEXT}
    }
    contradictory: list[dict[str, Any]] = [
        {},
        {"profile": "fapi2", "pkce_required": False},
        {"auth_method": "none", "pkce_required": False},
    ]
    for more in contradictory:
        yield from checks.find_faults(settings, replace(VALID, **{**wrong, **more}))
    yield from checks.find_faults(settings, replace(VALID, redirect_uris=TWO_HOSTS, subject_prefix="x-"))


JWKS = {"keys": [Key.new("ES256").jwk]}
OTHERS: dict[str, Any] = {
    "name": "Autre",
    "scopes": ("openid", "email"),
    "default_acr_values": (PASSWORD_CLASS,),
    "translations": {"client_name#en": "Other"},
    "profile_uris": {"eleve": "https://ent.test/eleves"},
}


def another(declared: Declaration) -> Any:
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
    # `Registration` is what requests read of a row: its fields are columns, or converted from columns.
    columns = {declared.column for declared in FIELDS} | {declared.member for declared in FIELDS}
    own = {item.name for item in fields(registry.Registration)} - columns - set(Client.__table__.columns.keys())
    assert own == {"key", "fapi2"}
