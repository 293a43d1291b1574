"""Imports all tables; migrations and their tests compare the database with them."""

from idp.accounts import closings, models as accounts, one_time_links, retired
from idp.activation import service as activation
from idp.audit import models as audit
from idp.charter import models as charter
from idp.clients import models as clients
from idp.db import Base
from idp.desk import kept_forms
from idp.desk.jobs import models as jobs
from idp.desk.staff import models as staff
from idp.desk.statistics import models as statistics
from idp.oidc import models as oidc
from idp.outbox import queue as outbox
from idp.passkeys import models as passkeys
from idp.rostering import models as rostering
from idp.sessions import models as sessions
from idp.throttle import counters as throttle

MODULES = (
    *(accounts, activation, audit, charter, clients, jobs, kept_forms, oidc, one_time_links, outbox, retired),
    *(passkeys, rostering, sessions, staff, statistics, closings, throttle),
)
metadata = Base.metadata
