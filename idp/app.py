"""Builds the application: services, blueprints, outbox handlers."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from flask import Flask, Request, Response
from jinja2 import FileSystemLoader, StrictUndefined
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import BadHost
from werkzeug.routing import MapAdapter

from idp import logging as log_lines, profile_choice
from idp.accounts import directory, emails, notices, school_digest, school_notices
from idp.accounts.passwords.breached import BreachedPasswords
from idp.accounts.passwords.hasher import Hasher, HasherBusyError
from idp.accounts.passwords.policy import EXAMPLES
from idp.activation import views as activation
from idp.audit import log
from idp.charter import views as charter
from idp.clock import INTERACTION_LIFETIME
from idp.config import Settings
from idp.db import db, engine_options, refuse_unwritten_changes
from idp.desk import alerts, school_files
from idp.desk.ents import acceptance
from idp.desk.jobs import files, lifecycle
from idp.desk.jobs.kinds import later
from idp.desk.statistics import models as figures
from idp.desk.team import invitations, mails as staff_mails
from idp.email_confirmation import (
    contest as email_contest,
    link_views as email_link,
    service as email_confirmation_service,
    views as email_confirmation,
)
from idp.http_client.outgoing import Outgoing
from idp.login import passkey as passkey_sign_in, plain as plain_sign_in, views as login
from idp.mail.smtp import Transport
from idp.metrics.catalogue import ENDPOINT, MESSAGE
from idp.my_account import (
    connections,
    email as account_email,
    ent_data,
    letter,
    passkeys as account_passkeys,
    password as account_password,
    reauthentication,
    views as my_account,
)
from idp.oidc import routes
from idp.oidc.client_auth.client_keys import ClientKeys
from idp.oidc.keys import rotation
from idp.oidc.keys.ring import KeyRing
from idp.oidc.logout import back_channel
from idp.oidc.server import Server
from idp.oidc.store.store import Store
from idp.oidc.tokens import issued
from idp.operations import audit_commands, health, measured
from idp.operations.checks.settings import production_faults
from idp.outbox.worker import Handler
from idp.paths import TEMPLATES
from idp.recovery import answer as recovery_answer, service as recovery_service, views as recovery
from idp.registration import endpoint as registration, metadata
from idp.services import Services, provide
from idp.sessions import devices, manager
from idp.sessions.ending import SESSIONS_ENDED
from idp.statements import open_connections
from idp.throttle import counters, limits
from idp.web import (
    browser,
    declarations,
    errors,
    http,
    i18n,
    languages,
    legal,
    request_context,
    security,
    telling,
    theme,
)
from idp.web.door import Door

_PAGES = (
    profile_choice,
    login,
    passkey_sign_in,
    activation,
    email_confirmation,
    email_link,
    email_contest,
    charter,
    recovery,
    my_account,
    account_password,
    account_email,
    connections,
    reauthentication,
    account_passkeys,
    ent_data,
    letter,
    legal,
    health,
)


class Application(Flask):
    """Flask that routes each request by its path alone, also with an invalid `Host` header or without a path."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function: none is a coroutine, which Flask would look for at each call."""
        return func

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Return the adapter that matches paths. An invalid `Host` is ignored, since no route depends on it.

        An empty path is `/` (RFC 9110 4.2.3): Werkzeug would redirect it to the `Host` of the request.
        """
        try:
            adapter = super().create_url_adapter(request)
        except (BadHost, UnicodeError):
            adapter = self.url_map.bind("localhost", path_info=request.path if request else "/")
        if adapter is not None:
            adapter.path_info = adapter.path_info or "/"
        return adapter

    def make_response(self, rv: Any) -> Response:
        """Return the result of a view as a response of Flask; endpoints of the protocol return plain ones."""
        if isinstance(rv, http.Response):
            return self.response_class(rv.body, rv.status, rv.headers)
        return super().make_response(rv)


def create_app(settings: Settings) -> Flask:
    """Return the application. It opens no connection and creates no key before its first request."""
    app, door = assemble(settings, TEMPLATES)
    door.add_page("/connexion", f"{login.blueprint.name}.{login.sign_in.__name__}", plain_sign_in.show)
    door.nowhere = errors.nowhere
    for page in _PAGES:
        app.register_blueprint(page.blueprint)
    _protocol(app, door)
    declarations.of(app).read(app)
    app.jinja_env.globals.update(told=telling.on_page, told_plainly=telling.sentence, password_examples=EXAMPLES)
    app.after_request(_keep_language)
    app.jinja_env.globals["entrance"] = lambda dest: dest.entrance(settings.issuer)
    ENDPOINT.allow(app.view_functions)
    return app


def assemble(
    settings: Settings,
    *templates: Path,
    origin: str = "",
    form_lifetime: timedelta = INTERACTION_LIFETIME,
    french_only: bool = False,
) -> tuple[Application, Door]:
    """Return an application that has everything but pages, and its door.

    Args:
        settings: the settings.
        templates: the folders of the templates; the first that has a template wins.
        origin: the origin that forms come from; any if empty.
        form_lifetime: see `Services.form_lifetime`.
        french_only: whether all pages are in French.
    """
    log_lines.configure(settings.log_level)
    app = Application("idp", template_folder=None, static_folder=None)
    app.jinja_loader = FileSystemLoader([str(folder) for folder in templates])
    app.url_map.merge_slashes = False  # its redirect would have the Host of the request
    app.jinja_options = {"trim_blocks": True, "lstrip_blocks": True, "undefined": StrictUndefined}
    connect(app, settings, form_lifetime=form_lifetime)
    _configure_database(app, settings)
    declarations.configure(app)
    browser.configure(app)
    door = Door(app, settings)
    door.network_of = lambda ip: limits.site_of(ip) or limits.network_of(ip)
    door.overloaded = errors.overloaded
    app.wsgi_app = door  # type: ignore[method-assign]
    theme.configure(app, door, settings)
    security.configure(app, door, settings, origin=origin)
    i18n.configure(app, french_only=french_only)
    errors.configure(app)
    app.register_error_handler(
        HasherBusyError, lambda busy: app.handle_user_exception(errors.ServiceBusyError(busy.retry_after))
    )
    door.before(_remember_origin)
    health.watch_proxies(door, declarations.of(app), settings)
    health.add(door)
    return app, door


def connect(app: Flask, settings: Settings, *, form_lifetime: timedelta = INTERACTION_LIFETIME) -> None:
    """Create the services of `app`, with empty caches, as at its start; see `Services.form_lifetime`."""
    outgoing, connections = Outgoing(settings), open_connections(settings)
    new_services = Services(
        settings=settings,
        settings_faults=production_faults,
        hasher=Hasher(settings),
        breached=BreachedPasswords(settings.breached_passwords),
        connections=connections,
        server=Server(settings, Store(connections), KeyRing(settings)),
        outgoing=outgoing,
        client_keys=ClientKeys(outgoing),
        transport=Transport(settings),
        registrable=metadata.announced(),
        renewable=issued.renewable,
        ips_counted=limits.longest_by_network(),
        local_counts=counters.Counts(),
        local_marks=counters.Marks(),
        outbox_handlers=outbox_handlers(settings, outgoing),
        outbox_lanes=(frozenset({back_channel.LOGOUT}), frozenset({lifecycle.JOB})),
        purges=(_purge_desk,),
        readings={**measured.READINGS, "jobs": lifecycle.OPEN_JOBS},
        periodic_jobs={
            rotation.ROTATION: rotation.ROTATION_PERIOD,
            audit_commands.SEALING: audit_commands.SEALING_PERIOD,
            school_digest.DIGESTS: school_digest.DIGESTS_PERIOD,
            alerts.ALERTS: alerts.ALERTS_PERIOD,
            figures.FIGURES: figures.FIGURES_PERIOD,
        },
        form_lifetime=form_lifetime,
    )
    MESSAGE.allow(new_services.outbox_handlers)
    provide(app, new_services)


def _purge_desk(settings: Settings, moment: datetime) -> dict[str, int]:
    from idp.desk import retention  # noqa: PLC0415 - of `idp purge` alone

    return retention.purge(settings, moment)


def outbox_handlers(settings: Settings, outgoing: Outgoing) -> Mapping[str, Handler]:
    """Return the handler of each kind of outbox message."""
    return {
        emails.CONFIRM_EMAIL: partial(email_confirmation_service.hand_over, settings=settings),
        notices.NOTICE: partial(notices.hand_over, settings=settings, ent_names=ent_data.names),
        notices.RESET_REQUESTED: partial(recovery_answer.hand_over, settings=settings),
        recovery_service.USERNAME_REQUESTED: partial(recovery_service.send_usernames, settings=settings),
        SESSIONS_ENDED: back_channel.sessions_ended,
        back_channel.LOGOUT: partial(back_channel.hand_over, outgoing=outgoing),
        rotation.ROTATION: partial(rotation.hand_over, settings=settings),
        audit_commands.SEALING: partial(audit_commands.hand_over, settings=settings),
        school_digest.DIGESTS: partial(school_digest.ask, settings=settings),
        school_digest.DIGEST: partial(school_digest.hand_over, settings=settings),
        invitations.INVITED: partial(invitations.hand_over, settings=settings),
        lifecycle.JOB: partial(lifecycle.hand_over, settings=settings),
        files.EXPIRY: files.hand_over,
        school_files.WAITS: partial(later("idp.desk.school_files.checks:hand_over"), settings=settings),
        school_files.DECLINED_MAIL: partial(later("idp.desk.school_files.checks:hand_over_refusal"), settings=settings),
        alerts.ALERTS: alerts.look,
        figures.FIGURES: later("idp.desk.statistics.tables:hand_over"),
        acceptance.MAIL: partial(acceptance.hand_over, settings=settings),
        alerts.ALERT: partial(alerts.hand_over, settings=settings),
        staff_mails.NEW_DEVICE: partial(staff_mails.hand_over_sign_in, settings=settings),
        staff_mails.NEW_CREDENTIAL: partial(staff_mails.hand_over_sign_in, settings=settings),
        staff_mails.NEW_ROLE: partial(staff_mails.hand_over_change, settings=settings),
        school_notices.CONTACTS: partial(staff_mails.hand_over_change, settings=settings),
    }


def _configure_database(app: Flask, settings: Settings) -> None:
    app.config["SQLALCHEMY_DATABASE_URI"] = settings.database_url
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = engine_options(
        pool_size=settings.database_pool, pooler=settings.database_pooler
    )
    db.init_app(app)
    app.after_request(_refuse_unwritten_changes)


def _refuse_unwritten_changes(response: Response) -> Response:
    refuse_unwritten_changes()
    return response


def _keep_language(response: Response) -> Response:
    """Keep the language that a signed-in person chooses in the menu of a form, for the account's mails.

    A link chooses for this browser alone, since any site may lead there; so does a browser that the account has not
    known for long: a thief of the password must not choose the language of the mails that warn of it.
    """
    language = languages.chosen() if http.current_request().shows_again else ""
    with suppress(SQLAlchemyError):  # the page is shown without it
        if language and (current := manager.current()) and devices.is_settled(devices.known(current[1].username)):
            directory.keep_language(current[1].username, language)
    return response


def _protocol(app: Flask, door: Door) -> None:
    for blueprint in (*routes.blueprints(door), registration.blueprint):
        app.register_blueprint(blueprint)
        security.exempt(app, blueprint)


def _remember_origin(request: http.Request) -> None:
    log.set_origin(log.Origin(ip=request.remote_ip, request_id=request_context.request_id()))
