"""Outgoing messages (mails, logout tokens, periodic jobs): stored in the caller's transaction, sent by `idp worker`.

The package has the table, the leases and the back-off. `idp.app` registers the handler of each kind of message.
"""
