"""Suspensions: a school closes an account, or one tie, for a time.

`states` has the rule, `models` the tables; `idp.families.suspension` changes states and decisions. `kept`
keeps the suspension of a person who is erased, and `traces` recognises suspended people in the schools' files.
"""
