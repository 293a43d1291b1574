"""Every limit, in one table.

Failures are what is counted, unless a line says otherwise: a try is counted before its work and given back when it
turns out right. The same counts hold for what exists and for what does not, so that a limit says nothing about an
account.
"""

import ipaddress
from dataclasses import dataclass, replace
from datetime import timedelta

_MINUTE = timedelta(minutes=1)
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)
_MONTH = timedelta(days=30)
_IPV6_SUBSCRIBER = 64
_IPV6_SITE = 48
SITE_FACTOR = 20
"""How much more an IPv6 /48 may do than one subscriber.

Whoever rents a server often gets a whole /48, which holds 65,536 subscribers' networks: without a limit of its own,
each of them would start with a fresh budget. A telephone company puts many subscribers into one /48 as well, so the
factor leaves room for an evening on which twenty times as many of them mistype as one school's network may.
"""


@dataclass(frozen=True)
class Window:
    """At most `tries` in `span`, counted from the first of them."""

    tries: int
    span: timedelta


@dataclass(frozen=True)
class Budget:
    """So many tries in a span of time; with several windows, each must have room, and a refused try counts in none.

    Attributes:
        name: the limit's name in the table of counters, 30 characters at most.
        windows: shortest first.
        by_network: the subject is an IP; one IPv6 subscriber (a /64) counts as one, and each /48 has a wider budget
            of its own beside it (`SITE_FACTOR`).
    """

    name: str
    windows: tuple[Window, ...]
    by_network: bool = False


@dataclass(frozen=True)
class Backoff:
    """Some free tries, then a pause after each that grows up to the last step and never becomes a lock.

    Attributes:
        name: the limit's name in the table of counters, 30 characters at most.
        free: tries that need no pause between them.
        steps: the pause after the last free try, after the next one, and so on.
        quiet: all is forgotten after this long without a try; longer than every step.
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
"""Wrong secrets of one identifier, from anywhere, by whatever door: sign-in, activation, re-authentication, change."""
SIGN_IN_DEVICE = Backoff("sign_in_device", 5, _AFTER_FAILURES, quiet=_MONTH)
"""The same from one browser that the account signed in on before: whoever guesses elsewhere does not close it."""
SIGN_IN_ADDRESS = Budget("sign_in_address", (Window(100, _HOUR),), by_network=True)
"""Wrong secrets from one network address, for any account. Right ones are given back: a school's families share one."""
SIGN_IN_REQUESTS = Budget("sign_in_requests", (Window(30, _MINUTE),), by_network=True)
"""The same in a short time."""
LETTER_NOTICE_AT = 50
"""Wrong provisional passwords in a row after which the school is told, and told again after as many more if it settled
the notice meanwhile. The letter stays good: its 60 bits are not guessed, and every ENT knows the identifier."""
SHUT_AT = 100
"""Wrong passwords in a row after which the right one opens nothing there: a reset by mail, or the account's usual
browser, which has a line of its own (NIST SP 800-63B-4 3.2.2). A letter's secret is not chosen by a person, so that
this limit does not hold for it."""

_A_MAIL = (Window(1, _MINUTE), Window(5, _HOUR), Window(10, _DAY))
RESEND_LINK_ACCOUNT = Budget("resend_link_account", _A_MAIL)
"""Requests for the mail of the confirmation link, for each account."""
RESEND_LINK_MAILBOX = Budget("resend_link_mailbox", _A_MAIL)
"""The same for each mailbox, whoever asks: nobody's mailbox is filled from here."""
RESEND_LINK_ADDRESS = Budget("resend_link_address", (Window(30, _HOUR),), by_network=True)
"""The same for each network address."""
BAD_LINK_ADDRESS = Budget("bad_link_address", (Window(30, _HOUR),), by_network=True)
"""Links that are none, for each network address."""
CORRECT_ADDRESS = Budget("correct_address", (Window(5, _HOUR), Window(10, _DAY)))
"""Corrections of an address that was mistyped at the activation, for each account: no pause, the same caps."""
FORGOTTEN_PASSWORD_ACCOUNT = Budget("forgotten_password_account", _A_MAIL)
"""Requests for a new password, for each identifier, whether there is such an account or not."""
FORGOTTEN_PASSWORD_MAILBOX = Budget("forgotten_password_mailbox", _A_MAIL)
"""The mails that follow, for each mailbox. Counted where they are sent, where nobody sees it, and apart from the next
line: shared or told, the count would say which mailbox belongs to an identifier."""
FORGOTTEN_USERNAME_MAILBOX = Budget("forgotten_username_mailbox", _A_MAIL)
"""Requests for the identifiers of a mailbox, whether there is an account of it or not."""
FORGOTTEN_ADDRESS = Budget("forgotten_address", (Window(20, _HOUR),), by_network=True)
"""Both kinds of requests from one network address."""
NOTICE_MAILBOX = Budget("notice_mailbox", (Window(10, _HOUR),))
"""Mails that tell a mailbox the same again and again (a sign-in, a change of password), counted where they are sent."""
CLIENT_PROOF = Backoff("client_proof", 10, (timedelta(seconds=1),), quiet=_MINUTE)
"""Wrong proofs in the name of one client, from anywhere: one look a second. Right ones are neither counted nor stopped:
nobody shuts an ENT out by guessing in its name."""
CLIENT_PROOF_ADDRESS = Budget("client_proof_address", (Window(100, _MINUTE),), by_network=True)
"""Wrong proofs from one network address, in the name of any client."""
PUSHED_ADDRESS = Budget("pushed_address", (Window(120, _MINUTE),), by_network=True)
"""Authorization requests pushed in the name of clients without a proof, from one network address: each one that is
right leaves a row."""
REFUSAL_NOTED = Budget("refusal_noted", (Window(1, _HOUR),))
"""Journal entries about the refusals of one counter: the first of an hour is written, the others would be a flood."""

