"""Try three known vulnerabilities of 2026 on a running demonstration: `python -m tests.stories.three_bugs
var/demo/demo.json`. Each attack must fail; the script names those that succeed.

1. a forgotten password that is changed without opening the mail (CVE-2026-18963)
2. a first password set on an account that has none (CVE-2026-119128)
3. a link that confirms another address, or another account's, than the one it was sent to (CVE-2026-9087)
"""

import json
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests

OURS, THEIRS = "tasse vélo nuage citron", "pirate lampe orage bleu"


class Attacker:
    def __init__(self, demo: dict[str, Any]) -> None:
        self.issuer, self.mailbox, self.http = demo["issuer"], demo["mailbox"], requests.Session()

    def post(self, path: str, **fields: object) -> requests.Response:
        """Send a form of a page with its form token."""
        url = path if path.startswith("http") else self.issuer + path
        page = self.http.get(url, timeout=60)
        token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page.text)
        form = {"csrf_token": token[1] if token else "", **{k.replace("_", "-"): v for k, v in fields.items()}}
        return self.http.post(page.url, data=form, timeout=60)

    def link(self, mail: str, count: int) -> str:
        for _ in range(600):
            mails = [m for m in self.http.get(self.mailbox, timeout=60).json() if m["to"] == [mail]]
            if len(mails) >= count:
                return str(re.findall(rf"{self.issuer}/\S+", mails[-1]["text"])[0])
            time.sleep(0.1)
        raise SystemExit(f"no mail for {mail}")

    def enters(self, username: str, password: str) -> bool:
        self.http.cookies.clear()
        return "Gérer mon compte" in self.post("/connexion", identifiant=username, mot_de_passe=password).text

    def activate(self, letter: dict[str, Any], mail: str) -> None:
        self.http.cookies.clear()
        page = self.post("/connexion", identifiant=letter["username"], mot_de_passe=letter["provisional_password"])
        self.post(page.url, nouveau=OURS, confirmation=OURS, mail=mail)


def succeeded(demo: dict[str, Any]) -> Iterator[str]:
    attacker, (victim, empty, own) = Attacker(demo), demo["letters"][:3]
    attacker.activate(victim, "victime@exemple.test")
    attacker.post(attacker.link("victime@exemple.test", 1))
    attacker.http.cookies.clear()
    started = attacker.post("/mot-de-passe-oublie", identifiant=victim["username"])
    guesses = ("", "null", "undefined", "[]", "0" * 43, started.url.rpartition("/")[2], victim["username"])
    for guess in guesses:
        fields = {"nouveau": THEIRS, "confirmation": THEIRS, "token[]": guess, "identifiant": victim["username"]}
        attacker.post(f"/mot-de-passe/lien/{guess}", **fields)
    if attacker.enters(victim["username"], THEIRS):
        yield "1: a password was reset without opening the mail"

    attacker.http.cookies.clear()
    for path in ("/activation", "/mot-de-passe/lien/" + "0" * 43, "/mon-compte/mot-de-passe"):
        attacker.post(path, nouveau=THEIRS, confirmation=THEIRS, mail="pirate@exemple.test", actuel="")
    attacker.post("/mot-de-passe-oublie", identifiant=empty["username"])
    if attacker.enters(empty["username"], THEIRS):
        yield "2: a first password was set on an account that had none"

    attacker.activate(own, "pirate@exemple.test")
    mine = attacker.link("pirate@exemple.test", 1)
    attacker.post("/connexion", identifiant=own["username"], mot_de_passe=OURS)
    attacker.post("/adresse/modifier", mail="victime@exemple.test", mot_de_passe=OURS)
    attacker.post(mine)  # sent to the attacker's mailbox: must not confirm the victim's email
    attacker.http.cookies.clear()
    attacker.post(mine, identifiant=victim["username"], mail="pirate@exemple.test")
    for username, email in ((own["username"], "victime@exemple.test"), (victim["username"], "pirate@exemple.test")):
        attacker.enters(username, OURS)
        account = attacker.http.get(f"{attacker.issuer}/mon-compte", timeout=60).text
        if "Gérer mon compte" in account and email in account:
            yield f"3: {username} has {email}, which never answered"


if __name__ == "__main__":
    successes = list(succeeded(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
    sys.exit("\n".join(successes) if successes else 0)
