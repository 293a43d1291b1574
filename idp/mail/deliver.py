"""What the slices' handlers call last: hands a composed mail to the SMTP server, outside any transaction."""

from email.message import EmailMessage

from idp.db import release_connection
from idp.mail.addresses import InvalidAddress, check_recipient
from idp.outbox.worker import PermanentFailure
from idp.services import services


def deliver(message: EmailMessage, recipient: str) -> None:
    """Hand `message` over for `recipient`, the one address of its `To`.

    Raises:
        TemporaryFailure, UncertainFailure, PermanentFailure: as `Transport.send` says; the worker knows what to do.
        RuntimeError: a unit of work is open: the link in the mail would not work yet.
    """
    release_connection()
    try:
        check_recipient(recipient)
    except InvalidAddress as error:
        raise PermanentFailure(f"not one mail address ({error.reason})") from error
    if [address.addr_spec for address in message["To"].addresses] != [recipient]:
        raise PermanentFailure("the mail is written to somebody else than its recipient")
    services().transport.send(message, recipient)
