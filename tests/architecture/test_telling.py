"""Each sentence of a page or a mail about a notification has a test that proves the notification."""

import ast
import re
from collections.abc import Iterator

import pytest
from jinja2 import Environment, nodes

from idp.app import create_app
from idp.paths import CHECKOUT
from tests.architecture.tree import PRODUCT, modules, named, nodes_of, parsed, templates
from tests.databases import NOWHERE, settings_for
from tests.rows import each_row

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
        "tests/rostering/test_removal.py::test_a_guardian_added_beside_an_active_one_is_told_once_to_both"
    ),
}


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


@pytest.mark.row("S-08")
def test_every_sentence_about_telling_somebody_has_its_proof(environment: Environment) -> None:
    sentences = {text for text in (*in_templates(environment), *in_python()) if isinstance(text, str)}
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
