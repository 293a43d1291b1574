"""The alarm for too many wrong secrets in a minute, over all accounts, clients and nodes.

The limits of `idp.throttle` look at one account or one network. An attack that is spread over many accounts and
networks stays below each limit; only the sum shows it.
"""

import structlog

from idp.audit import log
from idp.audit.events import FailuresAlarm
from idp.config import Settings
from idp.db import unit_of_work
from idp.throttle import guard, limits

logger = structlog.get_logger()


def count_failure(settings: Settings) -> None:
    """Count one wrong secret; record and log an alarm if there are too many, at most once a minute.

    A failure costs one statement on one row. After an alarm, failures cost nothing for some seconds.

    Raises:
        RuntimeError: a unit of work is open.
    """
    most = settings.failure_alarm
    if not most:
        return
    counter = limits.failures_alarm(most)
    if guard.cached_wait((counter, "")):
        return
    verdict = guard.take(counter, "")
    if not isinstance(verdict, guard.Granted) or verdict.count < most:
        return
    # a new window may begin seconds after the last alarm: this limit keeps two alarms a minute apart
    if isinstance(guard.take(limits.ALARM_NOTED, ""), guard.Granted):
        logger.warning("many failures", per_minute=most, setting="IDP_FAILURE_ALARM")
        with unit_of_work():
            log.record(FailuresAlarm(most=most))
