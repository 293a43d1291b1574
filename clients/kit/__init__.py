"""A library for ENTs in Python: OpenID Connect with every check of the specifications, without the provider's code.

`Provider(Registration(…))` is the core; `flask_ent.FlaskEnt` has the routes for Flask. See `clients/README.md`.
"""

from .checks import Registration as Registration
from .provider import Provider as Provider
