"""The table of all rate limits.

Unless a line says otherwise, failures are counted: a try is counted before its work and uncounted when it succeeds.
Unknown subjects are counted like known ones, so that a limit does not tell whether an account exists.

A limit is its line of the table: limits and rules are compared by identity, which makes them cheap keys of caches.
"""

import ipaddress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import lru_cache

from idp.metrics.catalogue import LIMIT

_MINUTE = timedelta(minutes=1)
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)
_MONTH = timedelta(days=30)
_IPV6_SUBSCRIBER = 64
_IPV6_SITE = 48
SITE_FACTOR = 20
"""The budget of an IPv6 /48, as a multiple of one subscriber's.

A rented server often has a whole /48 with 65,536 subscriber networks, each of which would have a budget of its own. But
a telephone company also puts many subscribers into one /48, so that its budget must be wide.
"""


@dataclass(frozen=True, eq=False)
class Window:
    """At most `tries` in `span`, counted from the first of them."""

    tries: int
    span: timedelta


@dataclass(frozen=True, eq=False)
class Budget:
    """A number of tries in a span of time. With several windows, each must have room; a refused try counts in none.

    Attributes:
        name: the limit's name in the table of counters, 30 characters at most.
        windows: shortest first.
        by_network: the subject is an IP; an IPv6 subscriber (a /64) is one subject, and each /48 has a wider budget
            beside it (`SITE_FACTOR`).
    """

    name: str
    windows: tuple[Window, ...]
    by_network: bool = False

    @property
    def rates(self) -> str:
        """The windows in French, each of a minute, an hour or a day: « 5 par heure et 15 par jour »."""
        spans = {_MINUTE: "minute", _HOUR: "heure", _DAY: "jour"}
        return " et ".join(f"{window.tries} par {spans[window.span]}" for window in self.windows)


@dataclass(frozen=True, eq=False)
class Backoff:
    """Free tries, then a pause after each try, which grows up to the last step and never locks the subject out.

    Attributes:
        name: the limit's name in the table of counters, 30 characters at most.
        free: tries that need no pause between them.
        steps: the pause after the last free try, after the next one, and so on.
        quiet: the counter expires after this time without a try; longer than every step.
        by_network: as for `Budget`.
    """

    name: str
    free: int
    steps: tuple[timedelta, ...]
    quiet: timedelta
    by_network: bool = False


Limit = Budget | Backoff


_AFTER_FAILURES = tuple(timedelta(seconds=s) for s in (5, 15, 60, 300, 600))

SIGN_IN_ACCOUNT = Backoff("sign_in_account", 5, _AFTER_FAILURES, quiet=_MONTH)
"""Wrong secrets of one identifier, at the sign-in, activation, re-authentication and change of password together."""
SIGN_IN_DEVICE = Backoff("sign_in_device", 5, _AFTER_FAILURES, quiet=_MONTH)
"""The same from a browser in which the account signed in before: guesses from other browsers do not count here."""
SIGN_IN_IP = Budget("sign_in_ip", (Window(100, _HOUR),), by_network=True)
"""Wrong secrets from one IP, for any account. The families of a school may share an IP."""
SIGN_IN_REQUESTS = Budget("sign_in_requests", (Window(30, _MINUTE),), by_network=True)
"""The same in a short time."""
LETTER_NOTICE_AT = 50
"""Consecutive wrong provisional passwords after which the school gets a notice, and again after as many more if it
settled the notice. The letter stays valid: nobody guesses its 60 bits, and every ENT knows the identifier."""
SHUT_AT = 100
"""Consecutive wrong passwords after which the right one is refused too (NIST SP 800-63B-4 3.2.2), until a reset by mail
or in a browser of the account, which has a limit of its own. It does not apply to the secret of a letter, which is
random."""

SIGN_INS = Window(60, _HOUR)
"""Sign-ins of one account that succeed, by any key. Their sessions are counted, in place of a counter."""
MOST_SESSIONS = 30
"""Open sessions of one account. One more ends the oldest."""

