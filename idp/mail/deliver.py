"""Sends a composed mail through the SMTP server, outside any transaction."""

from email.message import EmailMessage

from idp.db import release_connection
from idp.mail.emails import InvalidEmailError, check_recipient
from idp.metrics.catalogue import MAILS
from idp.outbox import leases, relay
from idp.outbox.worker import PermanentDeliveryError, TemporaryDeliveryError, UncertainDeliveryError
from idp.services import services
from idp.tracing import Kind, Span


def deliver(message: EmailMessage, recipient: str) -> None:
    """Send `message` to `recipient`, the only email of its `To`.

    Raises:
        RelayDownError, TemporaryDeliveryError, UncertainDeliveryError, PermanentDeliveryError: see `Transport.send`.
        RuntimeError: the handler left a unit of work open. The link in the mail would not be committed yet.
    """
    release_connection()
    try:
        check_recipient(recipient)
    except InvalidEmailError as error:
        raise PermanentDeliveryError(f"the recipient is not a valid email ({error.reason})") from error
    if [email.addr_spec for email in message["To"].addresses] != [recipient]:
        raise PermanentDeliveryError("the To header of the mail is not its recipient")
    domain = recipient.rpartition("@")[2].lower()
    try:
        with Span("smtp", Kind.CLIENT):
            services().transport.send(message, recipient)
    except (TemporaryDeliveryError, PermanentDeliveryError) as error:
        MAILS.count(domain, _result_of(error))
        raise
    MAILS.count(domain, "sent")
    leases.after_settling(relay.note_success)


def _result_of(error: Exception) -> str:
    if isinstance(error, UncertainDeliveryError):
        return "uncertain"
    return "temporary" if isinstance(error, TemporaryDeliveryError) else "permanent"
