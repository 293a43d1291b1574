"""Connections to PostgreSQL: their time limits, and the listeners of a pool that checks them only if there is a reason.

`pool_pre_ping` of SQLAlchemy sends a statement whenever a connection is borrowed, twice in a short request. But a
server that ends a connection (a restart, a failover, an operator) closes its socket, and a closed socket is readable:
looking at it costs no message. A server that vanished without a word leaves the socket as it is. Only a statement can
notice that; it is sent if nobody has used the connection for a while.
"""

import logging
import select
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg.sql
from psycopg.pq import TransactionStatus
from sqlalchemy import URL, Dialect, Engine, NullPool, create_engine, event
from sqlalchemy.exc import InvalidatePoolError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from idp import waiting
from idp.metrics.catalogue import CONNECTIONS, CONNECTIONS_LIMIT
from idp.tracing import Kind, begin_recorded

_LIMITS = {"statement_timeout": "5s", "lock_timeout": "2s", "idle_in_transaction_session_timeout": "10s"}
_SETTINGS = {**_LIMITS, "timezone": "UTC"}
POSTGRESQL_SETTINGS = " ".join(f"-c {name}={value}" for name, value in _SETTINGS.items())
"""The time limits of the server, as start options of a connection."""
_HAVE_LIMITS = psycopg.sql.SQL(" AND ").join(
    psycopg.sql.SQL("current_setting({}) <> '0'").format(psycopg.sql.Literal(name)) for name in _LIMITS
)
# The same, as an operator gives them to the role behind a pooler.
_SET_LIMITS = (
    " ".join(f"ALTER ROLE idp SET {name} = '{value}';" for name, value in _SETTINGS.items())
    + " Then restart PgBouncer (or RECONNECT at its console): its open connections keep the former limits."
)
ENCODING = "UTF8"
"""The encoding of the database: in another one, letters with accents are compared wrongly or cannot be stored."""
POSTGRESQL_PATIENCE = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""The time limits of libpq for a server that does not answer, in seconds; the last in milliseconds."""
ANSWER_SECONDS = 6.0
"""The longest wait for the answer to one message.

It is longer than `statement_timeout`, after which a connection can be used again. It ends the wait for a server that
stands still (a stopped process, a full disk), and so ends no statement itself.
"""
# `connect_timeout` where a standby may take over: a host that stands still must not use up the time of the others.
_SECONDS_FOR_EACH_HOST = 2
_DEFAULT_PORT = "5432"
_TRUSTED_SECONDS = 5.0  # how long after its last use a connection with a silent socket is taken for alive
# The same where a standby may take over: each process finds out for itself that a host stands still.
_TRUSTED_SECONDS_WITH_STANDBY = 1.0
_SIGN_OF_LIFE_SECONDS = 2.0  # the longest wait for the answer to a ping where a standby may take over
_RETURNED_AT, _IS_COUNTED, _SPAN = "returned_at", "is_counted", "span"


log = logging.getLogger(__name__)


class PatientConnection(psycopg.Connection[Any]):
    """A connection that breaks if the server does not answer in time.

    Attributes:
        patience: how many seconds the server has for one message.
        is_host_alone_late: whether a late answer counts against the host of this connection, and not as an outage.
    """

    patience = ANSWER_SECONDS
    is_host_alone_late = False

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Wait as psycopg does, with a time limit.

        Raises:
            psycopg.OperationalError: the server did not answer in time; the connection is closed. What was sent may
                have been executed.
        """
        try:
            return super().wait(gen, interval, self.patience if timeout is None else timeout)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                if not self.is_host_alone_late:
                    outage.note()
                hosts.note_silent(self)
                self.pgconn.finish()
            raise


class Outage:
    """Whether the database stands still, as far as this process knows.

    While it does, one thread at a time tries to connect. The others fail at once: each would wait for the time limit,
    and requests would queue for ever longer.
    """

    def __init__(self) -> None:
        self._is_known = False
        self._noted_at = 0.0
        self._trying = threading.Lock()

    def note(self) -> None:
        """Note that the server did not answer in time."""
        self._is_known, self._noted_at = True, time.monotonic()

    def is_after(self, moment: float) -> bool:
        """Return whether the server did not answer in time after `moment`, of the monotonic clock."""
        return self._noted_at > moment

    def connect(self, connect: Callable[[], PatientConnection]) -> PatientConnection:
        """Return a new connection.

        Raises:
            psycopg.OperationalError: there is none, or another thread is trying during an outage.
        """
        if not self._is_known:
            return self._connect(connect)
        if not self._trying.acquire(blocking=False):
            raise psycopg.OperationalError("the database did not answer a moment ago")
        try:
            return self._connect(connect)
        finally:
            self._trying.release()

    def _connect(self, connect: Callable[[], PatientConnection]) -> PatientConnection:
        try:
            connection = connect()
        except psycopg.errors.ConnectionTimeout:
            self.note()
            raise
        self._is_known = False
        return connection


