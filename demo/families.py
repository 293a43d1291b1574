"""The invented school year: three schools, two dozen families, forty guardians, each with a letter.

Neither the people nor Rivebelle exist; telephone numbers come from the range reserved for fiction (03 53 01). Names are
written as in a school's file, including difficult ones, since an ENT compares them letter by letter. There are no
identifiers here: the import draws them. `aaf_files` and `siecle_files` write these families as the schools' files.
"""

from dataclasses import dataclass, replace

MOTHER, FATHER, TUTOR, OTHER_RELATIVE = "10", "20", "50", "39"
"""Kinship codes of the schools' files: mère, père, tuteur, autre membre de la famille."""
LEGAL, TO_CONTACT = "1", "3"
"""Authority over a pupil in the schools' files: représentant légal, personne à contacter."""
AAF, SIECLE = "aaf", "siecle"
"""The format of a school's file: one for each school, since two formats number the same person differently."""


@dataclass(frozen=True)
class DemoHome:
    """A postal address, as printed in the window of an envelope."""

    lines: tuple[str, ...]
    postcode: str = "59990"
    city: str = "Rivebelle"


@dataclass(frozen=True)
class DemoSchool:
    """A school of the demonstration. Its UAI has a valid control letter and a serial number that no real school has.

    `source` is the format of its file: `AAF` or `SIECLE`; `kind` is the AAF's word for the type of school.
    """

    uai: str
    name: str
    home: DemoHome
    phone: str
    source: str = SIECLE
    kind: str = ""

    @property
    def postal_address(self) -> tuple[str, ...]:
        """The lines of its postal address, the town last."""
        return (*self.home.lines, f"{self.home.postcode} {self.home.city}")


@dataclass(frozen=True)
class DemoChild:
    """A pupil; `student_id` is SIECLE's ELEVE_ID. A child without a class, or that `has_left`, brings no account."""

    student_id: str
    given_name: str
    family_name: str
    school: DemoSchool
    class_name: str
    has_left: bool = False


@dataclass(frozen=True)
class DemoGuardian:
    """A person in a school's file. `remark` says why this letter is worth trying."""

    civility: str
    given_name: str
    family_name: str
    kinship: str
    home: DemoHome
    children: tuple[DemoChild, ...]
    key: str = ""
    """The person's number in the file, which never changes."""
    birth_name: str = ""
    authority: str = LEGAL
    remark: str = ""
    school_email: str = ""
    """The address in the school's file, which nobody has confirmed."""

    @property
    def source(self) -> str:
        """The format of the file of the children's schools."""
        return self.children[0].school.source

    @property
    def roster_key(self) -> str:
        """The key of the person in imports."""
        return f"{self.source}:{self.key}"


COLLEGE = DemoSchool("0599001N", "Collège des Tilleuls", DemoHome(("12 rue des Tilleuls",)), "03 53 01 40 40")
LYCEE = DemoSchool("0599002P", "Lycée Louise-Weber", DemoHome(("3 place du Kiosque",)), "03 53 01 50 50")
PROFESSIONAL_LYCEE = DemoSchool(
    "0599003R",
    "Lycée professionnel Rosa-Bonheur",
    DemoHome(("21 rue des Ateliers",)),
    "03 53 01 60 60",
    AAF,
    "LYCEE PROFESSIONNEL",
)
SCHOOLS = (COLLEGE, LYCEE, PROFESSIONAL_LYCEE)
ACADEMY = "Académie des Deux-Rives"

