"""The HTTP API of the instance in the data dir, as commands need it: address and key found, errors in one line."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from operate.instance import Instance
from settings import data_dir, settings
from storage.embedded import processes

if TYPE_CHECKING:
    import requests

CONNECT_SECONDS, READ_SECONDS = 3.0, 70.0
FOLLOW_AGAIN_SECONDS, FOLLOW_PAUSE_SECONDS = 30.0, 0.2
ENDED = ("completed", "failed", "cancelled")
FINAL = ("run_completed", "run_cancelled")


class ClientError(Exception):
    """The instance is not there or refused; the message says what it answered."""


class Client:
    """Calls of one instance's API as its default tenant. Every method raises ClientError."""

    def __init__(self, instance: Instance | None = None) -> None:
        self.instance = instance or Instance(data_dir())
        port = next((row["port"] for row in self.instance.running() if row["name"] == "web"), None)
        if port is None and not self.instance.read("processes.json") and processes.answers(settings().port):
            port = settings().port  # never under `up`: a unit of systemd, say
        if port is None:
            raise ClientError(f"nothing runs in {self.instance.folder}: start it with `python manage.py up`")
        self.base_url = f"http://127.0.0.1:{port}"
        self.api_key = self._find_key()

    def _find_key(self) -> str:
        if named := settings().api_key.get_secret_value():
            return named
        try:
            return (self.instance.folder / "api_key").read_text().strip()
        except OSError as error:
            raise ClientError(f"no API key: {error}; set BATON_API_KEY, or make one: manage.py api-key") from None

    @property
    def headers(self) -> dict[str, str]:
        """The headers of a call."""
        return {"Authorization": f"Bearer {self.api_key}"}

    def call(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """One call below /api/v1; the parsed answer."""
        answer = self._send(method, path, body, query, {})
        return answer.json() if answer.content else None

    def follow(self, run_id: str, after: int = 0) -> Iterator[dict[str, Any]]:
        """The run's events as they come, ending with the run's last; tokens come as `{"type": "token", ...}`.

        A stream that breaks off (the web process was restarted) is taken up again behind the last event seen.
        """
        patience_ends_at = time.monotonic() + FOLLOW_AGAIN_SECONDS
        while True:
            try:
                for event in self._stream(run_id, after):
                    after = event.get("seq", after)
                    patience_ends_at = time.monotonic() + FOLLOW_AGAIN_SECONDS
                    yield event
                    if event["type"] in FINAL:
                        return
            except ClientError:
                if time.monotonic() > patience_ends_at:
                    raise
            if self._ended(run_id, after):
                return
            time.sleep(FOLLOW_PAUSE_SECONDS)

    def _ended(self, run_id: str, after: int) -> bool:
        """Whether nothing comes after this event: the run is final and its newest event was seen."""
        try:
            return self.call("GET", f"/runs/{run_id}")["status"] in ENDED and not self._next(run_id, after)
        except ClientError:
            return False

    def _next(self, run_id: str, after: int) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.call("GET", f"/runs/{run_id}/events", after=after, limit=1)["items"]
        return items

    def _stream(self, run_id: str, after: int) -> Iterator[dict[str, Any]]:
        """One stream of events until the server ends it."""
        import requests

        answer = self._send(
            "GET", f"/runs/{run_id}/events", None, {"after": after}, {"Accept": "text/event-stream"}, stream=True
        )
        kind, data = "", []
        try:
            for raw in answer.iter_lines(chunk_size=1):
                line = raw.decode()
                if line.startswith("event:"):
                    kind = line[6:].strip()
                elif line.startswith("data:"):
                    data.append(line[5:].strip())
                elif not line and data:
                    event = json.loads("\n".join(data))
                    yield event if isinstance(event, dict) and "type" in event else {"type": kind, "data": event}
                    kind, data = "", []
        except requests.RequestException as error:
            raise ClientError(f"{self.base_url} broke off: {error}") from None

    def _send(
        self, method: str, path: str, body: Any, query: dict[str, Any], headers: dict[str, str], *, stream: bool = False
    ) -> requests.Response:
        import requests

        try:
            with requests.Session() as session:
                session.trust_env = False  # no proxy stands between us and this machine
                answer = session.request(
                    method,
                    f"{self.base_url}/api/v1{path}",
                    json=body,
                    params={name: value for name, value in query.items() if value is not None},
                    headers={**self.headers, **headers},
                    timeout=(CONNECT_SECONDS, READ_SECONDS),
                    stream=stream,
                )
        except requests.RequestException as error:
            raise ClientError(f"{self.base_url} does not answer: {error}") from None
        if answer.status_code >= 400:
            raise ClientError(_problem(answer))
        return answer


def _problem(answer: requests.Response) -> str:
    """A refusal in one line."""
    try:
        told = answer.json()
    except ValueError:
        return f"{answer.status_code} {answer.text[:200]}"
    detail = told.get("detail") or told.get("title")
    fields = (f"{wrong['field']}: {wrong['message']}" for wrong in told.get("errors") or [])
    return "; ".join(
        [f"{answer.status_code} {told.get('code', '')}: {detail}", *(x for x in fields if x not in detail)]
    )