PASSKEY_DEVICE = Budget("passkey_device", (Window(30, _MINUTE), Window(100, _HOUR)))
"""Passkeys that prove nothing, in a browser in which a parent signed in before: its IP does not count."""
PASSKEY_IP = Budget("passkey_ip", (Window(30, _MINUTE), Window(100, _HOUR)), by_network=True)
"""The same from one IP. Nobody guesses a signature: the limit is for the journal, and does not count passwords."""
PASSKEY_ADDITIONS = Budget("passkey_additions", (Window(10, _HOUR), Window(20, _DAY)))
"""Passkeys that one account adds, each of which is a mail. Done ones count."""

DEVICE_ROTATIONS = Budget("device_rotations", (Window(60, _HOUR), Window(200, _DAY)))
"""Sessions that one device session opens (« Rester connecté »), each of which is a row. A browser that starts with many
tabs opens one for each. Done ones count."""

DESK_SIGN_IN_ACCOUNT = Backoff("desk_sign_in_account", 5, _AFTER_FAILURES, quiet=_DAY)
"""Wrong passwords and codes of one person of the desk, at the sign-in."""
DESK_SIGN_IN_DEVICE = Backoff("desk_sign_in_device", 5, _AFTER_FAILURES, quiet=_DAY)
"""The same from a browser in which the person signed in before: guesses from elsewhere do not count here."""
DESK_PROOF = Backoff("desk_proof", 5, _AFTER_FAILURES, quiet=_DAY)
"""Wrong passwords, codes, passkeys and académie accounts at the proofs of one session: a stranger has none to block."""
DESK_SIGN_IN_IP = Budget("desk_sign_in_ip", (Window(60, _HOUR),), by_network=True)
"""The same from one IP, and passkeys that prove nothing. A school has one IP."""

DESK_PASSKEY_DEVICE = Budget("desk_passkey_device", (Window(60, _HOUR),))
"""Passkeys that prove nothing, and sign-ins at the académie, in a browser of the desk: its IP does not count."""

DESK_CHALLENGE_IP = Budget("desk_challenge_ip", (Window(300, _HOUR),), by_network=True)
"""Challenges for passkeys that anybody may ask for, each of which is a row, from one IP. The right answer uncounts."""
DESK_CHALLENGE_DEVICE = Budget("desk_challenge_device", (Window(100, _HOUR),))
"""The same in a browser in which somebody of the desk signed in before: a stranger on its network does not block it."""

DESK_REFUSALS = Budget("desk_refusals", (Window(1_000_000, _HOUR),))
"""Pages that the desk refused to one person. The journal has the first ones, and the number."""

ACADEMY_CLOSING = Budget("academy_closing", (Window(10, _HOUR), Window(30, _DAY)))
"""Closings by one person of the académie. Done ones count; refused ones do not."""
SECRETARY_CLOSINGS = Budget("secretary_closings", (Window(5, _HOUR), Window(15, _DAY)))
"""Accesses that one person closes as a secretary: closings and calls together. Done ones count."""
HEAD_CLOSINGS = Budget("head_closings", (Window(20, _HOUR),))
"""The same as a head."""

ENT_MOVES = Budget("ent_moves", (Window(10, _DAY),))
"""Changes of addresses of one ENT by one of its operators that are in force at once: each is a mail to the others."""
FIRST_LETTERS = Budget("first_letters", (Window(10, _HOUR), Window(30, _DAY)))
"""Letters, one by one, for accounts that were never active, by one person of the desk without a fresh proof. A letter
with one clears the count: a stolen cookie gets few, and a full counter in September gives a proof now and then."""
ENT_TRIALS = Budget("ent_trials", (Window(60, _HOUR),))
"""Trials of ENTs that one person of the desk asks for: each may hold a thread for 20 seconds."""
FILE_CHECKS = Budget("file_checks", (Window(20, _HOUR),))
"""Checks of school files that one person of the desk asks for: each answers questions about the people in them."""

