"""Listeners of a pool of psycopg connections: it asks the server for a sign of life only when there is a reason.

`pool_pre_ping` of SQLAlchemy sends a statement whenever a connection is borrowed, twice in a short request. But a
server that ends a connection (a restart, a failover, an operator) closes its socket, and a closed socket is readable:
looking at it costs no message. A server that vanished without a word leaves the socket as it is. Only a statement can
notice that; it is sent if nobody has used the connection for a while.
"""

import select
import time
from typing import Any

from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from idp import waiting

_TRUSTED_SECONDS = 5.0
"""How long after its last use a connection with a silent socket is taken for alive."""
_RETURNED_AT = "returned_at"


def _note(_connection: Any, entry: ConnectionPoolEntry) -> None:
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
    try:
        if time.monotonic() - returned_at > _TRUSTED_SECONDS or _is_readable(connection.fileno()):
            _ping(connection)
    except connection.Error as error:
        raise InvalidatePoolError from error


def _is_readable(socket: int) -> bool:
    """Return whether the server sent something that nobody asked for: the end of the connection, or a notice."""
    poll = select.poll()
    poll.register(socket, select.POLLIN)
    return bool(poll.poll(0))


def _ping(connection: Any) -> None:
    was_autocommitted = connection.autocommit
    connection.autocommit = True
    connection.execute("SELECT 1")
    connection.autocommit = was_autocommitted


LISTENERS = [(_look, "checkout"), (_note, "checkin")]
"""For `create_engine(pool_events=…)`."""
