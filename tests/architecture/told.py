"""Each sentence of a page or a mail about a notification, and the test that proves the notification.

`test_telling.py` fails for a new sentence without an entry, and for an entry whose sentence or test no longer exists.
"""

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
        "tests/email_confirmation/test_report.py::test_link_reports_to_the_school_once_and_gives_no_control"
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
        "tests/email_confirmation/test_correction.py::test_the_chosen_password_corrects_the_address_and_the_abandoned_mailbox_is_notified"
    ),
    "Appareil perdu ou volé ? Retirez sa clé ici. Un mail vous prévient de chaque clé ajoutée ou retirée.": (
        "tests/my_account/test_passkeys.py::test_the_mails_say_what_happened_and_where"
    ),
    "Pour ajouter une clé d’accès, il faut d’abord une adresse mail confirmée : un mail vous prévient de chaque clé.": (
        "tests/my_account/test_passkeys.py::test_no_key_is_added_where_no_mail_can_tell"
    ),
    "C’est fait : les fichiers sont refusés, et le secrétariat est prévenu.": (
        "tests/desk/test_files_that_wait.py::test_the_author_of_declined_files_gets_a_mail_until_the_reason_is_read"
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
        "tests/rostering/test_added_guardians.py::test_a_guardian_added_beside_an_active_one_is_told_once_to_both"
    ),
}
