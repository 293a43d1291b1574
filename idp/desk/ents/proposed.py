"""What the pages say about a change of an ENT that waits for the académie, in plain words."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask_babel import gettext

from idp.clients.models import Client
from idp.desk.ents import acceptance
from idp.desk.ents.fields import RegistrationForm
from idp.desk.ents.proposals import Proposal
from idp.desk.staff import mails
from idp.registration import approvals, rows
from idp.registration.metadata import BY_NAME, ClientMetadata, leading_uris

_PAGES = frozenset({"policy_uri", "tos_uri"})
"""The addresses that a parent may read and that receive nothing."""


@dataclass(frozen=True)
class Proposed:
    """A change of an ENT that waits for the académie, for a page.

    Attributes:
        key: the mark of the proposal.
        by: the name of the person who asked.
        asked_at: when.
        has_asker: whether the person still acts for the ENT.
        facts: the labels of the changed fields, with their names in the protocol, and the lines before and after.
        warnings: what the other servers of the change get.
        staying: the same as `facts` for the addresses that stay on a server which the ENT leaves.
    """

    key: str
    by: str
    asked_at: datetime
    has_asker: bool
    facts: list[tuple[str, str, list[str]]]
    warnings: list[str]
    staying: list[tuple[str, str, list[str]]]


def find(client: Client) -> Proposed | None:
    """Return the change of an ENT that waits for the académie, or None."""
    waiting = Proposal.of(client)
    if waiting is None:
        return None
    former = rows.read(client)
    metadata = waiting.applied(former)
    facts = []
    for name in waiting.values:
        before, after = (_lines(getattr(each, name)) for each in (former, metadata))
        lines = [gettext("aujourd’hui : %(value)s", value=line) for line in before if line not in after]
        lines += [gettext("demandé : %(value)s", value=line) for line in after if line not in before]
        facts.append((*_labels(name), lines))
    return Proposed(
        key=waiting.key,
        by=mails.find_name(str(waiting.by)),
        asked_at=waiting.asked_at,
        has_asker=acceptance.acts_for(waiting.by, client),
        facts=facts,
        warnings=list(_warnings(former, metadata)),
        staying=_staying(former, metadata),
    )


def _labels(name: str) -> tuple[str, str]:
    form = RegistrationForm()
    return str(form[name].label.text if name in form else gettext("Autre adresse")), BY_NAME[name].member or name


def _lines(value: Any) -> list[str]:
    """Return a value of a registration as lines."""
    if isinstance(value, dict):
        return [json.dumps(value)]
    values = value if isinstance(value, list | tuple) else [value]
    return [str(each) for each in values if each not in ("", None)] or [gettext("rien")]


def _warnings(former: ClientMetadata, metadata: ClientMetadata) -> list[str]:
    """Return a sentence for the new hosts that get something of the families, and one for those of mere pages."""
    added = approvals.new_hosts(former, metadata)
    getting = sorted(set().union(*(hosts for name, hosts in added.items() if name not in _PAGES)))
    reading = sorted(set().union(*(hosts for name, hosts in added.items() if name in _PAGES)))
    sentences = []
    if getting:
        text = (
            "Un autre serveur recevra ce que les familles donnent à l’ENT : %(hosts)s. Vérifiez qu’il est bien le sien."
        )
        sentences.append(gettext(text, hosts=", ".join(getting)))
    if reading:
        text = "Un parent pourra lire une page d’un autre serveur : %(hosts)s. Votre accord ne vaut que pour elle."
        sentences.append(gettext(text, hosts=", ".join(reading)))
    return sentences


def _staying(former: ClientMetadata, metadata: ClientMetadata) -> list[tuple[str, str, list[str]]]:
    left = approvals.places(former.redirect_uris) - approvals.places(metadata.redirect_uris)
    staying = {
        name: [uri for uri in own if approvals.places([uri]) & left] for name, own in leading_uris(metadata).items()
    }
    return [(*_labels(name), own) for name, own in staying.items() if own]
