"""Accept all mails on port 25 of this machine, and append them to /var/log/mails."""

import socketserver
from pathlib import Path

MAILS = Path("/var/log/mails")


class Dialogue(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.wfile.write(b"220 mail.exemple.fr\r\n")
        for line in self.rfile:
            match line.split()[0].upper():
                case b"DATA":
                    self.wfile.write(b"354 send\r\n")
                    with MAILS.open("ab") as file:
                        while (line := self.rfile.readline()) not in {b".\r\n", b""}:
                            file.write(line)
                    self.wfile.write(b"250 kept\r\n")
                case b"QUIT":
                    self.wfile.write(b"221 bye\r\n")
                    return
                case _:
                    self.wfile.write(b"250 OK\r\n")


if __name__ == "__main__":
    MAILS.touch()
    with socketserver.ThreadingTCPServer(("127.0.0.1", 25), Dialogue) as server:
        server.serve_forever()