outage = Outage()  # of the one database of this process


class Hosts:
    """The order in which the hosts of the database are tried, where the URL names several.

    libpq keeps the order of the URL. Each new connection would wait for the first host as long as that host stands
    still, although a standby has taken over.
    """

    def __init__(self) -> None:
        self._silent: frozenset[tuple[str, str]] = frozenset()
        self._answered: tuple[str, str] | None = None
        self.are_several = False
        """Whether the URL names several; with one, the wait for a ping is as long as for any statement."""

    @property
    def trusted_seconds(self) -> float:
        """How long after its last use a connection is taken for alive."""
        return _TRUSTED_SECONDS_WITH_STANDBY if self.are_several else _TRUSTED_SECONDS

    @property
    def ping_seconds(self) -> float:
        """The longest wait for the answer to a ping."""
        return _SIGN_OF_LIFE_SECONDS if self.are_several else ANSWER_SECONDS

    def note_silent(self, connection: PatientConnection) -> None:
        """Note that the host of an open connection did not answer in time: it is tried last."""
        self._silent |= {_host_of(connection)}

    def note_answer(self, connection: PatientConnection) -> None:
        """Note that the host of a new connection answered: it is tried first."""
        self._answered = _host_of(connection)
        self._silent -= {self._answered}

    def sort(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return the driver's arguments with their hosts in the order in which to try them."""
        listed: dict[str, list[str]] = {
            name: str(options[name]).split(",") for name in ("host", "hostaddr", "port") if name in options
        }
        names = listed["host"]
        ports = listed.get("port", [""])
        pairs = list(zip(names, ports if len(ports) == len(names) else ports * len(names), strict=True))
        order = sorted(range(len(pairs)), key=lambda number: self._rank(*pairs[number]))
        sorted_lists: dict[str, Any] = {
            name: ",".join(values[number] for number in order)
            for name, values in listed.items()
            if len(values) == len(names)  # one port is that of all hosts
        }
        return {**options, **sorted_lists}

    def _rank(self, name: str, port: str) -> int:
        host = (name, port or _DEFAULT_PORT)
        return 2 if host in self._silent else int(host != self._answered)


def _host_of(connection: PatientConnection) -> tuple[str, str]:
    return connection.info.host, str(connection.info.port)


hosts = Hosts()  # of the one database of this process


class NoLimitsError(psycopg.OperationalError):
    """The time limits of the server are missing: a pooler dropped them. `pooler` says that the settings name one."""

    def __init__(self, *, pooler: bool) -> None:
        super().__init__("the connection has no time limits")
        self.pooler = pooler


def connect_args(*, pooler: bool, more: str = "") -> dict[str, Any]:
    """Return the driver's arguments of a connection with time limits.

    Args:
        pooler: whether PgBouncer in transaction mode is between: it takes no start options, so that the limits are
            those of the role, and it knows no prepared statements before its version 1.21.
        more: other settings of the server, in the form of `POSTGRESQL_SETTINGS`; a pooler does not get them.
    """
    if pooler:
        return {"prepare_threshold": None, "client_encoding": ENCODING, **POSTGRESQL_PATIENCE}
    options = f"{POSTGRESQL_SETTINGS} {more}".rstrip()
    return {"options": options, "client_encoding": ENCODING, **POSTGRESQL_PATIENCE}


def may_prepare(connection: Any) -> bool:
    """Return whether the server keeps prepared statements for this connection of the driver."""
    return connection.prepare_threshold is not None


def find_pooler_fault(url: URL, *, pooler: bool) -> str:
    """Return why this service must not use the pooler that is before its database, for an operator.

    The text is empty if all is well, and if the database does not answer.
    """
    engine = create_engine(url, poolclass=NullPool, connect_args=connect_args(pooler=pooler), hide_parameters=True)
    try:
        engine.connect().close()
    except OperationalError as error:
        return pooler_fault(error.orig)
    return ""


def pooler_fault(error: BaseException | None) -> str:
    """Return what a pooler does to connections, and the remedy, if an error of the driver comes from that."""
    if isinstance(error, NoLimitsError):
        remedy = "Set" if error.pooler else "Set IDP_DATABASE_POOLER=1, and"
        return f"a pooler drops the time limits of connections. {remedy}: {_SET_LIMITS}"
    if "unsupported startup parameter" in str(error):
        return f"PgBouncer refuses start options. Set IDP_DATABASE_POOLER=1, and: {_SET_LIMITS}"
    return ""


@event.listens_for(Engine, "do_connect")
def _connect(_dialect: Dialect, _entry: Any, arguments: list[Any], options: dict[str, Any]) -> Any:
    """Return a connection with our time limit if those of the server are set too: a migration has neither."""
    if _is_limited(options):
        if "," in str(options.get("host", "")):
            hosts.are_several = True
            options = {**hosts.sort(options), "connect_timeout": _SECONDS_FOR_EACH_HOST}
        connection = outage.connect(lambda: PatientConnection.connect(*arguments, **options))
        hosts.note_answer(connection)
        return _checked(connection)
    return None


def _is_limited(options: dict[str, Any]) -> bool:
    return options.get("prepare_threshold", 0) is None or str(options.get("options")).startswith(POSTGRESQL_SETTINGS)


def _checked(connection: PatientConnection) -> PatientConnection:
    if _alone(connection, psycopg.sql.SQL("SELECT ") + _HAVE_LIMITS) == (True,):
        return connection
    connection.close()
    log.error("a pooler drops the time limits of connections; set them by: %s", _SET_LIMITS)
    raise NoLimitsError(pooler=not may_prepare(connection))


def _note_return(_connection: Any, entry: ConnectionPoolEntry) -> None:
    entry.info[_RETURNED_AT] = time.monotonic()


def _look(connection: Any, entry: ConnectionPoolEntry, _borrowed: PoolProxiedConnection) -> None:
    """Have the pool reconnect if the connection is lost.

    Raises:
        InvalidatePoolError: it is; all connections that are as old are replaced too.
        WouldWaitError: the block must not wait for the database.
    """
    waiting.refuse()
    returned_at = entry.info.get(_RETURNED_AT)
    if returned_at is None:  # a new connection
        return
    if outage.is_after(returned_at):
        raise InvalidatePoolError
    try:
        if time.monotonic() - returned_at > hosts.trusted_seconds or _is_readable(connection.fileno()):
            _ping(connection)
    except connection.Error as error:
        raise InvalidatePoolError from error


def _is_readable(socket: int) -> bool:
    """Return whether the server sent something that nobody asked for: the end of the connection, or a notice."""
    poll = select.poll()
    poll.register(socket, select.POLLIN)
    return bool(poll.poll(0))


def _ping(connection: Any) -> None:
    usual = connection.patience
    connection.patience, connection.is_host_alone_late = hosts.ping_seconds, hosts.are_several
    try:
        _alone(connection, psycopg.sql.SQL("SELECT 1"))
    finally:
        connection.patience, connection.is_host_alone_late = usual, False


def _alone(connection: Any, statement: psycopg.sql.Composable) -> Any:
    was_autocommitted = connection.autocommit
    connection.autocommit = True
    row = connection.execute(statement).fetchone()
    connection.autocommit = was_autocommitted
    return row


def listeners(name: str, most: int) -> list[tuple[Any, str]]:
    """Return the listeners for `create_engine(pool_events=…)` of a pool of at most `most` connections."""

    def count_loan(_connection: Any, entry: ConnectionPoolEntry, _borrowed: PoolProxiedConnection) -> None:
        CONNECTIONS_LIMIT.set(most, name)
        known: Any = entry.record_info
        known[_IS_COUNTED] = True
        CONNECTIONS.change(1, name)
        if span := begin_recorded(f"database {name}", Kind.CLIENT):
            known[_SPAN] = span

    def count_return(_connection: Any, entry: ConnectionPoolEntry) -> None:
        known: Any = entry.record_info
        if known.pop(_IS_COUNTED, False):  # `_look` may have refused the loan
            CONNECTIONS.change(-1, name)
            if span := known.pop(_SPAN, None):
                span.end({"name": f"database {name}"}, "")

    return [(_look, "checkout"), (count_loan, "checkout"), (_note_return, "checkin"), (count_return, "checkin")]
