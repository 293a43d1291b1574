"""What a forked program of `tests.forked` finds imported already."""

import aiosmtpd.controller

import clients
import idp.app
import idp.cli
import idp.serving
import tests.builders
import tests.databases
from idp.http_client import connections

connections.tls_context(None)

__all__ = ["aiosmtpd", "clients", "idp", "tests"]
