"""`idp db`."""

from idp import schema
from idp.cli import settings

db = schema.commands(settings.load)
