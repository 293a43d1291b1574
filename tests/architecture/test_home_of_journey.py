"""Only `idp.journey.STEPS` has the order of the steps: a package redirects to `resume_url` and names no other step."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from idp.journey import STEPS
from tests.architecture.tree import modules, named, nodes_of, parsed, shown
from tests.rows import each_row

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
