"""Templates: translated texts, one title for each page, proofs of what they tell, and nothing that is used no more."""

import ast
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from jinja2 import Environment, nodes

from demo.catcher import create_webmail
from demo.mailbox import Mailbox
from idp.app import create_app
from idp.desk.statistics.figures import STATES
from idp.paths import CHECKOUT, TEMPLATES
from tests.architecture.tree import PRODUCT, modules, named, nodes_of, pages, parsed, shown, templates
from tests.databases import NOWHERE, settings_for
from tests.rows import each_row

_TRANSLATES = {"_", "gettext", "ngettext", "plurals"}
_SPOKEN = re.compile(r"\b(?:alt|aria-label|aria-description|placeholder|title|summary)\s*=\s*([\"'])(.*?)\1", re.DOTALL)
_WORD = re.compile(r"[^\W\d_]{2,}")
_ATTRIBUTE = re.compile(r"[\w-]+=\"[^\"]*\"")  # a macro may output attributes without their tag
_PLACEHOLDER = re.compile(r"%\((\w+)\)s")
_HOLE = "\x00"


@pytest.fixture(scope="module")
def environments(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Environment]:
    """The Jinja environment of the service and of the demonstration's mail page."""
    service = create_app(settings_for(NOWHERE))
    webmail = create_webmail(Mailbox(tmp_path_factory.mktemp("mails")))
    return {"service": service.jinja_env, "demo": webmail.jinja_env}


def environment(environments: dict[str, Environment], path: Path) -> Environment:
    return environments["demo" if path.parent.name == "demo" else "service"]


@each_row("path", [*templates(".html"), *templates(".txt")])
def test_every_template_compiles(environments: dict[str, Environment], path: Path) -> None:
    environment(environments, path).get_template(path.relative_to(TEMPLATES).as_posix())


@each_row("path", pages())
def test_every_page_extends_the_layout_and_has_a_title_that_its_heading_repeats(
    environments: dict[str, Environment], path: Path
) -> None:
    tree = environment(environments, path).parse(path.read_text(encoding="utf-8"))
    [extended] = tree.find_all(nodes.Extends)
    assert isinstance(extended.template, nodes.Const)
    assert extended.template.value == ("demo/demo.html" if path.parent.name == "demo" else "layout.html")
    blocks = {block.name: block for block in tree.find_all(nodes.Block)}
    parts = list(blocks["title"].find_all((nodes.Call, nodes.Getattr, nodes.Filter)))
    assert parts, "a title that says something"
    assert list(blocks["card"].find_all(nodes.Output))
    assert "<h1>" in path.read_text(encoding="utf-8")


def bare(source: str) -> list[str]:
    """Return the untranslated words in the output of a template."""
    without = re.sub(r"{#.*?#}", "", source, flags=re.DOTALL)
    text = re.sub(r"{{.*?}}|{%.*?%}", _HOLE, without, flags=re.DOTALL)
    spoken = [match.group(2) for match in _SPOKEN.finditer(text)]
    visible = re.sub(r"<!--.*?-->|<(?:script|style)\b.*?</(?:script|style)>|<[^>]*>", " ", text, flags=re.DOTALL)
    return [
        word
        for part in (*spoken, visible)
        for word in _WORD.findall(unescape(_ATTRIBUTE.sub(" ", part)).replace(_HOLE, " "))
    ]


@each_row("path", [*templates(".html"), *templates(".txt")])
def test_every_word_on_a_page_can_be_translated(path: Path) -> None:
    assert bare(path.read_text(encoding="utf-8")) == []


@each_row(
    ("source", "words"),
    [
        ("<p>Bonjour</p>", ["Bonjour"]),
        ("<p>{{ _('Bonjour') }}</p>", []),
        ('<a href="{{ url }}" title="Aide">{{ _("x") }}</a>', ["Aide"]),
        ("{% if a > b %}Oui{% endif %}", ["Oui"]),
        ("{# une note #}<!-- une autre --><b class='gros'>{{ name }}</b> : ", []),
        ("<p>&eacute;t&eacute;</p>", ["été"]),
    ],
)
def test_a_bare_word_would_be_seen(source: str, words: list[str]) -> None:
    assert bare(source) == words