_CHILDREN = (
    # (key, given name, family name, school, class); the key is used below only
    ("malo", "Malo", "LEROY", COLLEGE, "6e 1"),
    ("ines", "Inès", "HADDAD", COLLEGE, "4e 2"),
    ("yanis", "Yanis", "HADDAD", LYCEE, "2de 4"),
    ("emma", "Emma", "MARCHAND", COLLEGE, "5e 3"),
    ("lucas", "Lucas", "PERRIN", LYCEE, "1re G2"),
    ("eloise", "Éloïse", "D’ALMEIDA-GONÇALVES", COLLEGE, "3e 1"),
    ("zoe", "Zoé", "LEFÈVRE-ÑÚÑEZ", LYCEE, "Tle G1"),
    ("nolan", "Nolan", "O'BRIEN", COLLEGE, "6e 2"),
    ("ilyes", "إلياس", "بن يوسف", LYCEE, "2de 1"),
    ("deniz", "Deniz", "Yılmaz", COLLEGE, "5e 1"),
    ("cunegonde", "Cunégonde-Apolline", "DE LA ROCHE-SAINT-ANDRÉ DU PLESSIS-BELLIÈVRE", LYCEE, "1re STMG 1"),
    ("minh-anh", "Minh-Anh", "NGUYEN", COLLEGE, "4e 1"),
    ("aminata", "Aminata", "TRAORÉ", LYCEE, "2de 3"),
    ("zuzanna", "Zuzanna", "KOWALSKA", COLLEGE, "6e 3"),
    ("hugo", "Hugo", "DUBOIS", COLLEGE, "3e 2"),
    ("tiago", "Tiago", "DA SILVA", PROFESSIONAL_LYCEE, "Tle MELEC"),
    ("jeanne", "Jeanne", "MOREAU", COLLEGE, "6e 1"),
    ("paul", "Paul", "PETIT", COLLEGE, "5e 2"),
    ("rose", "Rose", "PETIT", COLLEGE, "3e 3"),
    ("louise", "Louise", "PETIT", LYCEE, "1re G1"),
    ("sander", "Sander", "VAN DER MEERSCH", LYCEE, "2de 2"),
    ("clement", "Clément", "GARNIER", COLLEGE, "4e 3"),
    ("sofiane", "Sofiane", "BENALI", PROFESSIONAL_LYCEE, "2de MTNE 1"),
    ("anna", "Anna", "SCHMITT", COLLEGE, "5e 3"),
    ("gaspard", "Gaspard", "ROUSSEAU", PROFESSIONAL_LYCEE, "1re MELEC"),
    # pupils without a class, and pupils who left in this school year: their families get no letter
    ("basile", "Basile", "FONTAINE", COLLEGE, ""),
    ("nael", "Naël", "CARPENTIER", LYCEE, "2de 2"),
    # brothers and sisters: with them, the collège has the twenty-one pupils that `school_file` speaks of
    ("maeve", "Maeve", "O'BRIEN", COLLEGE, "3e 1"),
    ("killian", "Killian", "O'BRIEN", COLLEGE, "4e 2"),
    ("thao", "Thao", "NGUYEN", COLLEGE, "6e 2"),
    ("duc", "Duc", "NGUYEN", COLLEGE, "3e 3"),
    ("jan", "Jan", "KOWALSKI", COLLEGE, "4e 3"),
    ("simon", "Simon", "MOREAU", COLLEGE, "4e 1"),
    ("theo", "Théo", "SCHMITT", COLLEGE, "3e 2"),
)
_LEFT = "nael"
_BY_KEY = {
    key: DemoChild(str(701001 + rank), given, family, school, class_name, has_left=key == _LEFT)
    for rank, (key, given, family, school, class_name) in enumerate(_CHILDREN)
}


def _of(*keys: str) -> tuple[DemoChild, ...]:
    return tuple(_BY_KEY[key] for key in keys)


def _household(
    home: DemoHome,
    children: tuple[DemoChild, ...],
    *people: tuple[str, str, str, str],
    remark: str = "",
    school_email: str = "",
) -> list[DemoGuardian]:
    return [DemoGuardian(*person, home, children, remark=remark, school_email=school_email) for person in people]


