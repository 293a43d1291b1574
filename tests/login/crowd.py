"""Many browsers that sign in at the same time, with real connections to a real server."""

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlencode


@dataclass(frozen=True)
class Answer:
    """A response: status, `Retry-After`, text, and its rank in the order of arrival."""

    status: int
    retry_after: str
    text: str
    before: int


@dataclass
class Crowd:
    port: int
    answered: int = 0

    def sign_ins(self, usernames: list[str], password: str) -> tuple[list[Answer], list[Answer]]:
        """Send the form from all browsers at once; return the responses, and those of a page requested meanwhile."""
        with ThreadPoolExecutor(1) as own:  # Playwright leaves an event loop running in the main thread
            return own.submit(lambda: asyncio.run(self._rush(usernames, password))).result()

    async def _rush(self, usernames: list[str], password: str) -> tuple[list[Answer], list[Answer]]:
        form = await self._exchange("GET", "/connexion", "198.51.100.1", "")
        cookie, token = re.search(r"idp-tx=[^;]+", form.text), re.search(r'csrf_token" value="([^"]+)"', form.text)
        assert cookie, form.text
        assert token, form.text

        def body(username: str) -> str:
            return urlencode({"csrf_token": token.group(1), "identifiant": username, "mot-de-passe": password})

        async def send(place: int, username: str) -> Answer:
            ip = f"10.0.{place // 250}.{place % 250}"
            answer = await self._exchange("POST", "/connexion", ip, body(username), cookie.group(0))
            self.answered += 1
            return answer

        self.answered = 0
        done = asyncio.Event()
        witness = asyncio.create_task(self._look_meanwhile(done))
        answers = await asyncio.gather(*(send(place, username) for place, username in enumerate(usernames)))
        done.set()
        return answers, await witness

    async def _look_meanwhile(self, done: asyncio.Event) -> list[Answer]:
        answers = []
        while not done.is_set():
            answers.append(await self._exchange("GET", "/mentions-legales", "198.51.100.2", ""))
            await asyncio.sleep(0.1)
        return answers

    async def _exchange(self, method: str, path: str, ip: str, body: str, cookie: str = "") -> Answer:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        head = [
            f"{method} {path} HTTP/1.1",
            f"Host: 127.0.0.1:{self.port}",
            f"X-Forwarded-For: {ip}",
            "Connection: close",
            "Content-Type: application/x-www-form-urlencoded",
            f"Content-Length: {len(body)}",
            f"Cookie: {cookie}",
        ]
        writer.write("\r\n".join([*head, "", body]).encode())
        text = (await reader.read()).decode(errors="replace")
        writer.close()
        await writer.wait_closed()
        retry = re.search(r"(?im)^retry-after: (\S+)", text)
        status = int(text.split(" ", 2)[1]) if text else 0
        return Answer(status, retry.group(1) if retry else "", text, self.answered)