_A_MAIL = (Window(1, _MINUTE), Window(5, _HOUR), Window(10, _DAY))
RESEND_LINK_ACCOUNT = Budget("resend_link_account", _A_MAIL)
"""Requests for the mail of the confirmation link, for each account."""
RESEND_LINK_MAILBOX = Budget("resend_link_mailbox", _A_MAIL)
"""The same for each mailbox, so that nobody can flood it."""
RESEND_LINK_IP = Budget("resend_link_ip", (Window(300, _HOUR),), by_network=True)
"""The same for each IP. The families of a school may share an IP on its first evening."""
REMINDER = Budget("reminder", (Window(1, timedelta(days=7)),))
"""Reminders that a school asks for, for each account: one mail a week."""
BAD_LINK_IP = Budget("bad_link_ip", (Window(30, _HOUR),), by_network=True)
"""Invalid links, for each IP."""
EMAIL_CODE = Budget("email_code", (Window(5, timedelta(days=8)),))
"""Wrong codes of one mail, by the link beside the code. The window is longer than `IDP_EMAIL_LINK_LIFETIME` may be: the
mail's code is refused for good, and a new mail has a new one."""
EMAIL_CODE_ACCOUNT = Budget("email_code_account", (Window(20, _DAY),))
"""The same for each account, whatever the number of mails."""
EMAIL_CODE_IP = Budget("email_code_ip", (Window(60, _HOUR),), by_network=True)
"""The same from one IP, for any account."""
LINK_PASSWORD = Budget("link_password", (Window(5, _HOUR), Window(10, _DAY)))
"""Wrong passwords at the links of one account's mails that confirm an address: a stranger may have got such a mail."""
CORRECT_EMAIL = Budget("correct_email", (Window(5, _HOUR), Window(10, _DAY)))
"""Corrections of an email that was mistyped at the activation, for each account: no pause, the same caps."""
STAFF_LINK = Budget("staff_link", _A_MAIL)
"""Links and invitations that one person of the desk sends again to one mailbox. Those of others do not count: the
answer would tell that the mailbox has an account."""
FORGOTTEN_PASSWORD = Budget("forgotten_password", (Window(1, _MINUTE),))
"""Requests for a new password: for an identifier, known or unknown, from one network; in a browser that the account
knows. It is short: a stranger may be in the owner's network, or at the owner's computer."""
_BETWEEN_MAILS = tuple(minutes * _MINUTE for minutes in (1, 1, 5, 10, 20, 30, 60))
FORGOTTEN_PASSWORD_ACCOUNT = Backoff("forgotten_password_account", 1, _BETWEEN_MAILS, quiet=_DAY)
"""The mails that answer requests for one account, thirty a day at most. Their links work until the next mail may be
sent, so that the limit locks no owner out. The worker counts: a visitor who could observe the count would learn that
the account exists."""
FORGOTTEN_PASSWORD_DEVICE = Backoff("forgotten_password_device", 1, _BETWEEN_MAILS, quiet=_DAY)
"""The same from browsers that verified the account's present password: a stranger does not add to it."""
BLOCKED_PASSWORD = Budget("blocked_password", _A_MAIL)
"""Requests for a new password by the right one, which is blocked, for each account."""
FORGOTTEN_USERNAME_MAILBOX = Budget("forgotten_username_mailbox", _A_MAIL)
"""Requests for the identifiers of a mailbox, known or unknown."""
FORGOTTEN_IP = Budget("forgotten_ip", (Window(300, _HOUR),), by_network=True)
"""Both kinds of requests from one IP. The families of a school, or of a telephone company, may share it."""
ACTIVATION_ACCOUNT = Budget("activation_account", (Window(30, _MINUTE), Window(60, _HOUR)))
"""Forms of the activation of one account, each of which may cost hashes. Done ones count."""
ACTIVATION_IP = Budget("activation_ip", (Window(300, _MINUTE), Window(3_000, _HOUR)), by_network=True)
"""The same from one IP: on the first evening, a school's families share one."""
NOTICE_MAILBOX = Budget("notice_mailbox", (Window(10, _HOUR),))
"""Notices to a mailbox (a sign-in, a change of password); the worker counts them."""
CLIENT_PROOF = Backoff("client_proof", 10, (timedelta(seconds=1),), quiet=_MINUTE)
"""Failed authentications of one client: one check a second. Valid ones are neither counted nor refused, so that nobody
can lock an ENT out."""
CLIENT_PROOF_IP = Budget("client_proof_ip", (Window(100, _MINUTE),), by_network=True)
"""Failed authentications of any client, from one IP."""
PUSHED_IP = Budget("pushed_ip", (Window(120, _MINUTE),), by_network=True)
"""Pushed authorization requests of public clients, from one IP: each valid one stores a row."""
REFUSAL_NOTED = Budget("refusal_noted", (Window(1, _HOUR),))
"""Journal entries about the refusals of one counter: only the first of an hour is written."""