@each_row("path", [*templates(".html"), *templates(".txt")])
def test_a_translated_text_is_a_whole_literal_sentence(environments: dict[str, Environment], path: Path) -> None:
    tree = environment(environments, path).parse(path.read_text(encoding="utf-8"))
    for call in tree.find_all(nodes.Call):
        if not (isinstance(call.node, nodes.Name) and call.node.name in _TRANSLATES):
            continue
        where = f"{shown(path)}:{call.lineno}"
        texts = call.args[:2] if call.node.name == "ngettext" else call.args[:1]
        assert texts, where
        for text in texts:
            assert isinstance(text, nodes.Const), f"{where}: extraction reads literals only"
            assert not re.search(r"\w'\w", text.value), f"{where}: the apostrophe is ’"
            given = {pair.key for pair in call.kwargs}
            assert set(_PLACEHOLDER.findall(text.value)) <= given | ({"n", "num"} if len(texts) > 1 else set()), where


_FORM = re.compile(r"<form\b[^>]*method=\"post\"[^>]*>")


@each_row("path", pages())
def test_no_form_posts_to_the_address_of_another_form_of_its_page(path: Path) -> None:
    forms = _FORM.findall(path.read_text(encoding="utf-8"))
    assert len({"action=" in form for form in forms}) <= 1, path.name


@each_row("path", pages())
def test_a_page_with_a_new_password_an_email_field_or_a_wait_has_their_script(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    needs = re.search(r"k\.(?:mail_field|shown_password)\(|data-poll", source)
    assert ("asset('typing.js')" in source) == bool(needs)


STATIC = CHECKOUT / "idp" / "static"
BY_CODE = {f"s-{state.value}" for state in STATES}
"""The classes of states, which the code puts together."""
_IMPORTED = re.compile(r"{%-?\s*import \"([^\"]+)\" as (\w+)")
_INCLUDED = re.compile(r"{%-?\s*include \"([^\"]+)\"")
_MACRO = re.compile(r"{%-?\s*macro\s+(\w+)\(")
_SELECTOR = re.compile(r"([^{}]+){")
_CLASS = re.compile(r"\.([a-zA-Z][\w-]*)")
_CLASS_ATTRIBUTE = re.compile(r"class=(?:\"([^\"]*)\"|'([^']*)')")
_STRING = re.compile(r"'([\w -]+)'")
_CLASS_WORD = re.compile(r"[\w-]+")


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def every(suffixes: tuple[str, ...] = (".html", ".txt")) -> str:
    return "\n".join(text(path) for suffix in suffixes for path in templates(suffix))


def code() -> str:
    return "\n".join(text(path) for path in modules("idp", "demo"))


def unused_imports(source: str) -> Iterator[str]:
    """Yield the names of imported macros that neither a template nor a part uses, or that stand for two files."""
    parts = [source, *(text(TEMPLATES / name) for name in _INCLUDED.findall(source))]
    names = [alias for _, alias in _IMPORTED.findall(source)]
    for alias in set(names):
        if names.count(alias) > 1 or not any(re.search(rf"\b{alias}\.", part) for part in parts):
            yield alias


def unused_classes(css: str, used: set[str]) -> set[str]:
    without = re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL)
    return {name for selector in _SELECTOR.findall(without) for name in _CLASS.findall(selector)} - used


def test_every_template_is_rendered_or_included() -> None:
    sources = every() + code()
    assert [
        shown(path)
        for path in templates()
        if not re.search(rf"[\"'/]{re.escape(path.stem)}(?:\.html)?[\"']", sources)
        and "mail" not in path.relative_to(TEMPLATES).parts
    ] == []


def test_every_import_of_macros_is_used() -> None:
    assert {shown(path): names for path in templates() if (names := list(unused_imports(text(path))))} == {}


def test_every_macro_is_called() -> None:
    sources = every()
    macros = [(shown(path), name) for path in templates() for name in _MACRO.findall(text(path))]
    assert len(macros) > 50
    called = set(re.findall(r"(?<!macro )\b(\w+)\(", sources))
    assert [macro for macro in macros if macro[1] not in called] == []


def test_every_class_of_the_style_sheets_is_on_a_page() -> None:
    sources = every((".html",))
    strings = [a or b for a, b in _CLASS_ATTRIBUTE.findall(sources)] + _STRING.findall(sources)
    used = {name for string in strings for name in _CLASS_WORD.findall(string)} | BY_CODE
    used |= {name for path in STATIC.glob("*.js") for name in _CLASS_WORD.findall(text(path))}
    assert {sheet: unused_classes(text(STATIC / sheet), used) for sheet in ("base.css", "desk.css")} == {
        "base.css": set(),
        "desk.css": set(),
    }


@each_row(
    ("source", "names"),
    [
        ('{% import "macros/kit.html" as k %}{{ k.csrf() }}', []),
        ('{% import "macros/kit.html" as k %}<p>k</p>', ["k"]),
        ('{% import "macros/kit.html" as k %}{% import "macros/ent.html" as k %}{{ k.csrf() }}', ["k"]),
        ('{% import "macros/kit.html" as k %}{% include "desk/jobs/_fichier.html" %}', []),
    ],
)
def test_an_unused_import_would_be_seen(source: str, names: list[str]) -> None:
    assert list(unused_imports(source)) == names


