"""Histoires : un téléphone qui reste connecté, qu'on copie, ou que l'on déconnecte d'un autre appareil."""

from datetime import timedelta

from playwright.sync_api import Page, expect
from sqlalchemy import create_engine, select, update

from idp.sessions.models import DeviceSession, Session
from tests.stories.browser import follow, look
from tests.stories.gestes import (
    NEW_PASSWORD,
    a_un_compte,
    accepte_la_charte,
    choisit_parent,
    donne_son_adresse,
    entre_dans_son_compte,
    ferme_le_navigateur,
    ouvre_la_connexion,
    se_connecte,
    titre,
)
from tests.stories.site import Site

EMAIL = "samia.haddad@exemple.fr"
_MOMENTS: dict[type[Session | DeviceSession], tuple[str, ...]] = {
    Session: ("auth_time", "created_at", "last_seen_at", "expires_at"),
    DeviceSession: ("auth_time", "created_at", "rotated_at", "expires_at"),
}


def le_temps_passe(site: Site, heures: int) -> None:
    """Recule tous les moments des sessions, comme si des heures avaient passé."""
    engine = create_engine(site.settings.database_url)
    with engine.begin() as connection:
        for model, names in _MOMENTS.items():
            for row in connection.execute(select(model.id, *(getattr(model, name) for name in names))).all():
                moments = {name: getattr(row, name) - timedelta(hours=heures) for name in names}
                connection.execute(update(model).where(model.id == row.id).values(**moments))
    engine.dispose()


def reste_connectee(phone: Page, site: Site) -> None:
    samia = a_un_compte(phone, site, "s.haddad", EMAIL)
    ouvre_la_connexion(phone, site)
    choisit_parent(phone)
    phone.get_by_label("Rester connecté sur cet appareil").check()
    se_connecte(phone, samia, NEW_PASSWORD)
    accepte_la_charte(phone)
    donne_son_adresse(phone, EMAIL)
    site.wait_for_subject(EMAIL, "Un appareil reste connecté")


def test_le_telephone_entre_sans_mot_de_passe_jusqu_a_ce_qu_on_le_deconnecte_d_ailleurs(
    phone: Page, other_device: Page, site: Site
) -> None:
    reste_connectee(phone, site)
    ferme_le_navigateur(phone)
    le_temps_passe(site, heures=13)
    ouvre_la_connexion(phone, site)
    expect(phone.get_by_role("heading", level=1)).to_contain_text("Bienvenue")
    phone.goto(f"{site.settings.issuer}/mon-compte")
    titre(phone, "Confirmez que c’est vous")

    entre_dans_son_compte(other_device, site, "s.haddad")
    other_device.goto(f"{site.settings.issuer}/mon-compte/sessions")
    expect(other_device.get_by_text("Cet appareil reste connecté jusqu’au")).to_be_visible()
    look(other_device)
    follow(other_device.get_by_role("button", name="Déconnecter").first)
    expect(other_device.get_by_text("L’appareil est déconnecté.")).to_be_visible()
    expect(other_device.get_by_text("Cet appareil reste connecté jusqu’au")).to_have_count(0)
    ferme_le_navigateur(phone)
    ouvre_la_connexion(phone, site)
    titre(phone, "Connexion")
