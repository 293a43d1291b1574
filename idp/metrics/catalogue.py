"""All metrics of the service.

`docs/exploitation.md` says how they are served, `docs/alertes.md` what to do when one of them is bad. Names and units
follow https://prometheus.io/docs/practices/naming/.
"""

from idp.metrics.instruments import Counter, Gauge, Histogram, Label, Reading

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_SLOW = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_WAITS = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 5.0, 10.0)

STATIC, NOWHERE = "static", "none"
ENDPOINT = Label("endpoint", STATIC, NOWHERE)
"""The names of pages and endpoints, as in the log; `none` where no page has the path."""
STATUS = Label("status", "2xx", "3xx", "4xx", "5xx")
RESULT = Label("result", "ok", "refused", "throttled")
EVENT = Label("kind")  # of the journal
MESSAGE = Label("kind")  # of the outbox
JOB = Label("kind")  # of the desk
NOTICE = Label("kind")  # to schools
LIMIT = Label("limit")
SIGN_IN = Label("result", "ok", "throttled", "busy", "reused")
"""The results of sign-ins; `idp.accounts.authentication` and `idp.passkeys.ceremony` add the reasons of refusals."""
RECOVERY = Label("step", "blocked", "username_asked", "username_told", "password_chosen")
"""The steps of recoveries; `idp.recovery.answer` adds its answers."""
GRANT = Label("grant", "authorization_code", "refresh_token")
LANE = Label("lane", "sign_in", "activation")
ALGORITHM = Label("alg")  # the algorithms of keys that sign
FORMAT = Label("format")  # the formats of school files; the worker adds them when it first reads their numbers
MAIL_DOMAIN = Label(
    "domain",
    *("gmail.com", "orange.fr", "wanadoo.fr", "free.fr", "sfr.fr", "neuf.fr", "laposte.net", "bbox.fr", "aol.com"),
    *("hotmail.fr", "hotmail.com", "outlook.fr", "outlook.com", "live.fr", "msn.com", "yahoo.fr", "yahoo.com"),
    *("icloud.com", "me.com", "gmx.fr", "gmx.com", "proton.me", "protonmail.com", "numericable.fr", "club-internet.fr"),
)
"""The domains of most families' mailboxes, at a few large hosts; a failure of one of them concerns many people."""

# What people ask for.
REQUESTS = Counter("idp_http_requests_total", "Requests answered, by page or endpoint.", ENDPOINT, STATUS)
REQUEST_SECONDS = Histogram(
    "idp_http_request_duration_seconds",
    "Time that the answer took, without the wait for a thread.",
    ENDPOINT,
    buckets=_FAST,
)
REQUESTS_WAITING = Gauge("idp_http_requests_waiting", "Requests that no thread has taken yet.")
REQUEST_WAIT_SECONDS = Histogram(
    "idp_http_request_wait_seconds", "Time until a thread took the request.", buckets=_WAITS
)
SHED = Counter(
    "idp_http_requests_shed_total",
    "Requests answered with 503 because of a limit or of the database.",
    Label("reason", "busy", "queue", "database", "database_pool", "client_keys"),
)
LIMITED = Counter("idp_rate_limit_refusals_total", "Tries refused by a rate limit.", LIMIT)

