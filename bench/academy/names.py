"""Invented names, as varied as in a real school: accents, particles, apostrophes, hyphens, Turkish, Vietnamese.

A few names are frequent and most are rare, so that a school has homonyms. No two names become equal when they are
reduced to Latin-1, so that a file in Latin-1 still tells two pupils apart.
"""

from random import Random

_STEMS = (
    "BEL", "BOUR", "CHAR", "DUM", "FAV", "GAR", "GUILL", "HAMEL", "JOLI", "LAM", "LEF", "MOR", "PELL", "RENN", "SAUV",
    "TER", "VAND", "VIL", "WATT", "BRUN", "CARP", "DEL", "FONT", "GOSS", "HERB", "LANG", "MARCH", "NOLL", "PER", "QUEN",
    "ROUSS", "SENN", "TROUV", "VASS", "WALL", "CORM", "DESP", "FLAM",
)  # fmt: skip
_ENDINGS = ("IER", "EAU", "IN", "ET", "ARD", "EL", "ON", "AC", "OIS", "ELLE", "ERIE", "AULT", "ENTIN", "EVAL")
_RARE = (
    "LEROY", "D'ORVALLE", "DE LA SAUVAGÈRE", "LE GOFFEC", "VAN DER LINDEN", "VANDEPUTTE", "N'DOLÉ", "O'MALLORY",
    "de Brézelle", "DU PLESSIS D'ARGEL", "BEN SALHIM", "EL HADDARI", "ŞAHİNOĞLU", "ÇAĞDAŞ", "YILDIZAY", "GÜNEŞLİ",
    "NGUYỄN", "TRẦN VĂN", "ĐẶNG", "PHẠM-LÊ", "PEÑARUBIA", "MÜLLERHOFF", "ŁUKOMSKI", "GONÇALVÈS", "SAINT-ÉLOI",
    "LÉVÊQUE-AUBRY", "CŒURDELION", "Mac Allory", "DÍAZ DEL VALLE", "HAŸNEAU",
)  # fmt: skip
_WOMEN = (
    "Noémie", "Chloé", "Marie", "Anne-Lise", "Zoë", "Élise", "Inès", "Aïcha", "Camille", "Léa", "Marie-Ève", "Jeanne",
    "Lucie", "Fatou", "Salomé", "Ayşe", "Gülşen", "Thị Hương", "Bích Ngọc", "Maëlys", "Ambre", "Louise", "Anaïs",
    "Clémence", "Océane", "Yasmine", "Rosalie", "Inaya", "Mélodie", "Solène", "Garance", "Apolline", "Berthille",
    "Cécile", "Dorothée", "Eugénie", "Flavie", "Gaëlle", "Héloïse", "Irène", "Jade", "Karine", "Lila", "Margaux",
    "Nadège", "Ophélie", "Perrine", "Rokia", "Sidonie", "Tiphaine", "Ursule", "Victoire", "Wanda", "Ysaline", "Zélie",
    "Ana Lúcia", "Marie Françoise", "D'Jamila", "Alix", "Blanche", "Charline", "Delphine", "Edwige", "Faustine",
)  # fmt: skip
_MEN = (
    "Malo", "Gabriel", "Raphaël", "Jean-Baptiste", "Loïc", "Théo", "Hugo", "Mehdi", "Côme", "Étienne", "Jules", "Léon",
    "Ömer", "İlkay", "Đức", "Văn Minh", "Björn", "Anatole", "Basile", "Cyprien", "Désiré", "Edgar", "Félix", "Gaspard",
    "Honoré", "Ismaël", "Joseph", "Kévin", "Lubin", "Maxence", "Naïm", "Octave", "Pol", "Quentin", "Rémi", "Sacha",
    "Timéo", "Ulysse", "Victor", "Wassim", "Yanis", "Zacharie", "Jean Paul", "João", "Miłosz", "Aurèle", "Bastien",
    "Clovis", "Damien", "Elouan", "Firmin", "Grégoire", "Henri", "Ilyès", "Jérémie", "Lazare", "Marius", "Noé",
    "Oscar", "Pierre-Yves", "Romain", "Simon", "Tugdual", "Valère",
)  # fmt: skip
_FREQUENT = 40
"""The number of times that the most frequent name occurs; that of rank r occurs `_FREQUENT / r` times, rounded up."""


def _wheel(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for rank, name in enumerate(names, 1) for _ in range(-(-_FREQUENT // rank)))


def _spread(common: tuple[str, ...], rare: tuple[str, ...]) -> tuple[str, ...]:
    """Return the common names with the rare ones between them, so that not all rare names have a low rank."""
    step = 4
    mixed: list[str] = []
    for place, name in enumerate(common):
        mixed.append(name)
        if place % step == 0 and place // step < len(rare):
            mixed.append(rare[place // step])
    return tuple(mixed)


FAMILY_NAMES = _spread(tuple(stem + ending for ending in _ENDINGS for stem in _STEMS), _RARE)
GIVEN_NAMES = _WOMEN + _MEN
_FAMILIES = _wheel(FAMILY_NAMES)
_GIRLS = _wheel(_WOMEN)
_BOYS = _wheel(_MEN)
_DOUBLE = 0.06


def family_name(random: Random) -> str:
    """Draw a family name; six in a hundred are double-barrelled."""
    draw = random.random
    name = _FAMILIES[int(draw() * len(_FAMILIES))]
    if draw() < _DOUBLE:
        return f"{name}-{_FAMILIES[int(draw() * len(_FAMILIES))]}"
    return name


def given_name(random: Random, *, female: bool) -> str:
    """Draw a given name."""
    wheel = _GIRLS if female else _BOYS
    return wheel[int(random.random() * len(wheel))]
