"""A mail handler with its own templates, so that the tests do not depend on those of the product."""

from jinja2 import DictLoader

from idp.config import Settings, load
from idp.mail.compose import compose
from idp.mail.smtp import deliver
from idp.outbox.queue import OutboxMessage
from idp.outbox.worker import Handler, Outcome

NOEMIE = "noemie@exemple.test"
TEMPLATES = DictLoader(
    {
        "mail/confirmation/subject.txt": "Activez votre compte,\n{{ person }}\n",
        "mail/confirmation/body.txt": "Bonjour {{ person }},\n\nConfirmer mon adresse :\n{{ link }}\n\n.\n24 heures\n",
        "mail/confirmation/body.html": "<p>Bonjour {{ person }},</p><p><a href='{{ link }}'>{{ link }}</a></p>",
    }
)


def settings_for(smtp_url: str) -> Settings:
    return load(
        env="development",
        issuer="http://127.0.0.1:8000",
        smtp_url=smtp_url,
        mail_from="ne-pas-repondre@academie.test",
        service_name="Scolarité Services",
    )


def mailing(settings: Settings, to: str = NOEMIE) -> Handler:
    """Return a handler for a mail to Noémie, with the SMTP recipient `to`."""

    def handler(message: OutboxMessage) -> Outcome:
        mail = compose(
            "confirmation",
            recipient=NOEMIE,
            context={"person": "Mme LEROY", "link": f"{settings.issuer}/adresse/lien/{message.payload['token']}"},
            message_id=str(message.id),
            settings=settings,
        )
        deliver(mail, to)
        return Outcome.DONE

    return handler
