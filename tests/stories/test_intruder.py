"""Histoires : quelqu'un d'autre s'en prend au compte, et le parent garde ou reprend la main."""

import re

from playwright.sync_api import Page, expect

from tests.stories.browser import follow, look
from tests.stories.gestes import (
    NEW_PASSWORD,
    OTHER_PASSWORD,
    a_un_compte,
    entre_dans_son_compte,
    lien_du_mail,
    se_connecte,
    titre,
)
from tests.stories.site import Site

OWN = "noemie.leroy@exemple.fr"
INTRUDER = "intrus@exemple.test"


def test_une_adresse_demandee_par_un_intrus_est_arretee_par_l_ancienne_boite(
    phone: Page, other_device: Page, site: Site
) -> None:
    noemie = a_un_compte(phone, site, "n.leroy", OWN)
    entre_dans_son_compte(other_device, site, noemie)  # l'intrus connaît le mot de passe
    follow(other_device.get_by_role("link", name="Changer mon adresse mail"))
    titre(other_device, "Changer mon adresse mail")
    other_device.get_by_label("Mot de passe actuel").fill(NEW_PASSWORD)
    other_device.get_by_label("Nouvelle adresse mail").fill(INTRUDER)
    follow(other_device.get_by_role("button", name="Enregistrer"))
    titre(other_device, "Changer mon adresse mail")

    phone.goto(lien_du_mail(site, OWN, 2, "Votre adresse mail va changer"))
    titre(phone, "Ce n’était pas vous ?")
    follow(phone.get_by_role("button", name="Arrêter le changement"))
    look(phone)
    # l'intrus est dehors, son lien est mort, le mot de passe qu'il connaît ne sert plus
    other_device.goto(f"{site.settings.issuer}/mon-compte")
    titre(other_device, "Connexion")
    se_connecte(other_device, noemie, NEW_PASSWORD)
    titre(other_device, "Choisissez un nouveau mot de passe")
    other_device.goto(lien_du_mail(site, INTRUDER, 1, site.mails(INTRUDER)[0]["subject"]))
    titre(other_device, "Ce lien ne marche plus")
    # le parent reprend la main par sa boîte
    phone.goto(lien_du_mail(site, OWN, 4, "Choisissez un nouveau mot de passe"))
    phone.get_by_label("Nouveau mot de passe").fill(OTHER_PASSWORD)
    follow(phone.get_by_role("button", name="Enregistrer"))
    titre(phone, "Votre mot de passe est changé")
    entre_dans_son_compte(phone, site, noemie, OTHER_PASSWORD)
    expect(phone.get_by_text(OWN)).to_be_visible()


def test_une_adresse_deja_changee_par_un_intrus_ne_lui_sert_a_rien(phone: Page, other_device: Page, site: Site) -> None:
    noemie = a_un_compte(phone, site, "n.leroy", OWN)
    entre_dans_son_compte(other_device, site, noemie)
    follow(other_device.get_by_role("link", name="Changer mon adresse mail"))
    other_device.get_by_label("Mot de passe actuel").fill(NEW_PASSWORD)
    other_device.get_by_label("Nouvelle adresse mail").fill(INTRUDER)
    follow(other_device.get_by_role("button", name="Enregistrer"))
    titre(other_device, "Changer mon adresse mail")
    site.wait_for_mail(OWN, 2)
    other_device.goto(lien_du_mail(site, INTRUDER, 1, site.wait_for_mail(INTRUDER)["subject"]))
    follow(other_device.get_by_role("button", name="Confirmer"))
    look(other_device)

    mail = site.wait_for_mail(OWN, 3)
    [lien] = set(re.findall(rf"{re.escape(site.settings.issuer)}/\S+", mail["text"]))
    phone.goto(lien)
    follow(phone.get_by_role("button", name="Signaler le changement"))
    titre(phone, "Le compte est fermé")
    other_device.goto(f"{site.settings.issuer}/mon-compte")
    titre(other_device, "Connexion")
    # personne ne reprend la main par mail, ni l'intrus ni l'ancienne boîte : l'école décide
    deja = {box: len(site.mails(box)) for box in (OWN, INTRUDER)}
    envoye, trop_tot = "Regardez votre messagerie", "Un peu de patience"
    for page, attendu in ((other_device, envoye), (phone, re.compile(f"{envoye}|{trop_tot}"))):
        page.goto(f"{site.settings.issuer}/mot-de-passe-oublie")
        page.get_by_label("Identifiant", exact=True).fill(noemie)
        follow(page.get_by_role("button", name="Recevoir un lien"))
        titre(page, attendu)
    phone.wait_for_timeout(3000)
    for box in (OWN, INTRUDER):
        new = site.mails(box)[deja[box] :]
        assert not [mail for mail in new if "/mot-de-passe/lien/" in mail["text"]]
