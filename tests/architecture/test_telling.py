"""Each sentence of a page or a mail about a notification has a test that proves the notification."""

import ast
import re
from collections.abc import Iterator

import pytest
from jinja2 import Environment, nodes

from idp.app import create_app
from idp.paths import CHECKOUT
from tests.architecture.told import SENTENCES
from tests.architecture.tree import PRODUCT, modules, named, nodes_of, parsed, templates
from tests.databases import NOWHERE, settings_for
from tests.rows import each_row

pytestmark = pytest.mark.row("S-08")

_TELLS = re.compile(
    r"prévien|prévenu|\bavertis?\b|\bavertie?s?\b|\bsignalée?s?\b|\binformée?s?\b|\bDites-le\b|\bdites-le\b"
    r"|[Nn]ous l[ea]? ?(?:disons|dirons|écrivons)|au courant|\bsera (?:dit|su)\b|recevra un mail",
)
_TRANSLATES = {"_", "_l", "gettext", "ngettext", "lazy_gettext"}


@pytest.fixture(scope="module")
def environment() -> Environment:
    return create_app(settings_for(NOWHERE)).jinja_env


def in_templates(environment: Environment) -> Iterator[str]:
    for path in (*templates(".html"), *templates(".txt")):
        if path.parent.name == "demo":
            continue
        for call in environment.parse(path.read_text(encoding="utf-8")).find_all(nodes.Call):
            if isinstance(call.node, nodes.Name) and call.node.name in _TRANSLATES:
                yield from (text.value for text in call.args if isinstance(text, nodes.Const))


def in_python() -> Iterator[str]:
    for path in modules(*PRODUCT):
        for node in nodes_of(parsed(path)):
            if isinstance(node, ast.Call) and named(node.func) in _TRANSLATES:
                yield from (a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str))


def test_every_sentence_about_telling_somebody_has_its_proof(environment: Environment) -> None:
    sentences = {text for text in (*in_templates(environment), *in_python()) if isinstance(text, str)}
    assert len(sentences) > 300, "a check of nothing would always pass"
    telling = {text for text in sentences if _TELLS.search(text)}
    assert sorted(telling - SENTENCES.keys()) == [], "name the test that proves it in `told.py`"
    assert sorted(SENTENCES.keys() - telling) == [], "this sentence is on no page any more"


@each_row("proof", sorted(set(SENTENCES.values())))
def test_every_proof_is_a_test(proof: str) -> None:
    file, _, name = proof.partition("::")
    functions = {node.name for node in nodes_of(parsed(CHECKOUT / file)) if isinstance(node, ast.FunctionDef)}
    assert name in functions
    assert name.startswith("test_")


@each_row(
    "sentence",
    [
        "L’établissement est prévenu.",
        "Un mail vous prévient.",
        "Dites-le au secrétariat.",
        "C’est signalé.",
        "Nous le disons à l’ENT.",
        "Le rectorat est au courant.",
    ],
)
def test_a_new_sentence_would_be_seen(sentence: str) -> None:
    assert _TELLS.search(sentence)


@each_row("sentence", ["Prévenez le secrétariat.", "Vous signalez une erreur.", "Signaler une difficulté"])
def test_a_request_to_the_reader_is_no_such_sentence(sentence: str) -> None:
    assert not _TELLS.search(sentence)
