"""Why the database cannot be used, in fixed words: the driver's text may have a password or personal data."""

import re

from sqlalchemy.exc import OperationalError, ProgrammingError, SQLAlchemyError, TimeoutError as PoolTimeout

from idp.pool import pooler_fault

# By the SQLSTATE, which does not depend on the language of the server.
_CAUSES_BY_STATE = {
    # insufficient_privilege
    "42501": "the user of IDP_DATABASE_URL does not own its tables: restore them as that user (docs/sauvegarde.md).",
    # read_only_sql_transaction
    "25006": "it accepts no writes: it is a standby, or its recovery paused; `idp doctor` says which.",
    # disk_full
    "53100": "its disk is full.",
    # query_canceled
    "57014": "a statement took longer than its time limit: see its load and its locks.",
}
_CAUSES = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        # libpq gives no SQLSTATE for a connection that fails, and the server may write French. Several hosts give
        # several texts: the causes that only a server knows are first.
        (
            (
                "password authentication failed|authentification par mot de passe|no password supplied"
                "|fatal: .*(role .* does not exist|rôle .* n.existe pas)"
            ),
            "the user or the password of IDP_DATABASE_URL is wrong.",
        ),
        (
            "fatal: .*(database .* does not exist|base de données .* n.existe pas)",
            "the server has no database of the name in IDP_DATABASE_URL.",
        ),
        (
            r"pg_hba\.conf",
            "pg_hba.conf of the server has no line for this host, user and database, with or without TLS.",
        ),
        (
            "too many clients|remaining connection slots|trop de clients|emplacements de connexions",
            "the server has no connection left: see max_connections, and `idp doctor` once it answers.",
        ),
        ("root certificate file .* does not exist", "the file that sslrootcert names does not exist."),
        ("root certificate file", "the file that sslrootcert names cannot be read."),
        ("does not match host name", "the certificate of the server is for another host name."),
        ("certificate verify failed", "the authority in sslrootcert did not sign the certificate of the server."),
        ("does not support ssl", "the server has no TLS: see `ssl` in its postgresql.conf."),
        (
            "failed to resolve host|could not translate host name",
            "the host name in IDP_DATABASE_URL is unknown (DNS, /etc/hosts).",
        ),
        (
            "session is read-only|server is in hot standby",
            "no host accepts writes: promote the standby (docs/fiabilite.md).",
        ),
        ("connection refused", "nothing listens at the host and the port of IDP_DATABASE_URL."),
        (
            "timeout expired|timed out",
            "the host of IDP_DATABASE_URL does not answer: it is off, or a firewall drops it.",
        ),
        ("did not answer a moment ago", "it does not answer: one thread at a time tries to connect."),
        ("lock timeout|locked", "it is locked, try again."),
        ("disk|too large|no space", "its disk may be full."),
    )
)


def message(error: Exception) -> str:
    """Return the message for an error of the database, or an empty string for any other error."""
    if not isinstance(error, SQLAlchemyError):
        return ""
    return f"{outline(error)}: {cause(error)}"


def is_of_connection(error: SQLAlchemyError) -> bool:
    """Return whether no connection was made: then the error has no SQLSTATE of a server."""
    return isinstance(error, OperationalError) and getattr(error.orig, "sqlstate", "") is None


def outline(error: SQLAlchemyError) -> str:
    """Return that the database cannot be used, with the class of the error."""
    return f"the database cannot be used ({type(error).__name__})"


def cause(error: SQLAlchemyError) -> str:
    """Return the probable cause or remedy, as the end of a sentence."""
    if isinstance(error, PoolTimeout):
        return "all connections of this process are in use: the database is slow, or the process has too few."
    driver = getattr(error, "orig", None)
    if fault := pooler_fault(driver):
        return fault
    if words := _CAUSES_BY_STATE.get(getattr(driver, "sqlstate", None) or ""):
        return words
    text = str(driver or "").lower()
    if isinstance(error, ProgrammingError):
        return "run `idp db upgrade` to create its tables."
    for pattern, words in _CAUSES:
        if pattern.search(text):
            return words
    return "check IDP_DATABASE_URL, and that the database runs."