def test_an_unused_class_would_be_seen() -> None:
    assert unused_classes("/* .told { */ .acts .bar, .card > p { margin: 0; }", {"acts", "card"}) == {"bar"}


_PAGES = "tests/web/test_telling.py"
_SCHOOLS = f"{_PAGES}::test_page_promises_a_notice_for_schools_with_an_address_alone"
_CONTEST = "tests/email_confirmation/test_contest.py"
_CONTEST_SHARED = "tests/email_confirmation/test_contest.py"

SENTENCES = {
    "L’établissement sera prévenu par mail : %(schools)s.": (f"{_PAGES}::test_promised_notice_is_sent_to_the_school"),
    "L’établissement sera prévenu par mail.": (
        f"{_PAGES}::test_stopped_change_of_address_page_names_the_notified_schools"
    ),
    "Les établissements seront prévenus par mail : %(schools)s.": _SCHOOLS,
    "Les établissements seront prévenus par mail.": _SCHOOLS,
    "Dites-le au secrétariat : %(where)s.": f"{_PAGES}::test_promised_notice_is_sent_to_the_school",
    "Ce n’est pas vous ? Quelqu’un a peut-être ouvert votre courrier. Dites-le ici :": (
        "tests/email_confirmation/test_other_mailboxes.py::test_link_reports_to_the_school_once_and_gives_no_control"
    ),
    "Ensuite : un mail prévient aussi votre ancienne adresse.": (
        f"{_PAGES}::test_former_mailbox_is_notified_of_a_change_of_address"
    ),
    "Nos messages arrivent maintenant à cette adresse. Un mail prévient aussi l’ancienne.": (
        f"{_PAGES}::test_former_mailbox_is_notified_of_a_change_of_address"
    ),
    "Un mail vous prévient.": f"{_PAGES}::test_mail_is_promised_only_to_accounts_with_an_address",
    "Par sécurité, tous vos appareils ont été déconnectés et un mail vous prévient du changement.": (
        f"{_PAGES}::test_new_password_after_recovery_sends_a_mail"
    ),
    "Nous le disons maintenant aux ENT que vous avez ouverts et qui le demandent.": (
        "tests/protocol/test_frontchannel.py::test_only_ents_of_this_session_that_registered_an_address_are_loaded"
    ),
    "Quelqu’un a signalé que l’adresse mail du compte avait changé sans son accord. "
    "Personne n’entre dans le compte tant que l’établissement n’a pas décidé quelle adresse est la bonne.": (
        f"{_CONTEST}::test_an_applied_change_that_is_contested_closes_the_account"
    ),
    "Quelqu’un a signalé ne pas être le représentant légal de l’élève. "
    "Personne n’entre dans le compte tant que l’établissement n’a pas décidé.": (
        "tests/commands/test_disputed_ties.py::test_a_disputed_account_is_closed_for_every_school"
    ),
    "Le %(day)s à %(hour)s, quelqu’un a signalé avec le lien « Ce n’était pas moi » que l’adresse mail du compte "
    "%(username)s avait changé sans son accord.": (f"{_CONTEST}::test_both_mailboxes_get_instructions_and_no_link"),
    "Quelqu’un a signalé que l’adresse mail du compte avait changé sans son accord. "
    "L’adresse ne peut plus changer tant que l’établissement n’a pas décidé laquelle est la bonne.": (
        f"{_CONTEST_SHARED}::test_an_alarm_of_a_shared_mailbox_leaves_the_password_and_closes_the_rest"
    ),
    "Le changement est signalé": (
        f"{_CONTEST_SHARED}::test_an_alarm_of_a_shared_mailbox_leaves_the_password_and_closes_the_rest"
    ),
    "Ce courrier a été signalé": (
        "tests/commands/test_disputed_ties.py::test_a_disputed_account_is_closed_for_every_school"
    ),
    "Avec ce courrier, quelqu’un a signalé ne pas être le représentant légal de l’élève. Le courrier ne sert plus.": (
        "tests/commands/test_disputed_ties.py::test_a_disputed_account_is_closed_for_every_school"
    ),
    "Dites-le au secrétariat de l’établissement de votre enfant.": (
        "tests/protocol/test_audience.py::test_a_person_without_children_is_told_so"
    ),
    "Un établissement n’est pas dans la liste ? Dites-le à son secrétariat.": (
        "tests/protocol/test_audience.py::test_a_school_without_an_ent_is_named"
    ),
    "Le premier lien ne marchera plus. Un nouveau message partira à cette adresse, et un mail préviendra l’ancienne.": (
        "tests/email_confirmation/test_change.py::test_the_chosen_password_corrects_the_address_and_the_abandoned_mailbox_is_notified"
    ),
    "Appareil perdu ou volé ? Retirez sa clé ici. Un mail vous prévient de chaque clé ajoutée ou retirée.": (
        "tests/my_account/test_passkeys.py::test_the_mails_say_what_happened_and_where"
    ),
    "Pour ajouter une clé d’accès, il faut d’abord une adresse mail confirmée : un mail vous prévient de chaque clé.": (
        "tests/my_account/test_passkeys.py::test_no_key_is_added_where_no_mail_can_tell"
    ),
    "C’est fait : les fichiers sont refusés, et le secrétariat est prévenu.": (
        "tests/desk/test_files_that_wait.py::test_the_author_of_declined_files_gets_a_mail"
    ),
    "Un mail prévient la personne, sans le motif.": (
        "tests/desk/test_suspension.py::test_a_suspended_account_says_first_and_afterwards_what_ends"
    ),
    "Un mail prévient la personne, car quelqu’un d’autre peut appeler en son nom.": (
        "tests/desk/test_calls.py::test_a_call_about_a_wrong_child_is_a_dispute_and_says_who_took_it"
    ),
    "La personne sera prévenue par mail : %(emails)s.": (
        "tests/desk/test_letter.py::test_the_letter_of_an_active_account_ends_its_password_and_tells_its_owner"
    ),
    "Votre fichier ajoute %(name)s aux responsables de %(children)s. %(name)s a accès. Un responsable de "
    "cet élève utilise déjà son compte : s’il a une adresse mail, il est prévenu, sans le nom de la personne.": (
        "tests/rostering/test_consequences.py::test_a_guardian_added_beside_an_active_one_is_told_once_to_both"
    ),
}


