"""Measures letters: pages a second on one core, password hashes a second on all cores, and the memory.

The product's own processes do both. A process that does nothing else (`measure`) starts them, so that the measured
memory is theirs. It has no main module, which the processes of a pool would import.
"""

import itertools
import json
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date

from bench import machine, process
from bench.academy.families import families
from bench.servers.product import settings_for
from idp.accounts.passwords.hasher import Hasher
from idp.letters import provisional
from idp.letters.provisional import BatchHasher
from idp.letters.render.pdf import Letter, LetterChild
from idp.letters.render.typesetting import Typesetter

LETTERS = 1_000
PAGES_A_SECOND = 150
"""The promise for one core."""
_HASHES = 200
_CLASS = 50
"""The number of letters in a file: those of a class and its parents."""


def run() -> tuple[list[str], list[str]]:
    """Measure; return the lines of the report, and the faults."""
    try:
        ended = process.run([sys.executable, "-c", "from bench import letters; letters.measure()"])
    except process.ProcessFailedError as failure:
        return [], [f"letters: {failure}"]
    figures = json.loads(ended.output)
    pages = (
        f"letters: {figures['pages']:,.0f} pages/s of PDF on one core, {figures['pages_of_cpu']:,.0f} in a second of"
        f" its time ({PAGES_A_SECOND} are promised): {LETTERS:,} letters in files of {_CLASS}, {ended.peak:,.0f} MB"
    )
    hashes = (
        f"letters: {figures['hashes']:,.0f} hashes/s on {figures['processes']} cores, {figures['hashes_of_cpu']:,.0f} "
        "in a second of one: argon2id bounds how fast letters are drawn"
    )
    return [pages, hashes], []


def measure() -> None:
    """Write, as JSON, hashes a second on all cores, pages a second on one, and both for a second of processor time."""
    mine = machine.cores()
    hasher = Hasher(settings_for("postgresql:///not-used", 8000))
    with BatchHasher(hasher) as batch_hasher:
        batch_hasher.hash([provisional.draw() for _ in range(10)])  # the processes are there now
        hashes = _timed(lambda: batch_hasher.hash([provisional.draw() for _ in range(_HASHES)]))
        processes = len(multiprocessing.active_children())
    hashing = _children()
    machine.pin(mine[0] if mine else None)
    letters = list(itertools.islice(_letters(), LETTERS))
    with Typesetter() as typesetter:
        typesetter.render(letters[:1])
        pages = _timed(lambda: [typesetter.render(letters[at : at + _CLASS]) for at in range(0, LETTERS, _CLASS)])
    measured = {
        "hashes": _HASHES / hashes,
        "hashes_of_cpu": _HASHES / hashing,
        "processes": processes,
        "pages": LETTERS / pages,
        "pages_of_cpu": LETTERS / (_children() - hashing),
    }
    sys.stdout.write(json.dumps(measured))


def _timed(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def _children() -> float:
    """Return the processor time of the started processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _letters() -> Iterator[Letter]:
    """Yield letters to the families of an académie."""
    for household in families(1, LETTERS * 2, 10):
        children = [LetterChild(pupil.given_name, pupil.class_name) for pupil in household.pupils]
        for person in household.people:
            home = person.postal_address
            name = f"{person.civility} {person.given_name} {person.family_name}"
            yield Letter(
                service_name="Connexion des familles",
                academy="Académie des Deux-Rives",
                town="Rivebelle",
                printed_on=date(2026, 9, 1),
                school_name=household.pupils[0].school.name,
                school_postal_address=["1 place de l’École", "59990 RIVEBELLE"],
                school_phone="03 53 01 12 12",
                recipient=[name, *home.lines, f"{home.postcode} {home.city}"],
                children=children,
                ent_url="https://ent.exemple.fr/",
                username=f"p.famille{person.key}",
                provisional_password=provisional.draw(),
                valid_until=date(2026, 10, 31),
                help_phone="03 53 01 12 12",
                dpo_mail="dpo@exemple.fr",
            )
