"""Closed people whom a school file, an added letter or an erasure touches: what everybody sees after each step.

`test_decisions` says what these stories are for.
"""

from collections.abc import Sequence

import pytest

from tests.closings.families import (
    ALSO_NOEMIE,
    BOTH,
    FAMILY,
    HUGO,
    INES,
    MALO,
    NAMESAKE,
    NOEMIE,
    PAUL,
    RENAMED,
    RENUMBERED,
    TOM,
    WITHOUT_PAUL_AT_THE_COLLEGE,
    ZOE,
)
from tests.closings.steps import (
    activate,
    add_letter,
    after_each_step,
    call,
    close,
    erase,
    file,
    later,
    letter,
    reopen,
    settle,
)
from tests.closings.world import HEAD, OTHER_HEAD, Step, Then, World, enters, stopped, then

STORIES: dict[str, Sequence[Step | Then]] = {
    "an excluded guardian returns in a file and the head admits them": [
        file(BOTH),
        activate(PAUL),
        call(PAUL, MALO),
        then(settle(PAUL, "raison", by=HEAD), enters(PAUL, "Zoé", "head@college"), mails="lien_fini"),
        then(file(WITHOUT_PAUL_AT_THE_COLLEGE), enters(PAUL, "Zoé")),
        then(file(BOTH), enters(PAUL, "Zoé", "head@college"), notices="guardian_waits@college"),
        then(settle(PAUL, "autre", by=HEAD), enters(PAUL, "Malo Zoé")),
    ],
    "an excluded guardian returns in a file and the head keeps them out": [
        file(BOTH),
        activate(PAUL),
        call(PAUL, MALO),
        settle(PAUL, "raison", by=HEAD),
        file(WITHOUT_PAUL_AT_THE_COLLEGE),
        then(file(BOTH), enters(PAUL, "Zoé", "head@college"), notices="guardian_waits@college"),
        then(settle(PAUL, "refus", by=HEAD), enters(PAUL, "Zoé", "head@college")),
        then(file(BOTH), enters(PAUL, "Zoé", "head@college")),
        then(reopen(PAUL), enters(PAUL, "Malo Zoé")),
    ],
    "another school reopens an account, and a file names the guardian again to the school that closed it": [
        file(BOTH),
        activate(PAUL),
        then(close(PAUL), stopped(PAUL, "suspended", "head@college"), mails="compte_suspendu"),
        file(WITHOUT_PAUL_AT_THE_COLLEGE),
        then(reopen(PAUL, by=OTHER_HEAD), enters(PAUL, "Zoé"), mails="compte_rouvert"),
        then(file(BOTH), enters(PAUL, "Zoé", "head@college"), notices="guardian_waits@college"),
        then(file(BOTH), enters(PAUL, "Zoé", "head@college"), notices="guardian_waits@college"),
        then(settle(PAUL, "autre", by=HEAD), enters(PAUL, "Malo Zoé")),
    ],
    "a file names a closed guardian again before another school reopens": [
        file(BOTH),
        activate(PAUL),
        close(PAUL),
        file(WITHOUT_PAUL_AT_THE_COLLEGE),
        then(file(BOTH), stopped(PAUL, "suspended", "head@college"), notices="closing_passed_on@lycee"),
        then(reopen(PAUL), enters(PAUL, "Malo Zoé"), mails="compte_rouvert"),
    ],
    "a namesake of a closed person comes to another pupil of the school": [
        file(FAMILY),
        activate(PAUL),
        then(close(PAUL, child=MALO), stopped(PAUL, "tie closed", "head@college", recovers=True), mails="acces_ferme"),
        then(
            file({MALO: [NOEMIE, PAUL], ZOE: [NOEMIE], INES: [NAMESAKE]}),
            stopped(PAUL, "tie closed", "head@college", recovers=True),
            stopped(NAMESAKE, "refused", "head@college"),
            notices="guardian_waits@college",
        ),
        then(settle(NAMESAKE, "autre", by=HEAD), stopped(NAMESAKE, "refused")),
        then(letter(NAMESAKE), stopped(NAMESAKE, "letter")),
    ],
    "a new guardian of a pupil with a closing waits": [
        file(FAMILY),
        activate(PAUL),
        then(close(PAUL, child=MALO), stopped(PAUL, "tie closed", "head@college", recovers=True), mails="acces_ferme"),
        then(
            file({MALO: [NOEMIE, PAUL, HUGO], ZOE: [NOEMIE]}),
            stopped(PAUL, "tie closed", "head@college", recovers=True),
            stopped(HUGO, "refused", "head@college"),
            notices="guardian_waits@college",
        ),
        then(letter(HUGO), stopped(HUGO, "refused", "head@college"), notices="guardian_waits@college"),
        then(settle(HUGO, "autre", by=HEAD), stopped(HUGO, "refused")),
        then(activate(HUGO), stopped(PAUL, "tie closed", "head@college", recovers=True), enters(HUGO, "Malo")),
    ],
    "a pupil with a closing comes under a new number": [
        file(FAMILY),
        activate(NOEMIE, PAUL),
        then(close(PAUL, child=MALO), stopped(PAUL, "tie closed", "head@college", recovers=True), mails="acces_ferme"),
        then(
            file({RENUMBERED: [NOEMIE, PAUL], ZOE: [NOEMIE]}),
            enters(NOEMIE, "Zoé", "head@college"),
            stopped(PAUL, "no child here", "head@college", recovers=True),
            notices="guardian_waits@college guardian_waits@college",
        ),
        then(
            settle(NOEMIE, "autre", by=HEAD),
            enters(NOEMIE, "Malo Zoé"),
            stopped(PAUL, "no child here", "head@college", recovers=True),
            notices="guardian_waits@college",
        ),
        then(settle(PAUL, "refus", by=HEAD), stopped(PAUL, "tie closed", "head@college", recovers=True)),
        then(reopen(PAUL), enters(PAUL, "Malo")),
    ],
    "a closed guardian is renamed in a file": [
        file(FAMILY),
        activate(PAUL),
        then(close(PAUL, child=MALO), stopped(PAUL, "tie closed", "head@college", recovers=True), mails="acces_ferme"),
        then(
            file({MALO: [NOEMIE, RENAMED], ZOE: [NOEMIE]}), stopped(PAUL, "tie closed", "head@college", recovers=True)
        ),
        then(
            file({MALO: [NOEMIE, NAMESAKE], ZOE: [NOEMIE]}),
            stopped(PAUL, "refused", "head@college"),
            stopped(NAMESAKE, "refused", "head@college"),
            notices="guardian_waits@college",
        ),
        then(settle(NAMESAKE, "refus", by=HEAD), stopped(NAMESAKE, "refused", "head@college")),
    ],
    "a pupil leaves and returns": [
        file(FAMILY),
        activate(PAUL),
        then(close(PAUL, child=MALO), stopped(PAUL, "tie closed", "head@college", recovers=True), mails="acces_ferme"),
        then(file({ZOE: [NOEMIE]}), stopped(PAUL, "refused", "head@college")),
        then(later(30), stopped(PAUL, "refused", "head@college")),
        then(file(FAMILY), stopped(PAUL, "tie closed", "head@college", recovers=True)),
        then(reopen(PAUL), enters(PAUL, "Malo")),
    ],
    "a letter of an account with a closed tie is added, and the school says no": [
        file({MALO: [NOEMIE], ZOE: [ALSO_NOEMIE], TOM: [ALSO_NOEMIE]}),
        activate(NOEMIE),
        then(close(ALSO_NOEMIE, by=OTHER_HEAD, child=ZOE), enters(NOEMIE, "Malo")),
        then(add_letter(NOEMIE, ALSO_NOEMIE), enters(NOEMIE, "Malo"), notices="letter_doubt@lycee"),
        then(
            settle(ALSO_NOEMIE, "meme-personne", by=OTHER_HEAD),
            enters(NOEMIE, "Malo Tom", "head@lycee"),
            mails="courrier_ajoute",
        ),
        then(
            settle(ALSO_NOEMIE, "deux-personnes", by=OTHER_HEAD, kind="letter_doubt"),
            enters(NOEMIE, "Malo"),
            mails="courrier_retire",
        ),
        then(letter(ALSO_NOEMIE), enters(NOEMIE, "Malo"), stopped(ALSO_NOEMIE, "letter", "head@lycee")),
    ],
    "a letter is added to an account with a closed tie, and the school says no": [
        file({MALO: [NOEMIE], INES: [NOEMIE], ZOE: [ALSO_NOEMIE]}),
        activate(NOEMIE),
        then(close(NOEMIE, child=MALO), enters(NOEMIE, "Inès", "head@college"), mails="acces_ferme"),
        then(add_letter(NOEMIE, ALSO_NOEMIE), enters(NOEMIE, "Inès", "head@college"), notices="letter_doubt@lycee"),
        then(
            settle(ALSO_NOEMIE, "meme-personne", by=OTHER_HEAD),
            enters(NOEMIE, "Inès Zoé", "head@college"),
            mails="courrier_ajoute",
        ),
        then(
            settle(ALSO_NOEMIE, "deux-personnes", by=OTHER_HEAD, kind="letter_doubt"),
            enters(NOEMIE, "Inès", "head@college"),
            mails="courrier_retire",
        ),
        then(reopen(NOEMIE), enters(NOEMIE, "Inès Malo")),
    ],
    "a child of an added letter is closed, and the school says no": [
        file({MALO: [NOEMIE], ZOE: [ALSO_NOEMIE], TOM: [ALSO_NOEMIE]}),
        activate(NOEMIE),
        add_letter(NOEMIE, ALSO_NOEMIE),
        settle(ALSO_NOEMIE, "meme-personne", by=OTHER_HEAD),
        then(close(NOEMIE, by=OTHER_HEAD, child=ZOE), enters(NOEMIE, "Malo Tom", "head@lycee"), mails="acces_ferme"),
        then(
            settle(ALSO_NOEMIE, "deux-personnes", by=OTHER_HEAD, kind="letter_doubt"),
            enters(NOEMIE, "Malo"),
            mails="courrier_retire",
        ),
        then(letter(ALSO_NOEMIE), stopped(ALSO_NOEMIE, "letter", "head@lycee")),
        then(reopen(ALSO_NOEMIE, by=OTHER_HEAD), stopped(ALSO_NOEMIE, "letter")),
        then(activate(ALSO_NOEMIE), enters(ALSO_NOEMIE, "Tom Zoé")),
    ],
    "a closed person is erased and comes back under another number": [
        file(FAMILY),
        activate(PAUL),
        then(close(PAUL, child=MALO), stopped(PAUL, "tie closed", "head@college", recovers=True), mails="acces_ferme"),
        then(erase(PAUL)),
        then(
            file({MALO: [NOEMIE, NAMESAKE], ZOE: [NOEMIE]}),
            stopped(NAMESAKE, "refused", "head@college"),
            notices="guardian_waits@college",
        ),
        then(settle(NAMESAKE, "refus", by=HEAD), stopped(NAMESAKE, "refused", "head@college")),
    ],
}


@pytest.mark.parametrize("title", STORIES)
def test_no_file_and_no_letter_opens_what_is_closed(world: World, title: str) -> None:
    for seen, expected in after_each_step(world, STORIES[title]):
        assert seen == expected
