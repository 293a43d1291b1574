"""The people of the stories, as the school files name them."""

from dataclasses import replace

from tests.builders import LYCEE
from tests.rostering.aaf_school import Parent, Pupil

NOEMIE = Parent("9101", "Noémie", "LEROY")
PAUL = Parent("9102", "Paul", "MARTIN", civility="M.", street="9 rue du Port")
HUGO = Parent("9104", "Hugo", "PETIT", civility="M.", street="3 rue Haute")
NAMESAKE = replace(PAUL, key="9105", street="7 quai Nord")
"""A person with the names of Paul, or Paul under another number: the files do not tell."""
RENAMED = replace(PAUL, family="MARTINEZ")
ALSO_NOEMIE = replace(NOEMIE, key="9103", street="12 rue Neuve")
"""Noémie's second number, with an account of its own."""

MALO = Pupil("9201", "Malo", "LEROY")
RENUMBERED = replace(MALO, key="9299")
INES = Pupil("9203", "Inès", "ROUX")
ZOE = Pupil("9202", "Zoé", "LEROY", uai=LYCEE)
TOM = Pupil("9204", "Tom", "LEROY", uai=LYCEE)

MOTHERS = {MALO: [NOEMIE], ZOE: [NOEMIE]}
FAMILY = {MALO: [NOEMIE, PAUL], ZOE: [NOEMIE]}
BOTH = {MALO: [NOEMIE, PAUL], ZOE: [NOEMIE, PAUL]}
WITHOUT_PAUL_AT_THE_COLLEGE = {MALO: [NOEMIE], ZOE: [NOEMIE, PAUL]}
