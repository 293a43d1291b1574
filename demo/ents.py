"""The two ENTs of the demonstration: their registrations and their charters."""

from dataclasses import dataclass
from pathlib import Path

from demo.families import COLLEGE, LYCEE, PROFESSIONAL_LYCEE, DemoSchool
from demo.folder import read_or_draw_secret

HOST = "127.0.0.1"
CHARTER_VERSION = "1"
SCOPES = ["openid", "profile", "email", "ent", "charter"]

_CHARTER = """\
## 1. À quoi sert {name}

{name} est l’espace en ligne {schools}. Vous y trouvez le travail à faire, les notes, les absences et les messages \
des enseignants.

## 2. Ce que nous vous demandons

- Gardez votre mot de passe pour vous, même en famille.
- Écrivez avec respect : les messages sont lus par des personnes.
- Ne publiez pas de photo ou d’information sur un enfant sans l’accord de ses parents.

## 3. Ce que fait l’établissement

Il tient {name} à jour, répond aux messages aux heures de service et corrige les erreurs que vous signalez.

## 4. Vos données

{name} reçoit votre nom, votre adresse mail et la liste de vos enfants dans l’établissement. Elles sont effacées dans \
les trois mois après la fin de la scolarité. Pour les consulter ou les corriger, écrivez au délégué à la protection \
des données.

## 5. En cas d’abus

L’établissement peut suspendre un accès. Il vous dit pourquoi, et comment le retrouver.
"""


@dataclass(frozen=True)
class DemoEnt:
    """An ENT of the demonstration: its schools, its port and its credentials."""

    client_id: str
    name: str
    schools: tuple[DemoSchool, ...]
    tagline: str
    accent: str
    port: int
    client_secret: str
    secret_key: str

    @property
    def url(self) -> str:
        """The ENT's origin, as browsers use it."""
        return f"http://{HOST}:{self.port}"

    @property
    def home(self) -> str:
        """The URL at which a person enters it, as letters print it."""
        return f"{self.url}/"

    @property
    def uais(self) -> list[str]:
        """The UAIs of its schools, in order."""
        return [school.uai for school in self.schools]

    @property
    def charter(self) -> str:
        """The text of its charter, in Markdown."""
        schools = " et ".join(f"du {school.name[:1].lower()}{school.name[1:]}" for school in self.schools)
        return _CHARTER.format(name=self.name, schools=schools)


def ents_at(port: int, folder: Path) -> tuple[DemoEnt, DemoEnt]:
    """Return the ENTs of the provider at `port`, on the next two ports. Their secrets are stored in `folder`."""

    def ent(offset: int, client_id: str, name: str, *schools: DemoSchool, tagline: str, accent: str) -> DemoEnt:
        return DemoEnt(
            client_id,
            name,
            schools,
            tagline,
            accent,
            port + offset,
            client_secret=read_or_draw_secret(folder / f"{client_id}.client-secret"),
            secret_key=read_or_draw_secret(folder / f"{client_id}.secret-key"),
        )

    return (
        ent(
            1,
            "passerelle",
            "Passerelle",
            COLLEGE,
            tagline="L’espace en ligne du collège des Tilleuls.",
            accent="aubergine",
        ),
        ent(
            2,
            "horizon-lycees",
            "Horizon Lycées",
            LYCEE,
            PROFESSIONAL_LYCEE,
            tagline="L’espace en ligne des lycées de Rivebelle.",
            accent="sapin",
        ),
    )
