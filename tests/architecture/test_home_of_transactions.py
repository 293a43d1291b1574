"""`idp.db.unit_of_work` alone begins, commits and rolls back; slow calls alone release the session's connection."""

import ast
import re
from collections.abc import Iterator

from tests.architecture.tree import modules, named, nodes_of, parsed, shown
from tests.rows import each_row

HOME = "idp/db.py"
OWN_TRANSACTIONS = {
    "idp/throttle/guard.py": "a try stays counted, whatever becomes of the caller's unit of work",
    "idp/outbox/leases.py": "a lease is committed apart from what the handler of the message does",
    "idp/rostering/lock.py": "the lock of the imports is held by a transaction of its own connection",
    "idp/outbox/queue.py": "the same worker, which has no session of its own",
    "idp/schema.py": "migrations, without an application",
    "idp/rostering/reconcile/staging.py": "the private SQLite database of an import",
}
"""The modules that have transactions of their own, and why."""
SLOW = {
    "idp/accounts/passwords/hasher.py": "a hash",
    "idp/accounts/passwords/breached.py": "the first reading of a large file",
    "idp/mail/smtp.py": "an SMTP dialogue",
    "idp/http_client/outgoing.py": "an HTTP request",
    "idp/oidc/client_auth/client_keys.py": "a wait for a thread that does an HTTP request",
    "idp/oidc/keys/ring.py": "a wait for a thread that reads the keys by a connection of its own",
    "idp/throttle/guard.py": "a connection of its own",
    "idp/statements.py": "a connection of its own",
}
"""The modules that release the session's connection, and what for."""
_METHODS = {"commit", "rollback", "begin", "begin_nested"}
_STATEMENT = re.compile(r"(BEGIN|COMMIT|ROLLBACK)\b( IMMEDIATE)?;?")


def controls(tree: ast.AST) -> Iterator[int]:
    for node in nodes_of(tree):
        match node:
            case ast.Attribute(attr=name) if name in _METHODS:
                yield node.lineno
            case ast.Constant(value=str() as text) if _STATEMENT.fullmatch(text):
                yield node.lineno


def test_transactions_begin_and_end_in_one_module() -> None:
    matches = {shown(path) for path in modules("idp", "demo") if any(controls(parsed(path)))}
    assert matches == {HOME, *OWN_TRANSACTIONS}


def test_connection_is_released_by_what_is_slow_and_not_by_its_callers() -> None:
    matches = {
        shown(path)
        for path in modules("idp", "demo")
        for node in nodes_of(parsed(path))
        if isinstance(node, ast.Call) and named(node.func).endswith("release_connection")
    }
    assert matches == {HOME, *SLOW}


@each_row(
    ("text", "is_one"),
    [
        ("db.session.commit()", True),
        ("db.session().rollback()", True),
        ("with Session(db.engine) as session, session.begin(): ...", True),
        ("committing = partial(db.session.commit)", True),
        ("connection.execute(text('BEGIN IMMEDIATE'))", True),
        ("with unit_of_work(): db.session.flush()", False),
        ("'to commit is to begin'", False),
    ],
)
def test_a_second_home_would_be_seen(text: str, is_one: bool) -> None:  # noqa: FBT001 - a row of the table above
    assert any(controls(ast.parse(text))) is is_one
