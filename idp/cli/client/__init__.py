"""`idp client`."""

from idp.cli.client import requests
from idp.cli.client.commands import client

__all__ = ["client", "requests"]