_TELLS = re.compile(
    r"prévien|prévenu|\bavertis?\b|\bavertie?s?\b|\bsignalée?s?\b|\binformée?s?\b|\bDites-le\b|\bdites-le\b"
    r"|[Nn]ous l[ea]? ?(?:disons|dirons|écrivons)|au courant|\bsera (?:dit|su)\b|recevra un mail",
)
_TRANSLATED = {"_", "_l", "gettext", "ngettext", "lazy_gettext"}


@pytest.fixture(scope="module")
def texts_environment() -> Environment:
    return create_app(settings_for(NOWHERE)).jinja_env


def in_templates(texts_environment: Environment) -> Iterator[str]:
    for path in (*templates(".html"), *templates(".txt")):
        if path.parent.name == "demo":
            continue
        for call in texts_environment.parse(path.read_text(encoding="utf-8")).find_all(nodes.Call):
            if isinstance(call.node, nodes.Name) and call.node.name in _TRANSLATED:
                yield from (text.value for text in call.args if isinstance(text, nodes.Const))


def in_python() -> Iterator[str]:
    for path in modules(*PRODUCT):
        for node in nodes_of(parsed(path)):
            if isinstance(node, ast.Call) and named(node.func) in _TRANSLATED:
                yield from (a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str))


@pytest.mark.row("S-08")
def test_every_sentence_about_telling_somebody_has_its_proof(texts_environment: Environment) -> None:
    sentences = {text for text in (*in_templates(texts_environment), *in_python()) if isinstance(text, str)}
    assert len(sentences) > 300, "a check of nothing would always pass"
    telling = {text for text in sentences if _TELLS.search(text)}
    assert sorted(telling - SENTENCES.keys()) == [], "name the test that proves it in `told.py`"
    assert sorted(SENTENCES.keys() - telling) == [], "this sentence is on no page any more"


@pytest.mark.row("S-08")
@each_row("proof", sorted(set(SENTENCES.values())))
def test_every_proof_is_a_test(proof: str) -> None:
    file, _, name = proof.partition("::")
    functions = {node.name for node in nodes_of(parsed(CHECKOUT / file)) if isinstance(node, ast.FunctionDef)}
    assert name in functions
    assert name.startswith("test_")


@pytest.mark.row("S-08")
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


@pytest.mark.row("S-08")
@each_row("sentence", ["Prévenez le secrétariat.", "Vous signalez une erreur.", "Signaler une difficulté"])
def test_a_request_to_the_reader_is_no_such_sentence(sentence: str) -> None:
    assert not _TELLS.search(sentence)
