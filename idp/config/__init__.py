"""The settings: read from the environment (prefix `IDP_`) and the TOML file that `IDP_CONFIG` names, then frozen.

No other module reads the environment.
"""

from idp.config.display import shown, without_secrets
from idp.config.loading import ConfigurationError, concerns, load
from idp.config.rules import LOOPBACK, OpeningHours, desk_faults, read_hours
from idp.config.settings import PREFIX, Settings, settings_file

__all__ = [
    "LOOPBACK",
    "PREFIX",
    "ConfigurationError",
    "OpeningHours",
    "Settings",
    "concerns",
    "desk_faults",
    "load",
    "read_hours",
    "settings_file",
    "shown",
    "without_secrets",
]
