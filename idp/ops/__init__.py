"""What the machine room asks: is the process alive, is it ready to serve. Owns `/healthz` and `/readyz`."""
