"""The modules that the parent process of `tests.forked` imports."""

import gc

import aiosmtpd.controller
import babel

import clients.reference.steps
import idp.app
import idp.cli.application
import idp.serving
import tests.builders
import tests.databases
from idp.accounts.passwords.words import lists
from idp.http_client import connections
from idp.languages import OFFERED, locale_name

connections.tls_context(None)
list(idp.cli.cli.commands.values())  # imports all of them
for load in (lists.common, lists._long, lists.school_types, lists._phrase, lists._postcodes):
    load()  # takes longer than the first request of a process
for language in OFFERED:
    babel.Locale.parse(locale_name(language)).plural_form  # noqa: B018 - loads the locale's data
gc.freeze()  # no process forked from here looks for garbage among the modules, nor copies their pages for it

__all__ = ["aiosmtpd", "clients", "idp", "tests"]
