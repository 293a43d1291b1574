"""Histoires : la vie du compte – deux courriers pour une personne, un mot de passe et une adresse que l'on change."""

from playwright.sync_api import Page, expect

from tests.stories.browser import follow
from tests.stories.gestes import (
    NEW_PASSWORD,
    OTHER_PASSWORD,
    a_un_compte,
    accepte_la_charte,
    confirme_une_adresse,
    donne_son_adresse,
    entre_dans_son_compte,
    lien_du_mail,
    ouvre_la_connexion,
    se_connecte,
    titre,
)
from tests.stories.site import Site

OWN = "sandrine@exemple.fr"


def test_deux_courriers_d_une_meme_personne_font_un_seul_compte(phone: Page, site: Site) -> None:
    a_un_compte(phone, site, "s.dubois", OWN)
    entre_dans_son_compte(phone, site, "s.dubois")
    expect(phone.get_by_text("Gaspard ROUSSEAU")).to_have_count(0)
    follow(phone.get_by_role("link", name="Ajouter un autre courrier"))
    courrier = site.letter("s.rousseau")
    phone.get_by_label("Identifiant").fill(courrier.username)
    phone.get_by_label("Mot de passe provisoire").fill(courrier.provisional_password)
    follow(phone.locator("main form button[type=submit]"))
    titre(phone, "Gérer mon compte")
    for child in ("Hugo DUBOIS", "Gaspard ROUSSEAU"):
        expect(phone.get_by_text(child)).to_be_visible()
    # l'ENT du lycée la connaît par le même compte, sans redemander le mot de passe
    ouvre_la_connexion(phone, site, ent=1)
    accepte_la_charte(phone)
    donne_son_adresse(phone, OWN)
    expect(phone.get_by_text("Gaspard").first).to_be_visible()
    # le second courrier ne sert plus
    phone.context.clear_cookies()
    phone.goto(f"{site.settings.issuer}/connexion")
    se_connecte(phone, courrier.username, courrier.provisional_password)
    expect(phone.get_by_text("Vous n’êtes pas connecté")).to_be_visible()


def test_le_courrier_d_un_autre_ne_s_ajoute_pas(phone: Page, site: Site) -> None:
    a_un_compte(phone, site, "s.dubois", OWN)
    entre_dans_son_compte(phone, site, "s.dubois")
    follow(phone.get_by_role("link", name="Ajouter un autre courrier"))
    courrier = site.letter("n.garnier")
    phone.get_by_label("Identifiant").fill(courrier.username)
    phone.get_by_label("Mot de passe provisoire").fill(courrier.provisional_password)
    follow(phone.locator("main form button[type=submit]"))
    expect(phone.get_by_text("secrétariat").first).to_be_visible()
    phone.goto(f"{site.settings.issuer}/mon-compte")
    expect(phone.get_by_text("Clément GARNIER")).to_have_count(0)
    # le courrier reste bon pour sa destinataire
    phone.context.clear_cookies()
    phone.goto(f"{site.settings.issuer}/connexion")
    se_connecte(phone, courrier.username, courrier.provisional_password)
    titre(phone, "Activez votre compte")


def test_le_mot_de_passe_change_et_l_autre_appareil_est_dehors(phone: Page, other_device: Page, site: Site) -> None:
    a_un_compte(phone, site, "s.haddad", "samia@exemple.fr")
    for page in (phone, other_device):
        entre_dans_son_compte(page, site, "s.haddad")
    follow(phone.get_by_role("link", name="Changer mon mot de passe"))
    titre(phone, "Changer mon mot de passe")
    phone.get_by_label("Mot de passe actuel").fill(NEW_PASSWORD)
    phone.get_by_label("Nouveau mot de passe").fill(OTHER_PASSWORD)
    follow(phone.get_by_role("button", name="Enregistrer"))
    titre(phone, "Gérer mon compte")
    other_device.goto(f"{site.settings.issuer}/mon-compte")
    titre(other_device, "Connexion")
    site.wait_for_subject("samia@exemple.fr", "Votre mot de passe a changé")
    entre_dans_son_compte(other_device, site, "s.haddad", OTHER_PASSWORD)


def test_l_adresse_change_quand_la_nouvelle_boite_a_repondu(phone: Page, site: Site) -> None:
    a_un_compte(phone, site, "c.blanc", "claire@exemple.fr")
    entre_dans_son_compte(phone, site, "c.blanc")
    follow(phone.get_by_role("link", name="Changer mon adresse mail"))
    phone.get_by_label("Mot de passe actuel").fill(NEW_PASSWORD)
    phone.get_by_label("Nouvelle adresse mail").fill("claire.neuve@exemple.fr")
    follow(phone.get_by_role("button", name="Enregistrer"))
    titre(phone, "Changer mon adresse mail")
    expect(phone.get_by_text("claire.neuve@exemple.fr")).to_be_visible()
    expect(phone.get_by_text("claire@exemple.fr", exact=True)).to_be_visible()
    neuve = "claire.neuve@exemple.fr"
    confirme_une_adresse(phone, lien_du_mail(site, neuve, 1, site.wait_for_mail(neuve)["subject"]))
    phone.goto(f"{site.settings.issuer}/mon-compte")
    expect(phone.get_by_text(neuve)).to_be_visible()
    assert site.wait_for_mail("claire@exemple.fr", 3)["subject"]
