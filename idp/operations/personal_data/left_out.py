"""The tables that an export of a person's data leaves out; the tables of `columns.PARTS` are the others."""

from collections.abc import Mapping

TABLES: Mapping[str, str] = {
    "school": "about establishments; those of the children are named with them",
    "client": "about the software of an ENT",
    "client_school": "about the software of an ENT",
    "client_invite": "about the software of an ENT",
    "sector": "about the software of an ENT",
    "charter_version": "texts of an ENT; the accepted ones are named by version",
    "pushed_request": "requests of an ENT's software before anybody signed in; gone within hours",
    "spent_challenge": "digests of random values that passkeys answered",
    "spent_proof": "digests of proofs of an ENT's software",
    "signing_key": "keys of this service",
    "kept_suspension": "encrypted digests, of a person who was erased or of a pupil who left: they name nobody",
    "former_pupil_name": "names before a correction, which would tell a guardian of another one's suspension",
    "import_batch": "acts of operators on whole files",
    "throttle": "counters under keyed digests, which name nobody",
    "retired_name": "digests that many names share, so that they identify nobody",
    "kept_password": "hashes of passwords before the activation, under digests that name nobody; gone within a day",
    "staff_account": "people of the desk, who are no parents",
    "staff_role": "people of the desk",
    "staff_credential": "people of the desk",
    "staff_session": "people of the desk",
    "staff_invitation": "people of the desk",
    "staff_ceremony": "people of the desk",
    "desk_job": "work that people of the desk asked for; it has keys of accounts, and no names",
    "desk_job_file": "files for people of the desk, encrypted and gone within a day",
    "desk_kept_form": "what people of the desk typed, encrypted; readable for 15 minutes, gone within a day",
    "desk_figures": "numbers of accounts by school, rounded; no number under ten",
    "noted_settings": "settings of this service",
    "audit_seal": "hashes that protect the journal",
    "audit_beginning": "hashes that protect the journal",
}
"""Why, by the name of the table."""