AUTHORIZE_SESSION = Budget("authorize_session", (Window(60, _MINUTE),))
"""Authorization requests of one session, in each process. Each may store a code. A person who opens ENTs, and ENTs that
renew silently in a few tabs, send a handful a minute; a redirect loop sends hundreds."""
AUTHORIZE_NETWORK = Budget("authorize_network", (Window(12_000, _MINUTE),), by_network=True)
"""Authorization requests from one network, in each process. On the first evening, a school behind one IP may make 60
sign-ins a second with three requests each: 10,800 a minute, if one process serves them all."""
PROXY_NOTED = Budget("proxy_noted", (Window(1, 7 * _DAY),))
"""Journal entries about forwarded headers that are ignored. `idp config check` reads this counter."""
ALARM_NOTED = Budget("alarm_noted", (Window(1, _MINUTE),))
"""Journal entries about too many failures in a minute."""


@lru_cache(maxsize=8)  # one object for one number, see above
def failures_alarm(most: int) -> Budget:
    """Return the budget of failures in a minute, over all nodes; failure number `most` raises the alarm."""
    return Budget("failures_alarm", (Window(most, _MINUTE),))


TABLE: tuple[Limit, ...] = tuple(line for line in globals().copy().values() if isinstance(line, Limit))
"""All limits above."""
LIMIT.allow(limit.name for limit in TABLE)


def longest_by_network() -> timedelta:
    """Return how long a limit keeps the counter of an IP, at most."""
    return max(_span(limit) for limit in TABLE if limit.by_network)


def longest() -> timedelta:
    """Return how long a limit keeps a counter, at most."""
    return max(map(_span, TABLE))


def _span(limit: Limit) -> timedelta:
    return limit.quiet if isinstance(limit, Backoff) else limit.windows[-1].span


def network_of(ip: str) -> str:
    """Return the network of one subscriber: an IPv4 as it is, the /64 of an IPv6, or the text if it is not an IP."""
    parsed = _parsed(ip)
    if parsed is None:
        return ip
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    return str(ipaddress.ip_network((int(parsed), _IPV6_SUBSCRIBER), strict=False))


def site_of(ip: str) -> str | None:
    """Return the /48 of an IPv6, or None for any other text."""
    parsed = _parsed(ip)
    if not isinstance(parsed, ipaddress.IPv6Address):
        return None
    return str(ipaddress.ip_network((int(parsed), _IPV6_SITE), strict=False))


@lru_cache(maxsize=64)
def for_site(rule: Window | Backoff) -> Window | Backoff:
    """Return `rule` with the wider budget of a /48."""
    if isinstance(rule, Window):
        return replace(rule, tries=rule.tries * SITE_FACTOR)
    return replace(rule, free=rule.free * SITE_FACTOR)


@lru_cache(maxsize=1024)
def _parsed(ip: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        parsed = ipaddress.ip_address(ip.strip())
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed
