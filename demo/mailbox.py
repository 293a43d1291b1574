"""The demonstration's mailbox: every mail as it came, parsed as far as possible (RFC 5322, RFC 2045).

Each message is two files, `<id>.eml` (its bytes) and `<id>.json` (the parsed text), so that a restart loses nothing.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path
from threading import Lock
from typing import Any

from demo.folder import write_json, write_private
from idp.clock import now

KEPT = 2000

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Message:
    """A parsed mail. `to` holds the recipients of SMTP, `sender` the From field."""

    id: str
    at: datetime
    sender: str
    to: tuple[str, ...]
    subject: str
    text: str
    html: str

    def row(self) -> dict[str, Any]:
        """Return the message with the names of the JSON list."""
        values = asdict(self)
        return {
            "id": self.id,
            "at": self.at.isoformat(),
            "from": values.pop("sender"),
            **{key: values[key] for key in ("to", "subject", "text", "html")},
        }

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> "Message":
        """Return the message of a `row`.

        Raises:
            KeyError, TypeError, ValueError: it is not such a row.
        """
        return cls(
            id=str(row["id"]),
            at=datetime.fromisoformat(row["at"]),
            sender=str(row["from"]),
            to=tuple(map(str, row["to"])),
            subject=str(row["subject"]),
            text=str(row["text"]),
            html=str(row["html"]),
        )


class Mailbox:
    """All messages, oldest first, in memory and in `folder`. Several threads may use it."""

    def __init__(self, folder: Path, *, kept: int = KEPT) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._kept = kept
        self._lock = Lock()
        self._messages = {message.id: message for message in _read_all(folder)}

    def add(self, raw: bytes, *, sender: str, to: Sequence[str]) -> Message:
        """Store a message that SMTP brought from `sender` to the addresses `to`; it is on the disk on return.

        Raises:
            OSError: it could not be written, and is not stored.
        """
        with self._lock:
            number = max(map(int, self._messages), default=0) + 1
            message = read(raw, identifier=str(number), sender=sender, to=to)
            write_private(self._path(message.id, "eml"), raw)
            write_json(self._path(message.id, "json"), message.row())
            self._messages[message.id] = message
            for old in list(self._messages)[: -self._kept]:
                del self._messages[old]
                self._path(old, "json").unlink(missing_ok=True)
                self._path(old, "eml").unlink(missing_ok=True)
            return message

    def messages(self) -> list[Message]:
        """Return all messages, the newest last."""
        with self._lock:
            return list(self._messages.values())

    def find(self, identifier: str) -> Message | None:
        """Return the message of that id, or None."""
        with self._lock:
            return self._messages.get(identifier)

    def find_source(self, identifier: str) -> bytes | None:
        """Return the bytes of the message of that id, or None."""
        if self.find(identifier) is None:
            return None
        try:
            return self._path(identifier, "eml").read_bytes()
        except FileNotFoundError:
            return None

    def _path(self, identifier: str, suffix: str) -> Path:
        return self._folder / f"{int(identifier):06d}.{suffix}"


def _read_all(folder: Path) -> list[Message]:
    messages = []
    for path in folder.glob("[0-9]*.json"):
        try:
            message = Message.from_row(json.loads(path.read_bytes()))
            messages.append((int(message.id), message))
        except (KeyError, TypeError, ValueError, OSError) as error:
            _log.warning("%s is ignored, since it is not a message: %s", path.name, error)
    return [message for _, message in sorted(messages, key=lambda pair: pair[0])]


def read(raw: bytes, *, identifier: str, sender: str, to: Sequence[str]) -> Message:
    """Return the message in `raw`; show a mail that cannot be parsed as plain text."""
    try:
        parsed = BytesParser(_class=EmailMessage, policy=policy.default).parsebytes(raw)
        subject, author = _header(parsed, "subject"), _header(parsed, "from")
        text, html = _body(parsed, "plain"), _body(parsed, "html")
    except Exception:  # noqa: BLE001 - the parser raises undocumented exceptions on malformed mails
        _log.warning("message %s cannot be parsed and is stored as text", identifier)
        subject, author, text, html = "", "", raw.decode("utf-8", "replace"), ""
    return Message(
        id=identifier,
        at=now(),
        sender=_clean(author or sender),
        to=tuple(_clean(email) for email in to),
        subject=_clean(" ".join(subject.split())),
        text=_clean(text),
        html=_clean(html),
    )


def _header(message: EmailMessage, name: str) -> str:
    try:
        return str(message.get(name, ""))
    except Exception:  # noqa: BLE001 - a malformed header must not hide the message
        return next((str(value) for key, value in message.raw_items() if key.lower() == name), "")


def _body(message: EmailMessage, kind: str) -> str:
    part = message.get_body(preferencelist=(kind,))
    if not isinstance(part, EmailMessage):
        return ""
    try:
        return str(part.get_content()).replace("\r\n", "\n")
    except (LookupError, ValueError):  # an unknown charset, or a body in another one
        payload = part.get_payload(decode=True)
        return payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""


def _clean(text: str) -> str:
    """Return `text` without lone surrogates (bytes that were not text), which a page cannot contain."""
    return text.encode("utf-8", "replace").decode()
