"""The one place that decides what a person may do at the desk: rights by role, scopes, fresh proofs, reasons.

Each view declares what it needs (`needs`, `signed_in`, `public`); `check` runs before it. A view that reads or writes
for a family, a school or an ENT also takes its rows by the conditions of this package, so that a list and a page never
differ. What is outside the scope is reported as missing (security row K-04).
"""

from idp.desk.access.gate import (
    Level,
    check,
    form_token,
    has_fresh_proof,
    may,
    may_end,
    need_of,
    needs,
    note_refusal,
    own_spec,
    page_without_proof,
    person,
    post,
    proof_first,
    public,
    reason,
    refuse,
    role,
    sign_in_first,
    signed_in,
    was_by,
)
from idp.desk.access.roles import ROLES, TECHNICAL, Journal, Right, Scope, heads, held, is_told, spec
from idp.desk.access.scope import (
    account,
    account_to_read,
    accounts,
    bounded,
    cancellable,
    child,
    children,
    client,
    clients,
    decision,
    in_this_post,
    journal,
    journal_parts,
    notice,
    notices,
    own_school,
    replaced_accounts,
    school,
    schools,
)

__all__ = [
    "ROLES", "TECHNICAL", "Journal", "Level", "Right", "Scope", "account", "account_to_read", "accounts", "bounded",
    "cancellable", "check", "child", "children", "client", "clients", "decision", "form_token", "has_fresh_proof",
    "heads", "held", "in_this_post", "is_told", "journal", "journal_parts", "may", "may_end", "need_of", "needs",
    "note_refusal", "notice", "notices", "own_school", "own_spec", "page_without_proof", "person", "post",
    "proof_first", "public", "reason", "refuse", "replaced_accounts", "role", "school", "schools", "sign_in_first",
    "signed_in", "spec", "was_by",
]  # fmt: skip