AUTHORIZE_SESSION = Budget("authorize_session", (Window(60, _MINUTE),))
"""Authorization requests of one session, in each process. Every one that owes nothing stores a code. A person who
opens ENTs, and ENTs that renew silently in a few tabs, make a handful a minute; a redirect loop makes hundreds."""
AUTHORIZE_NETWORK = Budget("authorize_network", (Window(12_000, _MINUTE),), by_network=True)
"""Authorization requests from one network, in each process. A first evening behind one school's address makes 60
sign-ins a second with three requests each, 10,800 a minute, if a single process served them all."""
PROXY_NOTED = Budget("proxy_noted", (Window(1, 7 * _DAY),))
"""Journal entries which say that forwarded headers arrive and are ignored. `idp config check` reads this counter."""
ALARM_NOTED = Budget("alarm_noted", (Window(1, _MINUTE),))
"""Journal entries which say that there were too many failures in a minute."""


def failures_alarm(most: int) -> Budget:
    """Return the counter of all failures of all nodes in a minute; failure number `most` of it raises the alarm."""
    return Budget("failures_alarm", (Window(most, _MINUTE),))


TABLE: tuple[Limit, ...] = (
    SIGN_IN_ACCOUNT,
    SIGN_IN_DEVICE,
    SIGN_IN_ADDRESS,
    SIGN_IN_REQUESTS,
    RESEND_LINK_ACCOUNT,
    RESEND_LINK_MAILBOX,
    RESEND_LINK_ADDRESS,
    BAD_LINK_ADDRESS,
    CORRECT_ADDRESS,
    FORGOTTEN_PASSWORD_ACCOUNT,
    FORGOTTEN_PASSWORD_MAILBOX,
    FORGOTTEN_USERNAME_MAILBOX,
    FORGOTTEN_ADDRESS,
    NOTICE_MAILBOX,
    CLIENT_PROOF,
    CLIENT_PROOF_ADDRESS,
    PUSHED_ADDRESS,
    REFUSAL_NOTED,
    AUTHORIZE_SESSION,
    AUTHORIZE_NETWORK,
    PROXY_NOTED,
    ALARM_NOTED,
)


def longest_by_network() -> timedelta:
    """Return how long a limit counts a network address at most."""
    spans = [
        limit.quiet if isinstance(limit, Backoff) else limit.windows[-1].span for limit in TABLE if limit.by_network
    ]
    return max(spans)


def network_of(ip: str) -> str:
    """Return what stands for one subscriber: an IPv4 address, the /64 of an IPv6 one, or the text if it is neither."""
    parsed = _parsed(ip)
    if parsed is None:
        return ip
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    return str(ipaddress.ip_network((int(parsed), _IPV6_SUBSCRIBER), strict=False))


def site_of(ip: str) -> str | None:
    """Return the /48 of an IPv6 address, None for anything else."""
    parsed = _parsed(ip)
    if not isinstance(parsed, ipaddress.IPv6Address):
        return None
    return str(ipaddress.ip_network((int(parsed), _IPV6_SITE), strict=False))


def for_site(rule: Window | Backoff) -> Window | Backoff:
    """Return `rule` as it holds for a whole /48."""
    if isinstance(rule, Window):
        return replace(rule, tries=rule.tries * SITE_FACTOR)
    return replace(rule, free=rule.free * SITE_FACTOR)


def _parsed(ip: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        parsed = ipaddress.ip_address(ip.strip())
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed
