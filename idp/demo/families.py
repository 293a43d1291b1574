"""The invented school year: two schools, twenty-two families, forty guardians, each with a letter.

Nobody here exists, nor does Rivebelle; telephone numbers come from the range kept for fiction (03 53 01). Names are
written as a school's file would hold them, awkward ones included, since an ENT compares them letter by letter.
"""

from dataclasses import dataclass, replace

MOTHER, FATHER, TUTOR = "10", "20", "50"
"""Kinship codes of the schools' files: mère, père, tuteur."""


@dataclass(frozen=True)
class DemoSchool:
    """A school of the demonstration. Its UAI has a right control letter and a serial number that no school holds."""

    uai: str
    name: str
    address: tuple[str, ...]
    phone: str


@dataclass(frozen=True)
class DemoChild:
    """A pupil; `student_id` plays SIECLE's ELEVE_ID."""

    student_id: str
    given_name: str
    family_name: str
    uai: str
    class_name: str


@dataclass(frozen=True)
class DemoHome:
    """A postal address, as it stands in the window of an envelope."""

    lines: tuple[str, ...]
    postcode: str = "59990"
    city: str = "Rivebelle"


@dataclass(frozen=True)
class DemoGuardian:
    """A person who gets a letter. `remark` says, in French, why a visitor may want to try this one."""

    username: str
    civility: str
    given_name: str
    family_name: str
    kinship: str
    home: DemoHome
    children: tuple[DemoChild, ...]
    join_key: str = ""
    birth_name: str = ""
    remark: str = ""
    school_email: str = ""
    """The address in the school's file, that nobody has confirmed."""


COLLEGE = DemoSchool("0599001N", "Collège des Tilleuls", ("12 rue des Tilleuls", "59990 Rivebelle"), "03 53 01 40 40")
LYCEE = DemoSchool("0599002P", "Lycée Louise-Weber", ("3 place du Kiosque", "59990 Rivebelle"), "03 53 01 50 50")
SCHOOLS = (COLLEGE, LYCEE)
PLACE = "Rivebelle"
ACADEMY = "Académie des Deux-Rives"

_CHILDREN = (
    # (key, given name, family name, school, class); the key is only used just below
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
    ("tiago", "Tiago", "DA SILVA", LYCEE, "Tle STI2D 1"),
    ("jeanne", "Jeanne", "MOREAU", COLLEGE, "6e 1"),
    ("paul", "Paul", "PETIT", COLLEGE, "5e 2"),
    ("rose", "Rose", "PETIT", COLLEGE, "3e 3"),
    ("louise", "Louise", "PETIT", LYCEE, "1re G1"),
    ("sander", "Sander", "VAN DER MEERSCH", LYCEE, "2de 2"),
    ("clement", "Clément", "GARNIER", COLLEGE, "4e 3"),
    ("sofiane", "Sofiane", "BENALI", LYCEE, "Tle G2"),
    ("anna", "Anna", "SCHMITT", COLLEGE, "5e 3"),
    ("gaspard", "Gaspard", "ROUSSEAU", LYCEE, "1re G3"),
)
_BY_KEY = {
    key: DemoChild(str(701001 + rank), given, family, school.uai, class_name)
    for rank, (key, given, family, school, class_name) in enumerate(_CHILDREN)
}


def _of(*keys: str) -> tuple[DemoChild, ...]:
    return tuple(_BY_KEY[key] for key in keys)


def _household(
    home: DemoHome,
    children: tuple[DemoChild, ...],
    *people: tuple[str, str, str, str, str],
    remark: str = "",
    school_email: str = "",
) -> list[DemoGuardian]:
    """Return the guardians of one home; `people` are (username, civility, given name, family name, kinship)."""
    return [DemoGuardian(*person, home, children, remark=remark, school_email=school_email) for person in people]


_REMARKABLE = [
    DemoGuardian(
        "n.leroy4821",
        "Mme",
        "Noémie",
        "LEROY-VANDEPUTTE",
        MOTHER,
        DemoHome(("Appartement 12", "Bâtiment B", "1 rue du Test")),
        _of("malo"),
        birth_name="VANDEPUTTE",
        remark="un enfant au collège ; donnera la même adresse mail que Karim",
    ),
    DemoGuardian(
        "k.leroy1907",
        "M.",
        "Karim",
        "LEROY",
        FATHER,
        DemoHome(("Appartement 12", "Bâtiment B", "1 rue du Test")),
        _of("malo"),
        remark="l’autre parent de Malo ; donnera la même adresse mail que Noémie",
    ),
    *_household(
        DemoHome(("8 allée des Saules",)),
        _of("ines", "yanis"),
        ("s.haddad3350", "Mme", "Samia", "HADDAD", MOTHER),
        remark="deux enfants, un dans chaque établissement : un seul compte, deux ENT",
    ),
    *_household(
        DemoHome(("12 quai du Halage",)),
        _of("emma"),
        ("c.blanc6604", "Mme", "Claire", "BLANC", MOTHER),
        remark="mère d’Emma, séparée de Julien : deux adresses, deux lettres",
    ),
    *_household(
        DemoHome(("27 rue du Moulin Rouge",), "59991", "Saint-Vaast-sur-Lune"),
        _of("emma"),
        ("j.marchand2278", "M.", "Julien", "MARCHAND", FATHER),
        remark="père d’Emma, séparé de Claire",
    ),
    *_household(
        DemoHome(("Résidence des Glycines", "5 rue Haute")),
        _of("lucas"),
        ("a.delattre5093", "M.", "André", "DELATTRE", TUTOR),
        remark="tuteur de Lucas PERRIN, d’un autre nom que lui ; l’établissement connaît son adresse mail",
        school_email="andre.delattre@exemple.test",
    ),
    *_household(
        DemoHome(("44 rue de l’Écluse",)),
        _of("eloise"),
        ("a.dalmeida8146", "Mme", "Anaïs-Noëlle", "D’ALMEIDA-GONÇALVES", MOTHER),
        remark="apostrophe, trait d’union et accents dans le nom",
    ),
    *_household(
        DemoHome(("6 impasse du Verger",), "59992", "Valdoux"),
        _of("ilyes"),
        ("l.benyoussef2765", "Mme", "لطيفة", "بن يوسف", MOTHER),
        remark="nom en écriture arabe",
    ),
    *_household(
        DemoHome(("19 rue de la Filature",)),
        _of("deniz"),
        ("i.yilmaz4410", "Mme", "İpek", "Yılmaz", MOTHER),
        remark="nom turc, avec İ et ı",
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
            "m.delaroche1182",
            "Mme",
            "Marie-Antoinette-Joséphine-Clémentine",
            "DE LA ROCHE-SAINT-ANDRÉ DU PLESSIS-BELLIÈVRE",
            MOTHER,
        ),
        remark="un nom et une adresse très longs",
    ),
]

_OTHERS = [
    *_household(
        DemoHome(("8 allée des Saules",)), _of("ines", "yanis"), ("f.haddad7712", "M.", "Farid", "HADDAD", FATHER)
    ),
    *_household(
        DemoHome(("31 rue Basse",)),
        _of("zoe"),
        ("s.lefevre9037", "Mme", "Sofía", "LEFÈVRE-ÑÚÑEZ", MOTHER),
        ("e.lefevre2541", "M.", "Étienne", "LEFÈVRE", FATHER),
    ),
    *_household(
        DemoHome(("2 place du Marché",)),
        _of("nolan"),
        ("p.obrien6372", "M.", "Patrick", "O'BRIEN", FATHER),
        ("m.obrien5518", "Mme", "Maëlle", "O'BRIEN LE GOFF", MOTHER),
    ),
    *_household(DemoHome(("19 rue de la Filature",)), _of("deniz"), ("o.yilmaz7729", "M.", "Oğuz", "Yılmaz", FATHER)),
    *_household(
        DemoHome(("Appartement 3", "14 boulevard de la Gare")),
        _of("minh-anh"),
        ("l.nguyen3186", "Mme", "Thi Lan", "NGUYEN", MOTHER),
        ("m.nguyen8850", "M.", "Minh", "NGUYEN", FATHER),
    ),
    *_household(
        DemoHome(("Appartement 41", "Tour Vauban", "9 avenue des Sports")),
        _of("aminata"),
        ("f.traore4027", "Mme", "Fatoumata", "TRAORÉ", MOTHER),
        ("b.traore9693", "M.", "Bakary", "TRAORÉ", FATHER),
    ),
    *_household(
        DemoHome(("55 rue des Houblonnières",), "59991", "Saint-Vaast-sur-Lune"),
        _of("zuzanna"),
        ("a.kowalska7364", "Mme", "Agnieszka", "KOWALSKA", MOTHER),
        ("p.kowalski2908", "M.", "Piotr", "KOWALSKI", FATHER),
    ),
    DemoGuardian(
        "s.dubois5230",
        "Mme",
        "Sandrine",
        "DUBOIS",
        MOTHER,
        DemoHome(("7 rue du Four à Chaux",)),
        _of("hugo"),
        birth_name="ROUSSEAU",
        remark="deux courriers pour une personne : le lycée l’inscrit sous son nom de naissance (s.rousseau2814)",
    ),
    *_household(DemoHome(("7 rue du Four à Chaux",)), _of("hugo"), ("l.dubois8471", "M.", "Laurent", "DUBOIS", FATHER)),
    *_household(
        DemoHome(("22 rue du Pont-Canal",)),
        _of("tiago"),
        ("m.dasilva6159", "Mme", "Maria de Fátima", "DA SILVA", MOTHER),
        ("j.dasilva3743", "M.", "João", "DA SILVA", FATHER),
    ),
    *_household(
        DemoHome(("10 square Olympe",)),
        _of("jeanne"),
        ("c.moreau4982", "Mme", "Camille", "MOREAU", MOTHER),
        ("h.moreau1637", "Mme", "Hélène", "MOREAU", MOTHER),
    ),
    *_household(
        DemoHome(("3 chemin de la Briqueterie",), "59992", "Valdoux"),
        _of("paul", "rose", "louise"),
        ("v.petit2096", "Mme", "Véronique", "PETIT", MOTHER),
        ("t.petit7358", "M.", "Thierry", "PETIT", FATHER),
    ),
    *_household(
        DemoHome(("18 quai aux Grains",)),
        _of("sander"),
        ("l.vandermeersch6845", "Mme", "Lieve", "VAN DER MEERSCH", MOTHER),
        ("w.vandermeersch5017", "M.", "Wout", "VAN DER MEERSCH", FATHER),
    ),
    *_household(
        DemoHome(("1 bis rue de la Poste",)),
        _of("clement"),
        ("n.garnier3529", "Mme", "Nathalie", "GARNIER", MOTHER),
        ("f.garnier9281", "M.", "François-Xavier", "GARNIER", FATHER),
    ),
    *_household(
        DemoHome(("Appartement 8", "Résidence du Parc", "60 avenue du Général")),
        _of("sofiane"),
        ("n.benali8704", "Mme", "Nadia", "BENALI", MOTHER),
        ("r.benali4436", "M.", "Rachid", "BENALI", FATHER),
    ),
    *_household(
        DemoHome(("39 rue des Maraîchers",)),
        _of("anna"),
        ("u.schmitt1570", "Mme", "Ursula", "SCHMITT", MOTHER),
        ("d.schmitt6923", "M.", "Didier", "SCHMITT", FATHER),
    ),
    *_household(
        DemoHome(("73 route de Valdoux",)),
        _of("gaspard"),
        ("s.rousseau2814", "Mme", "Sandrine", "ROUSSEAU", MOTHER),
        ("b.rousseau7105", "M.", "Benoît", "ROUSSEAU", FATHER),
    ),
]

CHILDREN = tuple(_BY_KEY.values())
GUARDIANS = tuple(
    replace(guardian, join_key=str(9100001 + rank)) for rank, guardian in enumerate([*_REMARKABLE, *_OTHERS])
)
"""The forty, the remarkable ones first. Join keys follow the order, so a new guardian goes at the end."""
