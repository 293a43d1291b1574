"""`idp/web/` names no route of other packages: views declare their properties (`idp.web.declarations`)."""

import ast
import re
from collections.abc import Iterator

import pytest
from flask import Flask

from idp.app import create_app
from idp.web import declarations
from idp.web.declarations import NAMESPACES, Trait, declared, leads_to_ent
from tests.architecture.tree import modules, nodes_of, parsed, shown
from tests.databases import NOWHERE, settings_for
from tests.rows import each_row

_FOLDER = "idp/web/"
_PATH = re.compile(r"/\.?[a-z]")
_ENDPOINT = re.compile(r"[a-z_]+\.[a-z_]+")
PROGRAMS, LEAVES, OTHERS = Trait.FOR_PROGRAMS, Trait.LEADS_TO_ENT, Trait.FOR_OTHER_SITES
PROBE, ACTS = Trait.PROBE, Trait.ACTS_ON_GET
DECLARED = {
    "/authorize": {ACTS},
    "/authorize/accord": {LEAVES},
    "/authorize/est-ce-vous": {LEAVES},
    "/authorize/refus": {ACTS},
    "/authorize/resume": {ACTS},
    "/charte": {LEAVES},
    "/adresse/confirmation": {LEAVES},
    "/connexion": {LEAVES},
    "/connexion/cle-d-acces": {LEAVES},
    "/logout": {LEAVES, ACTS},
    "/profil": {LEAVES},
    "/charter": {PROGRAMS},
    "/charter/acceptance": {PROGRAMS},
    "/introspect": {PROGRAMS},
    "/par": {PROGRAMS},
    "/register": {PROGRAMS},
    "/register/<client_id>": {PROGRAMS},
    "/revoke": {PROGRAMS},
    "/token": {PROGRAMS},
    "/userinfo": {PROGRAMS},
    "/jwks.json": {PROGRAMS, OTHERS},
    "/session/check": {OTHERS},
    "/healthz": {PROGRAMS, PROBE},
    "/readyz": {PROGRAMS, PROBE},
}
"""All declarations of views, so that a new one is reviewed."""


@pytest.fixture(scope="module")
def wired() -> Flask:
    return create_app(settings_for(NOWHERE))


def routes_named(tree: ast.Module) -> Iterator[str]:
    """Yield texts that look like a path or an endpoint, without the module's own routes and docstrings."""
    skipped = {id(node.value) for node in nodes_of(tree) if isinstance(node, ast.Expr)}
    for node in nodes_of(tree):
        if isinstance(node, ast.FunctionDef):
            skipped |= {id(part) for decorator in node.decorator_list for part in ast.walk(decorator)}
    for node in nodes_of(tree):
        match node:
            case ast.Constant(value=str() as text) if id(node) not in skipped:
                if _PATH.match(text) or _ENDPOINT.fullmatch(text):
                    yield text


def test_the_web_layer_names_no_route_of_another_layer(wired: Flask) -> None:
    rules = list(wired.url_map.iter_rules())
    own = {rule.rule for rule in rules if wired.view_functions[rule.endpoint].__module__.startswith("idp.web.")}
    matches = {
        (shown(path), text)
        for path in modules("idp")
        if shown(path).startswith(_FOLDER)
        for text in routes_named(parsed(path))
        if text in wired.view_functions or (text.startswith("/") and text not in {*NAMESPACES, *own})
    }
    assert matches == set()


def test_every_declaration_is_listed(wired: Flask) -> None:
    views = {rule.rule: declared(wired.view_functions[rule.endpoint]) for rule in wired.url_map.iter_rules()}
    assert {path: set(traits) for path, traits in views.items() if traits} == DECLARED


@each_row(
    ("path", "is_one"),
    [("/token", True), ("/register", True), ("/register/x", True), ("/register/x/y", True), ("/token/x", False),
     ("/registered", False), ("/connexion", False), ("/", False)],
)  # fmt: skip
def test_paths_below_a_variable_one_are_for_programs_too(wired: Flask, path: str, is_one: bool) -> None:  # noqa: FBT001
    assert declarations.of(wired).is_for_programs(path) is is_one


def test_a_variable_path_that_no_set_can_hold_is_refused_at_the_start() -> None:
    app = Flask("x")
    declarations.configure(app)
    app.add_url_rule("/page/<name>", view_func=leads_to_ent(lambda name: name))
    with pytest.raises(ValueError, match="/page/<name>: LEADS_TO_ENT"):
        declarations.of(app).read(app)


@each_row(
    ("text", "matches"),
    [
        ('MAY_LEAVE = frozenset({"/profil"})', ["/profil"]),
        ('see_other(url_for("account_password.change"))', ["account_password.change"]),
        ('path.startswith("/register/")', ["/register/"]),
        ('@blueprint.get("/accessibilite")\ndef page(): ...', []),
        ('"""`/token` is described."""', []),
    ],
)
def test_a_route_of_another_layer_would_be_seen(text: str, matches: list[str]) -> None:
    assert list(routes_named(ast.parse(text))) == matches
