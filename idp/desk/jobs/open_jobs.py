"""What the database tells the metrics of jobs."""

from collections.abc import Iterator

from sqlalchemy import Connection, func, select

from idp.clock import now
from idp.config import Settings
from idp.desk.jobs.models import Job
from idp.metrics.catalogue import JOBS, JOBS_AGE
from idp.metrics.instruments import Sample, Subject


def read(connection: Connection, _settings: Settings) -> Iterator[Sample]:
    """Yield the numbers of jobs that are not over, by their states, and the age of the oldest."""
    is_open = Job.finished_at.is_(None)
    states = select(Job.kind, Job.state, func.count(), func.min(Job.created_at)).where(is_open)
    rows = connection.execute(states.group_by(Job.kind, Job.state)).all()
    for kind, state, count, _ in rows:
        yield JOBS, (kind, state.value), count
    oldest = min((since for *_, since in rows), default=None)
    yield JOBS_AGE, (), (now() - oldest).total_seconds() if oldest else 0.0


SUBJECT = Subject(read)
