"""Reads metrics as Prometheus does."""

import http.client
from contextlib import closing

from prometheus_client.parser import text_string_to_metric_families

from tests.commands.processes import PATIENCE

Numbers = dict[tuple[str, ...], float]
"""By the name of the sample and `label=value` of each label, sorted."""


def numbers_of(text: str) -> Numbers:
    return {
        (sample.name, *sorted(f"{name}={value}" for name, value in sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def ask(port: int, path: str, method: str = "GET") -> tuple[int, str]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def scraped(port: int) -> Numbers:
    status, text = ask(port, "/metrics")
    assert status == 200
    return numbers_of(text)
