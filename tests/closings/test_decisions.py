"""Families whose access people close and open: what everybody sees after each step.

The stories are the oracle of the tables that hold closings. They name what people do and see, by the words of
`tests.closings.steps`, and no column: another way to store closings changes that module and leaves the stories.
"""

from collections.abc import Sequence

import pytest

from tests.closings.families import BOTH, FAMILY, MALO, MOTHERS, NOEMIE, PAUL, WITHOUT_PAUL_AT_THE_COLLEGE, ZOE
from tests.closings.steps import (
    activate,
    after_each_step,
    call,
    close,
    contest,
    dispute,
    file,
    later,
    letter,
    reopen,
    reopen_by_engineer,
    settle,
    take_back,
)
from tests.closings.world import HEAD, HELP_DESK, OTHER_HEAD, SECRETARY, Step, Then, World, enters, stopped, then

STORIES: dict[str, Sequence[Step | Then]] = {
    "a school closes a whole account without an end": [
        file(FAMILY),
        activate(NOEMIE),
        then(
            close(NOEMIE, by=SECRETARY),
            stopped(NOEMIE, "suspended", "head@college"),
            notices="account_closed@college account_closed@lycee",
            mails="account_closed account_closed compte_suspendu",
        ),
        then(
            letter(NOEMIE, "demandé au guichet"),
            stopped(NOEMIE, "suspended", "head@college"),
            notices="account_closed@college account_closed@lycee",
        ),
        then(
            file(FAMILY),
            stopped(NOEMIE, "suspended", "head@college"),
            notices="account_closed@college account_closed@lycee",
        ),
        then(reopen(NOEMIE), enters(NOEMIE, "Malo Zoé"), mails="compte_rouvert"),
    ],
    "a school closes a whole account until a day": [
        file(FAMILY),
        activate(NOEMIE),
        then(close(NOEMIE, days=2), stopped(NOEMIE, "suspended", "head@college"), mails="compte_suspendu"),
        then(later(1), stopped(NOEMIE, "suspended", "head@college")),
        then(later(1), enters(NOEMIE, "Malo Zoé")),
    ],
    "one tie of two homes is closed": [
        file(BOTH),
        activate(NOEMIE, PAUL),
        then(
            close(PAUL, child=MALO),
            enters(NOEMIE, "Malo Zoé"),
            enters(PAUL, "Zoé", "head@college"),
            mails="acces_ferme",
        ),
        then(file(BOTH), enters(PAUL, "Zoé", "head@college")),
        then(reopen(PAUL), enters(PAUL, "Malo Zoé")),
    ],
    "a tie is closed until a day": [
        file(BOTH),
        activate(PAUL),
        then(close(PAUL, child=MALO, days=3), enters(PAUL, "Zoé", "head@college"), mails="acces_ferme"),
        then(later(3), enters(PAUL, "Malo Zoé")),
    ],
    "two schools close the same account": [
        file(FAMILY),
        activate(NOEMIE),
        then(close(NOEMIE), stopped(NOEMIE, "suspended", "head@college"), mails="compte_suspendu"),
        then(
            close(NOEMIE, by=OTHER_HEAD, days=5),
            stopped(NOEMIE, "suspended", "head@college head@lycee"),
            mails="compte_suspendu",
        ),
        then(reopen(NOEMIE), stopped(NOEMIE, "suspended", "head@lycee")),
        then(later(5), enters(NOEMIE, "Malo Zoé")),
    ],
    "the school that closed an account has no tie left": [
        file(FAMILY),
        activate(NOEMIE),
        then(close(NOEMIE), stopped(NOEMIE, "suspended", "head@college"), mails="compte_suspendu"),
        then(
            file({ZOE: [NOEMIE]}),
            stopped(NOEMIE, "suspended", "head@college head@lycee"),
            notices="closing_passed_on@lycee",
        ),
        then(reopen(NOEMIE, by=OTHER_HEAD), enters(NOEMIE, "Zoé"), mails="compte_rouvert"),
    ],
    "the reader of a letter taps by mistake, and the school rejects it": [
        file(FAMILY),
        then(
            dispute(PAUL, MALO),
            stopped(PAUL, "letter reported", "secretary@college head@college"),
            notices="not_guardian@college",
        ),
        then(settle(PAUL, "rejet"), stopped(PAUL, "refused")),
        then(letter(PAUL), stopped(PAUL, "letter")),
        then(activate(PAUL), enters(PAUL, "Malo")),
    ],
    "the reader of a letter is not the guardian, and the school confirms it": [
        file(FAMILY),
        then(
            dispute(PAUL, MALO),
            stopped(PAUL, "letter reported", "secretary@college head@college"),
            notices="not_guardian@college",
        ),
        then(settle(PAUL, "raison"), stopped(PAUL, "refused", "head@college")),
        then(file(FAMILY), stopped(PAUL, "refused", "head@college")),
        then(take_back(PAUL, MALO), stopped(PAUL, "refused")),
        then(letter(PAUL), stopped(PAUL, "letter")),
    ],
    "a file leaves a disputed tie out and brings it again": [
        file(BOTH),
        activate(PAUL),
        then(
            call(PAUL, MALO),
            stopped(PAUL, "disputed", "secretary@college head@college"),
            notices="not_guardian@college",
            mails="compte_conteste",
        ),
        then(
            file(WITHOUT_PAUL_AT_THE_COLLEGE),
            enters(PAUL, "Zoé", "secretary@college head@college"),
            notices="not_guardian@college",
        ),
        then(file(BOTH), stopped(PAUL, "disputed", "secretary@college head@college"), notices="not_guardian@college"),
        then(settle(PAUL, "rejet", by=HEAD), enters(PAUL, "Malo Zoé"), mails="lien_retabli"),
    ],
    "a call says that a child of two is not the own": [
        file(BOTH),
        activate(PAUL),
        then(
            call(PAUL, MALO),
            stopped(PAUL, "disputed", "secretary@college head@college"),
            notices="not_guardian@college",
            mails="compte_conteste",
        ),
        then(settle(PAUL, "raison", by=HEAD), enters(PAUL, "Zoé", "head@college"), mails="lien_fini"),
        then(later(8), enters(PAUL, "Zoé", "head@college")),
        then(take_back(PAUL, MALO), enters(PAUL, "Malo Zoé"), mails="lien_retabli"),
    ],
    "the owner of a mailbox keeps the new one": [
        file(FAMILY),
        activate(NOEMIE),
        then(
            contest(NOEMIE, "noemie@exemple.fr"),
            stopped(NOEMIE, "contested", "secretary@college head@college head@lycee"),
            notices="email_contested@college email_contested@lycee",
            mails="adresse_contestee adresse_contestee",
        ),
        then(settle(NOEMIE, "rejet"), stopped(NOEMIE, "renew", recovers=True), mails="adresse_ecartee adresse_gardee"),
    ],
    "the owner of a mailbox gets the former one back": [
        file(FAMILY),
        activate(NOEMIE),
        then(
            contest(NOEMIE, "voleur@exemple.fr"),
            stopped(NOEMIE, "contested", "secretary@college head@college head@lycee"),
            notices="email_contested@college email_contested@lycee",
            mails="adresse_contestee adresse_contestee",
        ),
        then(
            settle(NOEMIE, "raison", by=OTHER_HEAD),
            stopped(NOEMIE, "renew", recovers=True),
            mails="adresse_ecartee adresse_gardee",
        ),
    ],
    "a new letter ends the dispute about a mailbox": [
        file(FAMILY),
        activate(NOEMIE),
        then(
            contest(NOEMIE, "voleur@exemple.fr"),
            stopped(NOEMIE, "contested", "secretary@college head@college head@lycee"),
            notices="email_contested@college email_contested@lycee",
            mails="adresse_contestee adresse_contestee",
        ),
        then(
            letter(NOEMIE, "pièce vue"),
            stopped(NOEMIE, "letter", "secretary@college head@college head@lycee"),
            notices="email_contested@college email_contested@lycee",
            mails="courrier_refait courrier_refait",
        ),
        then(activate(NOEMIE), enters(NOEMIE, "Malo Zoé")),
    ],
    "a parent leaves a shared mailbox and keeps the new one": [
        file(FAMILY),
        activate(NOEMIE, PAUL, mailbox="famille@exemple.fr"),
        then(
            contest(NOEMIE, "noemie@exemple.fr"),
            enters(NOEMIE, "Malo Zoé", "secretary@college head@college head@lycee", recovers=False),
            enters(PAUL, "Malo"),
            notices="email_contested@college email_contested@lycee shared_mailbox@college",
            mails="adresse_signalee",
        ),
        then(
            settle(NOEMIE, "rejet"),
            enters(NOEMIE, "Malo Zoé"),
            notices="shared_mailbox@college",
            mails="adresse_ecartee adresse_gardee",
        ),
    ],
    "a parent leaves a shared mailbox and gets it back": [
        file(FAMILY),
        activate(NOEMIE, PAUL, mailbox="famille@exemple.fr"),
        then(
            contest(NOEMIE, "noemie@exemple.fr"),
            enters(NOEMIE, "Malo Zoé", "secretary@college head@college head@lycee", recovers=False),
            enters(PAUL, "Malo"),
            notices="email_contested@college email_contested@lycee shared_mailbox@college",
            mails="adresse_signalee",
        ),
        then(
            settle(NOEMIE, "raison"),
            stopped(NOEMIE, "renew", recovers=True),
            notices="shared_mailbox@college",
            mails="adresse_ecartee adresse_gardee",
        ),
    ],
    "an account is closed and disputed at once, and opened one by one": [
        file(FAMILY),
        activate(PAUL),
        then(close(PAUL), stopped(PAUL, "suspended", "head@college"), mails="compte_suspendu"),
        then(
            call(PAUL, MALO),
            stopped(PAUL, "suspended", "secretary@college head@college"),
            notices="not_guardian@college",
            mails="compte_conteste",
        ),
        then(settle(PAUL, "rejet", by=HEAD), stopped(PAUL, "suspended", "head@college")),
        then(reopen(PAUL), enters(PAUL, "Malo"), mails="compte_rouvert"),
    ],
    "an account is disputed, then closed; the closing ends first": [
        file(FAMILY),
        activate(PAUL),
        then(
            call(PAUL, MALO),
            stopped(PAUL, "disputed", "secretary@college head@college"),
            notices="not_guardian@college",
            mails="compte_conteste",
        ),
        then(
            close(PAUL),
            stopped(PAUL, "suspended", "secretary@college head@college"),
            notices="not_guardian@college",
            mails="compte_suspendu",
        ),
        then(
            reopen(PAUL),
            stopped(PAUL, "disputed", "secretary@college head@college"),
            notices="not_guardian@college",
            mails="compte_rouvert",
        ),
        then(settle(PAUL, "rejet", by=HEAD), enters(PAUL, "Malo"), mails="lien_retabli"),
    ],
    "the last pupil of a closed account leaves": [
        file(FAMILY),
        activate(PAUL),
        then(close(PAUL), stopped(PAUL, "suspended", "head@college"), mails="compte_suspendu"),
        then(file(MOTHERS), stopped(PAUL, "refused", "head@college")),
        then(reopen_by_engineer(PAUL), stopped(PAUL, "refused")),
        then(file(FAMILY), enters(PAUL, "Malo")),
    ],
    "an engineer reopens all that is closed": [
        file(BOTH),
        activate(PAUL),
        then(close(PAUL), stopped(PAUL, "suspended", "head@college"), mails="compte_suspendu"),
        then(close(PAUL, by=OTHER_HEAD, child=ZOE), stopped(PAUL, "suspended", "head@college head@lycee")),
        then(reopen_by_engineer(PAUL), enters(PAUL, "Malo Zoé"), mails="compte_rouvert"),
    ],
    "the help desk closes an account for a day": [
        file(FAMILY),
        activate(NOEMIE),
        then(
            close(NOEMIE, by=HELP_DESK),
            stopped(NOEMIE, "suspended", "head@college head@lycee"),
            mails="compte_suspendu",
        ),
        then(later(1), enters(NOEMIE, "Malo Zoé")),
    ],
}


@pytest.mark.parametrize("title", STORIES)
def test_what_people_close_and_open_is_seen(world: World, title: str) -> None:
    for seen, expected in after_each_step(world, STORIES[title]):
        assert seen == expected
