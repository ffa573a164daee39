"""The complete environment that `up` gives to every process it starts."""

from __future__ import annotations

import hashlib
import hmac
import os
from pathlib import Path
from urllib.parse import quote, urlsplit

from operate.instance import Instance
from operate.procfile import ROOT
from settings import ENV_NAMES, FILE_NAMES, Settings, env_name

FOR_COMMANDS = (
    "DATABASE_URL", "BATON_DATABASE_APP_URL", "BATON_DATABASE_KEEPER_URL", "REDIS_URL", "PORT", "BATON_SECRET",
    "BATON_DATA_DIR", "BATON_BLOB_URL",
)  # fmt: skip


NOT_KEPT = {"BATON_FAULT_POINTS", "OPENAI_API_KEY", "ANTHROPIC_API_KEY"}  # the user's own keys stay where they are


def role_url(owner_url: str, role: str, secret: str) -> str:
    """The URL of the role `<database>_<role>` of a real server; its password follows from the secret, so that every
    host of an installation works out the same one.
    """
    parts = urlsplit(owner_url)
    name = f"{parts.path.lstrip('/') or 'baton'}_{role}"
    password = hmac.new(secret.encode(), name.encode(), hashlib.sha256).hexdigest()[:32]
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{quote(name, safe='')}:{password}@{host}").geturl()


def complete(known: Settings, given: dict[str, str], instance: Instance) -> dict[str, str]:
    """The environment of the processes: our own, the settings as `up` knows them, and `given` (servers and ports)."""
    # Secrets in files have been read: given both ways they would be refused.
    values = {name: value for name, value in os.environ.items() if name not in FILE_NAMES}
    for field in Settings.model_fields:
        value = getattr(known, field)
        text = value.get_secret_value() if hasattr(value, "get_secret_value") else value
        if field in known.model_fields_set and text not in (None, ""):
            values[env_name(field)] = str(text)
    values.update(given)
    values.setdefault("BATON_SECRET", "")
    values["BATON_SECRET"] = values["BATON_SECRET"] or instance.kept_secret("secret")
    owner, secret = values["DATABASE_URL"], values["BATON_SECRET"]
    for role in ("app", "keeper"):
        name = f"BATON_DATABASE_{role.upper()}_URL"
        values[name] = values.get(name) or role_url(owner, role, secret)
    values["BATON_DATA_DIR"] = str(instance.folder)
    values["BATON_BLOB_URL"] = known.blob_url
    values["BATON_WORKER_THREADS"] = str(known.worker_threads)
    values["PROMETHEUS_MULTIPROC_DIR"] = str(instance.folder / "metrics")
    values["PYTHONPATH"] = os.pathsep.join(
        dict.fromkeys([str(ROOT), str(Path.cwd()), *filter(None, [os.environ.get("PYTHONPATH")])])
    )
    values["PYTHONUNBUFFERED"] = "1"
    return values


def for_commands(values: dict[str, str]) -> dict[str, str]:
    """The part that `<data-dir>/env` keeps for commands typed by hand: servers, secret, port, the user's settings."""
    names = {*FOR_COMMANDS, *(name for name in ENV_NAMES if name in values)} - NOT_KEPT
    return {name: values[name] for name in sorted(names) if values.get(name)}


def fingerprint(values: dict[str, str]) -> str:
    """Changes when the migrations, the database or the secret do: tells whether provisioning can be left out."""
    told = hashlib.sha256()
    folder = ROOT / "storage"
    for path in sorted([*folder.glob("migrations/**/*.py"), folder / "migrate.py", folder / "tenants.py"]):
        told.update(path.read_bytes())
    for name in ("DATABASE_URL", "BATON_DATABASE_APP_URL", "BATON_DATABASE_KEEPER_URL"):
        parts = urlsplit(values[name])
        told.update(f"{parts.username}:{parts.password}:{parts.path}\n".encode())
    told.update(values["BATON_SECRET"].encode())
    return told.hexdigest()
