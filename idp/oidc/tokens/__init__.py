"""Tokens: the token endpoint and its grants, replay, UserInfo, introspection and revocation."""
