"""Suspensions: a school closes an account, or one tie, for a time.

`states` has the rule, `models` the table; `idp.families.suspension` changes states and decisions. New guardians of a
pupil to whom a decision closes an access wait for the head (`idp.rostering.reconcile.phases.waits`).
"""
