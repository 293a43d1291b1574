"""The ENT's application factory."""

import hashlib
import os
from pathlib import Path
from urllib.parse import urlsplit

from flask import Flask, request, url_for
from flask_wtf.csrf import CSRFProtect
from werkzeug.wrappers import Response

from clients.ent.errors import register_errors
from clients.ent.pages import pages
from clients.ent.sessions import ServerSessions
from clients.ent.settings import LOOPBACK, Settings, read_settings
from clients.ent.sign_in_routes import SignInRoutes
from clients.ent.store import Store
from clients.kit import Provider

_MAX_BODY = 64 * 1024
_MAX_PARTS = 50
_YEAR = 365 * 86400


def create_app(settings: Settings | None = None) -> Flask:
    """Create the ENT.

    Args:
        settings: read from the environment when absent, so that any WSGI server can call this factory.

    Raises:
        SettingsError: the environment's settings cannot be used.
        OSError: the database file cannot be created.
        sqlite3.Error: the database file is not a SQLite database.
    """
    settings = settings or read_settings(os.environ)
    app = Flask(__name__)
    app.config.update(
        SECRET_KEY=settings.secret_key,
        MAX_CONTENT_LENGTH=_MAX_BODY,
        MAX_FORM_MEMORY_SIZE=_MAX_BODY,
        MAX_FORM_PARTS=_MAX_PARTS,
        TRUSTED_HOSTS=sorted({str(urlsplit(settings.public_url).hostname), settings.bind[0], *LOOPBACK}),
        SEND_FILE_MAX_AGE_DEFAULT=_YEAR,  # the URL of a static file changes with its content
        SESSION_COOKIE_NAME=settings.cookie_name,
        SESSION_COOKIE_SECURE=settings.secure,
        WTF_CSRF_TIME_LIMIT=None,  # a form token is valid as long as its session
        WTF_CSRF_SSL_STRICT=False,  # some browsers send no Referer; the form token is checked
    )
    store = Store(settings.database)
    app.session_interface = ServerSessions(store)
    app.extensions["ent_store"] = store
    app.extensions["ent_settings"] = settings
    sign_in_routes = SignInRoutes(Provider(settings.registration))
    app.extensions["ent_provider"] = sign_in_routes.provider
    protection = CSRFProtect(app)
    protection.exempt(sign_in_routes.login_from_elsewhere)
    protection.exempt(sign_in_routes.backchannel_logout)
    app.register_blueprint(sign_in_routes.blueprint())
    app.register_blueprint(pages)
    register_errors(app)
    _prepare_templates(app, settings)
    _set_headers(app, settings)
    return app


def _prepare_templates(app: Flask, settings: Settings) -> None:
    """Give every template the ENT's settings, and URLs of static files that change with the file's content."""
    folder = Path(str(app.static_folder))
    digests = {file.name: hashlib.sha256(file.read_bytes()).hexdigest()[:12] for file in folder.iterdir()}
    app.jinja_env.globals.update(ent=settings, asset=lambda name: url_for("static", filename=name, v=digests[name]))
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True


def _set_headers(app: Flask, settings: Settings) -> None:
    """Send the security headers with every answer."""
    issuer = urlsplit(settings.issuer)
    policy = (
        "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'; "
        # Browsers apply form-action to redirects too, and the sign-out form redirects to the provider.
        f"form-action 'self' {issuer.scheme}://{issuer.netloc}"
    )

    @app.after_request
    def send_headers(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = policy
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "same-origin"
        response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        response.headers["Permissions-Policy"] = "camera=(), microphone=(), geolocation=()"
        if request.endpoint != "static" or response.status_code not in {200, 206, 304}:
            response.headers["Cache-Control"] = "no-store"
        if settings.secure:
            response.headers["Strict-Transport-Security"] = f"max-age={_YEAR}"
        return response