_REMARKABLE = [
    DemoGuardian(
        "Mme",
        "Noémie",
        "LEROY-VANDEPUTTE",
        MOTHER,
        DemoHome(("Appartement 12", "Bâtiment B", "1 rue du Test")),
        _of("malo"),
        birth_name="VANDEPUTTE",
        remark="one child at the collège; will give the same mail address as Karim",
    ),
    DemoGuardian(
        "M.",
        "Karim",
        "LEROY",
        FATHER,
        DemoHome(("Appartement 12", "Bâtiment B", "1 rue du Test")),
        _of("malo"),
        remark="Malo's other parent; will give the same mail address as Noémie",
    ),
    *_household(
        DemoHome(("8 allée des Saules",)),
        _of("ines", "yanis"),
        ("Mme", "Samia", "HADDAD", MOTHER),
        remark="two children, one at the collège, one at the lycée: one account, two ENTs",
    ),
    *_household(
        DemoHome(("12 quai du Halage",)),
        _of("emma"),
        ("Mme", "Claire", "BLANC", MOTHER),
        remark="Emma's mother, separated from Julien: two addresses, two letters",
    ),
    *_household(
        DemoHome(("27 rue du Moulin Rouge",), "59991", "Saint-Vaast-sur-Lune"),
        _of("emma"),
        ("M.", "Julien", "MARCHAND", FATHER),
        remark="Emma's father, separated from Claire",
    ),
    *_household(
        DemoHome(("Résidence des Glycines", "5 rue Haute")),
        _of("lucas"),
        ("M.", "André", "DELATTRE", TUTOR),
        remark="tutor of Lucas PERRIN, with another name; the school knows the mail address",
        school_email="andre.delattre@exemple.test",
    ),
    *_household(
        DemoHome(("44 rue de l’Écluse",)),
        _of("eloise"),
        ("Mme", "Anaïs-Noëlle", "D’ALMEIDA-GONÇALVES", MOTHER),
        remark="apostrophe, hyphen and accents in the name",
    ),
    *_household(
        DemoHome(("6 impasse du Verger",), "59992", "Valdoux"),
        _of("ilyes"),
        ("Mme", "لطيفة", "بن يوسف", MOTHER),
        remark="name in Arabic script",
    ),
    *_household(
        DemoHome(("19 rue de la Filature",)),
        _of("deniz"),
        ("Mme", "İpek", "Yılmaz", MOTHER),
        remark="Turkish name, with İ and ı",
    ),
    *_household(
        DemoHome(
            (
                "Château de la Roche-Saint-André",
                "Dépendances du Vieux Colombier",
                "1200 chemin des Longues Haies de Bellièvre",
                "Lieu-dit le Plessis",
            ),
            "59992",
            "Valdoux",
        ),
        _of("cunegonde"),
        (
            "Mme",
            "Marie-Antoinette-Joséphine-Clémentine",
            "DE LA ROCHE-SAINT-ANDRÉ DU PLESSIS-BELLIÈVRE",
            MOTHER,
        ),
        remark="a very long name and address",
    ),
]

