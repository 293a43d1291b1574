"""Django settings. Values that depend on the installation come from the environment.

Registration and tested versions: clients/README.md, « Django: mozilla-django-oidc ».
"""

import os

SECRET_KEY = os.environ["ENT_SECRET_KEY"]
ALLOWED_HOSTS = [os.environ["ENT_HOST"]]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["ENT_DATABASE"]}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "fr"
ROOT_URLCONF = "ent.urls"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "mozilla_django_oidc",
    "ent",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "mozilla_django_oidc.middleware.SessionRefresh",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
    }
]

# Only the proxy with TLS sets this header.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SESSION_COOKIE_NAME = "__Host-ent"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
SESSION_COOKIE_AGE = 8 * 3600

AUTHENTICATION_BACKENDS = ["ent.authentication.Backend"]
LOGIN_URL = "oidc_authentication_init"
LOGIN_REDIRECT_URL = "inside"
LOGIN_REDIRECT_URL_FAILURE = "/connexion-impossible"
LOGOUT_REDIRECT_URL = "/"

# The library does not read the discovery document, so the provider's endpoints are set here. They do not change.
OIDC_OP_ISSUER = os.environ["ENT_ISSUER"]
OIDC_OP_AUTHORIZATION_ENDPOINT = f"{OIDC_OP_ISSUER}/authorize"
OIDC_OP_TOKEN_ENDPOINT = f"{OIDC_OP_ISSUER}/token"
OIDC_OP_USER_ENDPOINT = f"{OIDC_OP_ISSUER}/userinfo"
OIDC_OP_JWKS_ENDPOINT = f"{OIDC_OP_ISSUER}/jwks.json"
OIDC_OP_LOGOUT_ENDPOINT = f"{OIDC_OP_ISSUER}/logout"
OIDC_RP_CLIENT_ID = os.environ["ENT_CLIENT_ID"]
OIDC_RP_CLIENT_SECRET = os.environ["ENT_CLIENT_SECRET"]
OIDC_RP_SCOPES = "openid profile email ent charter"
OIDC_RP_SIGN_ALGO = "RS256"
OIDC_TOKEN_USE_BASIC_AUTH = True
OIDC_USE_PKCE = True
OIDC_AUTH_REQUEST_EXTRA_PARAMS = {"login_hint": "profil:parent"}
OIDC_CALLBACK_CLASS = "ent.authentication.CallbackView"
OIDC_TIMEOUT = 5
# The sign-out request needs the ID token.
OIDC_STORE_ID_TOKEN = True
OIDC_OP_LOGOUT_URL_METHOD = "ent.authentication.end_session_url"
# The library has no back-channel logout. Every ten minutes it sends a request with `prompt=none` to the provider. A
# parent whose session ended there, or who has to accept a new version of the charter, is then signed out here.
OIDC_RENEW_ID_TOKEN_EXPIRY_SECONDS = int(os.environ.get("ENT_ASK_AGAIN_SECONDS", "600"))