# What they get.
SIGN_INS = Counter(
    "idp_sign_ins_total",
    "Sign-ins of families, by method and result.",
    Label("method", "password", "passkey", "device"),
    SIGN_IN,
)
STAFF_SIGN_INS = Counter("idp_staff_sign_ins_total", "Sign-ins at the desk.", RESULT)
ACTIVATIONS = Counter(
    "idp_activation_steps_total",
    "Steps of activations: the letter's password, the own password, the mail sent, the email confirmed.",
    Label("step", "opened", "completed", "mail_sent", "confirmed"),
)
RECOVERIES = Counter(
    "idp_recovery_steps_total",
    "Forgotten passwords and identifiers: what was asked for and answered, and new passwords chosen.",
    RECOVERY,
)
TOKENS = Counter(
    "idp_token_requests_total",
    "Requests to the token endpoint, by grant and by error (`none`: tokens were issued).",
    GRANT,
    Label(
        "error",
        *("none", "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "invalid_scope"),
        *("unsupported_grant_type", "invalid_dpop_proof", "use_dpop_nonce", "slow_down", "temporarily_unavailable"),
        "server_error",
    ),
)
EVENTS = Counter("idp_journal_events_total", "Events of the journal.", EVENT, RESULT)

# What the processes need.
HASHES_WAITING = Gauge("idp_password_hashes_waiting", "Requests that wait for their turn to hash.", LANE)
HASH_WAIT_SECONDS = Histogram(
    "idp_password_hash_wait_seconds", "Time until the turn of a password hash.", LANE, buckets=_WAITS
)
HASHES_REFUSED = Counter(
    "idp_password_hashes_refused_total",
    "Password hashes that were not computed: no slot in the queue, no turn in time, no memory.",
    LANE,
    Label("reason", "full", "late", "memory"),
)
POOL = Label("pool", "sessions", "statements")
CONNECTIONS = Gauge("idp_database_connections_in_use", "Connections to the database that are in use.", POOL)
CONNECTIONS_LIMIT = Gauge("idp_database_connections_limit", "Connections that the processes may open.", POOL)
WORKERS_FAILED = Counter("idp_server_workers_failed_total", "Worker processes that ended unexpectedly.")

# What the worker does.
DELIVERIES = Counter(
    "idp_outbox_deliveries_total",
    "Attempts at messages of the outbox, by outcome; `waiting`, `uncertain` and `relay_down` are tried again.",
    MESSAGE,
    Label("outcome", "sent", "dropped", "waiting", "uncertain", "relay_down", "dead", "lease_lost"),
)
DELIVERY_SECONDS = Histogram(
    "idp_outbox_delivery_duration_seconds", "Time that the handler of a message took.", MESSAGE, buckets=_SLOW
)
MAILS = Counter(
    "idp_mail_deliveries_total",
    "Attempts to hand a mail to the mail server, by the recipient's domain.",
    MAIL_DOMAIN,
    Label("result", "sent", "temporary", "uncertain", "permanent"),
)
WORKER_BEAT = Gauge("idp_worker_last_run_timestamp_seconds", "When the worker last looked for messages.")
JOBS_ENDED = Counter(
    "idp_jobs_ended_total", "Jobs of the desk that ended.", JOB, Label("state", "done", "failed", "cancelled")
)

# What the database knows: the worker reads it when it is asked for its metrics.
OUTBOX_WAITING = Reading("idp_outbox_messages_waiting", "Messages that are not delivered yet.", MESSAGE)
OUTBOX_AGE = Reading(
    "idp_outbox_oldest_ready_seconds",
    "How long the oldest message has been ready, or has waited for the mail server, without being delivered.",
    MESSAGE,
)
OUTBOX_DEAD = Reading("idp_outbox_messages_dead", "Messages that were given up, and wait for an operator.", MESSAGE)
JOBS = Reading("idp_jobs_open", "Jobs of the desk that are not over.", JOB, Label("state", "waiting", "running"))
JOBS_AGE = Reading("idp_jobs_oldest_open_seconds", "Age of the oldest job of the desk that is not over.")
IMPORTS = Reading(
    "idp_roster_imports_recent",
    "Imports of school files in the last seven days.",
    FORMAT,
    Label("state", "running", "done", "stopped", "failed"),
)
IMPORTS_TO_REDO = Reading(
    "idp_roster_imports_to_redo", "Those of them that stopped or failed, and that no later one made good.", FORMAT
)
IMPORT_AT = Reading("idp_roster_import_last_timestamp_seconds", "When an import of school files was last completed.")
KEY_AGE = Reading("idp_signing_key_age_seconds", "Age of the key that signs, since its first use.", ALGORITHM)
KEY_PERIOD = Reading("idp_signing_key_rotation_seconds", "The age at which the worker makes a new key; 0: never.")
LETTERS_VALID = Reading("idp_letters_valid", "Provisional passwords that are valid and unused.")
LETTERS_EXPIRING = Reading("idp_letters_expiring", "Those of them that expire within seven days.")
NOTICES_OPEN = Reading("idp_school_notices_open", "Notices that schools have not settled.", NOTICE)
NOTICES_AGE = Reading("idp_school_notices_oldest_open_seconds", "Age of the oldest notice that is not settled.")
PURGE_AT = Reading("idp_purge_last_success_timestamp_seconds", "When `idp purge` was last completed; 0: never.")
READ_FAILED = Reading(
    "idp_database_readings_failed",
    "Whether the metrics of this subject could not be read in time.",
    Label("subject", "outbox", "jobs", "imports", "keys", "letters", "notices", "purge"),
)
