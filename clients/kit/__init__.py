"""What an ENT written in Python imports: every check of the specifications, and nothing of the provider's own code.

`Provider(Registration(…))` is the core, for any framework: `departure`, `answer`, `arrival`, then `renewed`, `charter`,
`sign_out_url`; `checks.logout_token`. `FlaskEnt` of `flask_ent` puts it on Flask; `vectors` of `checks` reads
FrEduVecteur. It needs `requests` and `joserfc`, and may be copied into an ENT under any name. See `clients/README.md`.
"""

from .checks import Registration as Registration
from .provider import Provider as Provider
