"""The tests. They hash passwords with the cheapest parameters; see `tests.cheap_hashes`."""

from tests import cheap_hashes

cheap_hashes.use()
