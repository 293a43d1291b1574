"""Suspensions: a school closes an account, or one tie, for a time.

`states` has the rule, `models` the table of decisions; `idp.operations.helpdesk.suspension` changes both.
"""
