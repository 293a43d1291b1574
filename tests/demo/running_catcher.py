"""The mail catcher as a separate process."""

import http.client
import json
import signal
import smtplib
import socket
from dataclasses import dataclass
from email import policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from demo.processes import answers_http, answers_smtp
from tests import forked
from tests.waiting import wait_for

LINK = "http://127.0.0.1:8000/adresse/lien/Jx7v2mQ9sT4kW8bN"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Catcher:
    smtp_port: int
    web_port: int
    store: Path
    process: forked.Program

    def get(self, path: str, host: str | None = None) -> tuple[int, dict[str, str], str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.web_port, timeout=60)
        try:
            connection.request("GET", path, headers={"Host": host} if host else {})
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read().decode(errors="replace")
        finally:
            connection.close()

    def mails(self) -> list[dict[str, Any]]:
        mails: list[dict[str, Any]] = json.loads(self.get("/mails.json")[2])
        return mails

    def send(self, raw: bytes, to: tuple[str, ...] = ("noemie.leroy@exemple.fr",)) -> None:
        with smtplib.SMTP("127.0.0.1", self.smtp_port, timeout=60) as client:
            client.sendmail("ne-pas-repondre@exemple.fr", list(to), raw)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


def start(store: Path) -> Catcher:
    smtp_port, web_port = free_port(), free_port()
    ports = ["--smtp-port", str(smtp_port), "--web-port", str(web_port)]
    process = forked.Program("demo.catcher", "--store", str(store), *ports)
    wait_for(lambda: answers_http(web_port, "/mails.json") and answers_smtp(smtp_port), process)
    return Catcher(smtp_port, web_port, store, process)


def confirmation(subject: str = "Activez votre compte", link: str = LINK) -> bytes:
    message = EmailMessage()
    message["From"] = "Scolarité Services <ne-pas-repondre@exemple.fr>"
    message["To"] = "noemie.leroy@exemple.fr"
    message["Subject"] = subject
    message.set_content(f"Bonjour Mme LEROY-VANDEPUTTE,\n\nConfirmer mon adresse :\n{link}\n")
    message.add_alternative(
        f'<!doctype html><html><head><title>x</title></head><body style="color:#20262b">'
        f'<script>alert(1)</script><a href="{link}">Confirmer</a></body></html>',
        subtype="html",
    )
    return message.as_bytes(policy=policy.SMTP)