_OTHERS = [
    *_household(DemoHome(("8 allée des Saules",)), _of("ines", "yanis"), ("M.", "Farid", "HADDAD", FATHER)),
    *_household(
        DemoHome(("31 rue Basse",)),
        _of("zoe"),
        ("Mme", "Sofía", "LEFÈVRE-ÑÚÑEZ", MOTHER),
        ("M.", "Étienne", "LEFÈVRE", FATHER),
    ),
    *_household(
        DemoHome(("2 place du Marché",)),
        _of("nolan", "maeve", "killian"),
        ("M.", "Patrick", "O'BRIEN", FATHER),
        ("Mme", "Maëlle", "O'BRIEN LE GOFF", MOTHER),
    ),
    *_household(DemoHome(("19 rue de la Filature",)), _of("deniz"), ("M.", "Oğuz", "Yılmaz", FATHER)),
    *_household(
        DemoHome(("Appartement 3", "14 boulevard de la Gare")),
        _of("minh-anh", "thao", "duc"),
        ("Mme", "Thi Lan", "NGUYEN", MOTHER),
        ("M.", "Minh", "NGUYEN", FATHER),
    ),
    *_household(
        DemoHome(("Appartement 41", "Tour Vauban", "9 avenue des Sports")),
        _of("aminata"),
        ("Mme", "Fatoumata", "TRAORÉ", MOTHER),
        ("M.", "Bakary", "TRAORÉ", FATHER),
    ),
    *_household(
        DemoHome(("55 rue des Houblonnières",), "59991", "Saint-Vaast-sur-Lune"),
        _of("zuzanna", "jan"),
        ("Mme", "Agnieszka", "KOWALSKA", MOTHER),
        ("M.", "Piotr", "KOWALSKI", FATHER),
    ),
    DemoGuardian(
        "Mme",
        "Sandrine",
        "DUBOIS",
        MOTHER,
        DemoHome(("7 rue du Four à Chaux",)),
        _of("hugo"),
        birth_name="ROUSSEAU",
        remark="two letters for one person at one address: Gaspard's lycée knows the birth name, ROUSSEAU",
    ),
    *_household(DemoHome(("7 rue du Four à Chaux",)), _of("hugo"), ("M.", "Laurent", "DUBOIS", FATHER)),
    *_household(
        DemoHome(("22 rue du Pont-Canal",)),
        _of("tiago"),
        ("Mme", "Maria de Fátima", "DA SILVA", MOTHER),
        ("M.", "João", "DA SILVA", FATHER),
    ),
    *_household(
        DemoHome(("10 square Olympe",)),
        _of("jeanne", "simon"),
        ("Mme", "Camille", "MOREAU", MOTHER),
        ("Mme", "Hélène", "MOREAU", MOTHER),
    ),
    *_household(
        DemoHome(("3 chemin de la Briqueterie",), "59992", "Valdoux"),
        _of("paul", "rose", "louise"),
        ("Mme", "Véronique", "PETIT", MOTHER),
        ("M.", "Thierry", "PETIT", FATHER),
    ),
    *_household(
        DemoHome(("18 quai aux Grains",)),
        _of("sander"),
        ("Mme", "Lieve", "VAN DER MEERSCH", MOTHER),
        ("M.", "Wout", "VAN DER MEERSCH", FATHER),
    ),
    *_household(
        DemoHome(("1 bis rue de la Poste",)),
        _of("clement"),
        ("Mme", "Nathalie", "GARNIER", MOTHER),
        ("M.", "François-Xavier", "GARNIER", FATHER),
    ),
    *_household(
        DemoHome(("Appartement 8", "Résidence du Parc", "60 avenue du Général")),
        _of("sofiane"),
        ("Mme", "Nadia", "BENALI", MOTHER),
        ("M.", "Rachid", "BENALI", FATHER),
    ),
    *_household(
        DemoHome(("39 rue des Maraîchers",)),
        _of("anna", "theo"),
        ("Mme", "Ursula", "SCHMITT", MOTHER),
        ("M.", "Didier", "SCHMITT", FATHER),
    ),
    *_household(DemoHome(("7 rue du Four à Chaux",)), _of("gaspard"), ("Mme", "Sandrine", "ROUSSEAU", MOTHER)),
    *_household(DemoHome(("73 route de Valdoux",)), _of("gaspard"), ("M.", "Benoît", "ROUSSEAU", FATHER)),
]

_WITHOUT_LETTER = [
    DemoGuardian(
        "Mme",
        "Odette",
        "LEROY",
        OTHER_RELATIVE,
        DemoHome(("2 impasse du Lavoir",)),
        _of("malo"),
        authority=TO_CONTACT,
    ),
    *_household(DemoHome(("16 rue de l’Écluse",)), _of("basile"), ("Mme", "Aurore", "FONTAINE", MOTHER)),
    *_household(DemoHome(("5 rue du Moulin",)), _of("nael"), ("M.", "Régis", "CARPENTIER", FATHER)),
]

CHILDREN = tuple(_BY_KEY.values())
RESPONSIBLES = tuple(
    replace(guardian, key=str(9100001 + rank))
    for rank, guardian in enumerate([*_REMARKABLE, *_OTHERS, *_WITHOUT_LETTER])
)
GUARDIANS = RESPONSIBLES[: -len(_WITHOUT_LETTER)]
"""The forty people who get a letter, the remarkable ones first."""
