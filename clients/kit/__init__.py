"""What an ENT written in Python imports: every check of the specifications, and nothing of the provider's own code.

`Provider(Registration(…))` is the core; `FlaskEnt` of `flask_ent` puts it on Flask. See `clients/README.md`.
"""

from .checks import Registration as Registration
from .provider import Provider as Provider
