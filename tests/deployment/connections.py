"""Open connections behind rules of nftables, in a network of its own: connections.py RULES NFT IP PLANS.

PLANS is JSON: a list of the IP from which connections are opened, the IP and the port to which they go. Print how many
of the seven tries of each were accepted. All IPs are those of this machine.
"""

import json
import socket
import subprocess
import sys
from contextlib import ExitStack, suppress

TRIES = 7


def main(rules: str, nft: str, ip: str, plans: str) -> None:
    subprocess.run([ip, "link", "set", "lo", "up"], check=True)
    here = {place for plan in json.loads(plans) for place in plan[:2]} - {"127.0.0.1"}
    for place in sorted(here):
        subprocess.run([ip, "address", "add", place, "dev", "lo", *(["nodad"] if ":" in place else [])], check=True)
    subprocess.run([nft, "-f", rules], check=True)
    with ExitStack() as stack:
        for port in {plan[2] for plan in json.loads(plans)}:
            for family in (socket.AF_INET, socket.AF_INET6):
                stack.enter_context(listening(family, port))
        accepted = []
        for source, target, port in json.loads(plans):
            count = 0
            for _ in range(TRIES):
                with suppress(TimeoutError):
                    stack.enter_context(socket.create_connection((target, port), 0.3, (source, 0)))
                    count += 1
            accepted.append(count)
    sys.stdout.write(json.dumps(accepted))


def listening(family: socket.AddressFamily, port: int) -> socket.socket:
    listener = socket.socket(family)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    listener.bind(("", port))
    listener.listen(64)
    return listener


main(*sys.argv[1:])
