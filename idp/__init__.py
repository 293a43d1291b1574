"""Scolarité Services: an OpenID Connect identity provider for French school sites."""

__version__ = "0.1.0"
