"""Counts the events of the journal: sign-ins, activations, recoveries, jobs. So no slice has to count them."""

from collections.abc import Mapping
from typing import Any

from idp.metrics import catalogue as metrics

_STEPS = {
    "activation.opened": "opened",
    "activation.completed": "completed",
    "email.link_sent": "mail_sent",
    "email.confirmed": "confirmed",
}
_RECOVERIES = {
    "recovery.username": "username_asked",
    "recovery.username_told": "username_told",
    "password.reset": "password_chosen",
}


def count(kind: str, result: str, details: Mapping[str, Any]) -> None:
    """Count an event that was recorded."""
    metrics.EVENTS.count(kind, result)
    if kind == "sign_in":
        _count_sign_in(result, details)
    elif kind in _STEPS:
        metrics.ACTIVATIONS.count(_STEPS[kind])
    elif kind in _RECOVERIES:
        metrics.RECOVERIES.count(_RECOVERIES[kind])
    else:
        _count_other(kind, result, details)


def _count_sign_in(result: str, details: Mapping[str, Any]) -> None:
    """Count a sign-in. Throttled ones are counted where they happen, since the journal has one an hour."""
    if result == "ok":
        metrics.SIGN_INS.count("password" if "pwd" in details["amr"] else "passkey", "ok")
    elif result == "refused" and details["door"] in {"sign_in", "passkey"}:
        metrics.SIGN_INS.count("passkey" if details["door"] == "passkey" else "password", details["reason"])


def _count_other(kind: str, result: str, details: Mapping[str, Any]) -> None:
    if kind == "recovery.password":
        metrics.RECOVERIES.count(details["answer"])
    elif kind == "staff.sign_in":
        metrics.STAFF_SIGN_INS.count(result)
    elif kind == "device_session.changed" and details["change"] == "used":
        metrics.SIGN_INS.count("device", "ok")
    elif kind == "device_session.reused":
        metrics.SIGN_INS.count("device", "reused")
    elif kind == "desk.job_finished":
        metrics.JOBS_ENDED.count(details["work"], details["outcome"])
