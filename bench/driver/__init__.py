"""The load driver: HTTP clients on loopback that sign on, sign in and refresh at any OpenID Connect provider."""
