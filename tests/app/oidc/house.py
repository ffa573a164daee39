"""A real OIDC provider in a thread (the library oidc-provider-mock), which keeps to PKCE and can be made to lie."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import flask
import httpx
import oidc_provider_mock
from joserfc import jwt
from joserfc.jwk import RSAKey
from werkzeug.serving import make_server

Claims = dict[str, Any]
Lie = Callable[[Claims, RSAKey], str]


class House:
    """The provider. challenges: by code; lie: makes the ID token that is sent in place of the true one; exchanges: how
    often its token endpoint was asked.
    """

    def __init__(self) -> None:
        self.url = ""
        self.challenges: dict[str, str] = {}
        self.exchanges = 0
        self.lie: Lie | None = None
        self.app = oidc_provider_mock.app(require_client_registration=True, require_nonce=True)
        self.app.before_request(self._before)
        self.app.after_request(self._after)

    def register(self, redirect_uri: str) -> dict[str, str]:
        """A client of the provider: its id and secret."""
        made = httpx.post(f"{self.url}/oauth2/clients", json={"redirect_uris": [redirect_uri]})
        told: dict[str, str] = made.raise_for_status().json()
        return {"client_id": told["client_id"], "client_secret": told["client_secret"]}

    def knows(self, subject: str, **claims: Any) -> None:
        """Make or change a user of the provider."""
        httpx.put(f"{self.url}/users/{subject}", json=claims).raise_for_status()

    def log_in(self, url: str, subject: str | None) -> str:
        """What somebody does at the provider's page; the address it sends the browser back to. None: they refuse."""
        form = {"action": "deny"} if subject is None else {"sub": subject}
        answer = httpx.post(url, data=form)
        assert answer.status_code == 302, answer.text
        back = str(answer.headers["Location"])
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        code = parse_qs(urlsplit(back).query).get("code", [""])[0]
        self.challenges[code] = asked.get("code_challenge", "")
        return back

    def _before(self) -> Any:
        """RFC 7636, 4.6: the code belongs to whoever has the verifier."""
        if flask.request.path != "/oauth2/token":
            return None
        self.exchanges += 1
        digest = hashlib.sha256(flask.request.form.get("code_verifier", "").encode()).digest()
        told = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if told != self.challenges.get(flask.request.form.get("code", "")):
            return {"error": "invalid_grant", "error_description": "wrong code_verifier"}, 400
        return None

    def _after(self, response: flask.Response) -> flask.Response:
        if self.lie is None or flask.request.path != "/oauth2/token" or response.status_code != 200:
            return response
        key = RSAKey.import_key(flask.g.oidc_provider_mock_storage.jwk.as_dict(is_private=True))
        told = json.loads(response.get_data())
        claims = dict(jwt.decode(told["id_token"], key, algorithms=["RS256"]).claims)
        response.set_data(json.dumps({**told, "id_token": self.lie(claims, key)}))
        return response


def signed(claims: Claims, key: RSAKey, **header: Any) -> str:
    """An ID token with these claims."""
    return jwt.encode({"alg": "RS256", **header}, claims, key)


@contextmanager
def house() -> Iterator[House]:
    """The provider, answering."""
    made = House()
    server = make_server("localhost", 0, made.app, threaded=True)
    made.url = f"http://localhost:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join(5)
        server.server_close()
