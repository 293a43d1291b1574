"""`python -m clients.reference`. Exit code: 0 if all checks pass, 1 for a failed check, 2 for wrong usage."""

import argparse
import logging
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from clients.kit import Registration
from clients.kit.checks import CheckError, is_web_url
from clients.reference.page import printable
from clients.reference.steps import Order, sign_in

_LONGEST_LINE = 300
_RANDOM = re.compile(r"[\w-]{32,}", re.ASCII)  # a code, a token or a verifier, whole or in parts
_SCOPE = "openid profile email ent charter"
_OFFLINE = "offline_access"
_ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
_SECRET, _PASSWORD = "REFERENCE_CLIENT_SECRET", "REFERENCE_PASSWORD"


class UsageError(Exception):
    """The arguments are invalid or incomplete."""


class _Parser(argparse.ArgumentParser):
    """A parser that raises `UsageError` instead of ending the process."""

    def error(self, message: str) -> NoReturn:
        """Raise `UsageError`."""
        raise UsageError(message)


def _parser() -> _Parser:
    parser = _Parser(
        prog="python -m clients.reference",
        description="Sign in once, without a browser, and check every response of the provider.",
        epilog=f"Secrets are not arguments: use files, or {_SECRET} and {_PASSWORD} in the environment.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--issuer", required=True, metavar="URL", help="the issuer of the provider, exactly as it publishes it")
    add("--client-id", required=True, metavar="ID")
    add("--client-secret-file", type=Path, metavar="FILE", help="without a secret the client is a public client")
    add("--redirect-uri", required=True, metavar="URI", help="as registered; no server has to listen there")
    add("--username", default="", metavar="NAME", help="a parent whose account is active")
    add("--password-file", type=Path, metavar="FILE")
    add("--scope", default=_SCOPE, metavar="SCOPE", help=f"default: {_SCOPE}")
    add("--id-token-alg", default="RS256", choices=_ALGORITHMS, help="as registered; default: RS256")
    add("--userinfo-alg", default="", choices=_ALGORITHMS, help="as registered; default: UserInfo is not signed")
    add("--ca-bundle", type=Path, metavar="FILE", help="PEM file of the certificate authorities for the provider")
    add("--refresh", action="store_true", help="renew the tokens once (adds the scope offline_access)")
    add("--logout", action="store_true", help="sign out at the provider and check that the session has ended")
    add("--post-logout-redirect-uri", default="", metavar="URI", help="as registered; the sign-out must redirect there")
    add("--once", action="store_true", help="sign in once; this is the default")
    return parser


def read_order(arguments: Sequence[str], environ: Mapping[str, str]) -> Order:
    """Return the order that the arguments and the environment describe.

    Raises:
        UsageError: an argument is missing or invalid. The message contains no value that may be secret.
    """
    given, unknown = _parser().parse_known_args(list(arguments))
    if unknown:
        names = [part for part in unknown if re.fullmatch(r"--[a-z-]+", part)]
        raise UsageError(f"unknown: {' '.join(names) or 'an argument'}")
    password = _secret(given.password_file, environ.get(_PASSWORD, ""))
    if bool(given.username) != bool(password):
        raise UsageError(f"--username needs a password in --password-file or {_PASSWORD}, and a password --username")
    if not is_web_url(given.issuer):
        raise UsageError("--issuer must be an https URL (http is accepted on loopback only)")
    if ":" not in given.redirect_uri or "#" in given.redirect_uri:
        raise UsageError("--redirect-uri must be an absolute URI without a fragment")
    if given.ca_bundle and not given.ca_bundle.is_file():
        raise UsageError("--ca-bundle must name a PEM file")
    scope = f"{given.scope} {_OFFLINE}" if given.refresh and _OFFLINE not in given.scope.split() else given.scope
    registration = Registration(
        issuer=given.issuer,
        client_id=given.client_id,
        redirect_uri=given.redirect_uri,
        client_secret=_secret(given.client_secret_file, environ.get(_SECRET, "")),
        post_logout_redirect_uri=given.post_logout_redirect_uri,
        scope=scope,
        id_token_alg=given.id_token_alg,
        userinfo_alg=given.userinfo_alg,
        ca_bundle=str(given.ca_bundle or ""),
    )
    return Order(registration, given.username, password, refresh=given.refresh, logout=given.logout)


def _secret(file: Path | None, from_environment: str) -> str:
    """Return the secret: the first line of the file, or the value from the environment without a file."""
    if file is None:
        return from_environment
    try:
        return next(iter(file.read_text(encoding="utf-8").splitlines()), "")
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} cannot be read ({type(error).__name__})") from error


class _Report(logging.Handler):
    """Prints each passed check of the kit, once in each step."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.step = ""
        self._printed: set[str] = set()

    def begin(self, step: str) -> None:
        """Start a step."""
        self.step = step

    def emit(self, record: logging.LogRecord) -> None:
        """Print the check of the log record."""
        line = f"ok       {self.step}: {record.getMessage().removeprefix('passed: ')}\n"
        if line not in self._printed:
            self._printed.add(line)
            sys.stdout.write(line)


def _message(error: CheckError, order: Order) -> str:
    """Return the error and the provider's description, without secrets."""
    message = f"{error}: {error.description}" if error.description else str(error)
    for secret in filter(None, (order.registration.client_secret, order.password)):
        message = message.replace(secret, "…")
    return printable(_RANDOM.sub("…", message), _LONGEST_LINE)


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Sign in once, print each check and return the exit code."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # both are text streams
    try:
        order = read_order(arguments, environ)
    except UsageError as error:
        sys.stderr.write(f"{printable(str(error), _LONGEST_LINE)} (see --help)\n")
        return 2
    report, checks = _Report(), logging.getLogger("clients.kit.checks")
    checks.addHandler(report)
    checks.setLevel(logging.DEBUG)
    checks.propagate = False
    try:
        sign_in(order, report.begin)
    except CheckError as error:
        sys.stdout.flush()
        sys.stderr.write(f"refused  {report.step}: {error.check}: {_message(error, order)}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
