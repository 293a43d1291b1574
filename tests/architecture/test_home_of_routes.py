"""The order of the steps and the routes of the slices have one home each."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from flask import Flask

from idp.app import create_app
from idp.journey import STEPS
from idp.web import declarations
from idp.web.declarations import NAMESPACES, Trait, declared, declares
from tests.architecture.tree import modules, named, nodes_of, parsed, shown
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
    app.add_url_rule("/page/<name>", view_func=declares(LEAVES)(lambda name: name))
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


HOME = "idp/journey.py"
ENDPOINTS = {step.endpoint for step in STEPS}
LEADS_ELSEWHERE = {
    ("idp/activation/views.py", "email_confirmation.waiting"): "its second half: nobody is signed in yet",
    (
        "idp/interaction/store.py",
        "activation.activate",
    ): "after a letter's password, which needs no request of a client",
    ("idp/my_account/passkeys.py", "passkey_sign_in.offer"): "the page whose form it is",
    ("idp/oidc/authorization/pages.py", "login.sign_in"): "a link: another person continues the same request",
    ("idp/profile_choice.py", "login.sign_in"): "no client asked: the dispatcher serves requests of clients",
    ("idp/sessions/guard.py", "login.sign_in"): "the account's pages have no request of a client",
    ("idp/sessions/guard.py", "email_confirmation.waiting"): "the same",
}
"""The redirects to a page of another package and the URLs of steps that functions return, each with its reason."""
_URLS = {"url_for", "page_url", "url"}


def in_lists(tree: ast.AST) -> Iterator[str]:
    """Yield the steps that a module names, except in links to their pages."""
    linked = {
        id(node.args[0])
        for node in nodes_of(tree)
        if isinstance(node, ast.Call) and named(node.func).rpartition(".")[2] in _URLS and node.args
    }
    for node in nodes_of(tree):
        if isinstance(node, ast.Constant) and node.value in ENDPOINTS and id(node) not in linked:
            yield str(node.value)


def redirects(tree: ast.AST) -> Iterator[str]:
    """Yield the endpoints that a module redirects to, directly or with a variable."""
    targets = [node for node in nodes_of(tree) if isinstance(node, ast.Call) and named(node.func) == "see_other"]
    variables = {node.id for call in targets for node in ast.walk(call) if isinstance(node, ast.Name)}
    assigned = [
        node.value
        for node in nodes_of(tree)
        if isinstance(node, ast.Assign) and any(named(target) in variables for target in node.targets)
    ]
    for node in [*targets, *assigned]:
        for call in ast.walk(node):
            match call:
                case ast.Call(func=func, args=[ast.Constant(value=str() as endpoint), *_]):
                    if named(func).rpartition(".")[2] in _URLS:
                        yield endpoint


def returned(tree: ast.AST) -> Iterator[str]:
    """Yield the steps whose URLs a function returns, for a redirect elsewhere."""
    for node in nodes_of(tree):
        match node:
            case ast.Return(value=ast.Call(func=func, args=[ast.Constant(value=str() as endpoint), *_])):
                if endpoint in ENDPOINTS and named(func).rpartition(".")[2] in _URLS:
                    yield endpoint


def package_of(path: Path) -> str:
    return "/".join(shown(path).split("/")[:2])


@cache
def blueprints(package: str) -> frozenset[str]:
    return frozenset(
        str(node.args[0].value)
        for path in modules("idp")
        if package_of(path) == package
        for node in nodes_of(parsed(path))
        if isinstance(node, ast.Call) and named(node.func) == "Blueprint" and isinstance(node.args[0], ast.Constant)
    )


def test_no_module_but_the_journey_lists_steps() -> None:
    matches = [(shown(path), step) for path in modules("idp") if shown(path) != HOME for step in in_lists(parsed(path))]
    assert matches == []


def test_no_slice_redirects_to_a_page_of_another_slice() -> None:
    matches = {
        (shown(path), endpoint)
        for path in modules("idp")
        for endpoint in (*redirects(parsed(path)), *returned(parsed(path)))
        if endpoint.partition(".")[0] not in blueprints(package_of(path))
    }
    assert matches == set(LEADS_ELSEWHERE)


@each_row(
    ("text", "steps", "endpoints"),
    [
        ('_DECLINED = {"login.sign_in": "the person did not sign in"}', ["login.sign_in"], []),
        ('if step.endpoint == "charter.show": pass', ["charter.show"], []),
        ('see_other(store.page_url("activation.activate", started))', [], ["activation.activate"]),
        ('see_other(url_for("a.b") if found else url_for("c.d"))', [], ["a.b", "c.d"]),
        ('target = page_url("a.b")\nsee_other(target)', [], ["a.b"]),
        ("see_other(store.resume_url(started))", [], []),
    ],
)
def test_a_second_order_would_be_seen(text: str, steps: list[str], endpoints: list[str]) -> None:
    assert (list(in_lists(ast.parse(text))), list(redirects(ast.parse(text)))) == (steps, endpoints)


def test_a_returned_url_of_a_step_would_be_seen() -> None:
    tree = ast.parse(
        'def f():\n    return store.page_url("charter.show", started)\n\n\nreturn url_for("my_account.show")'
    )
    assert list(returned(tree)) == ["charter.show"]
