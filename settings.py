"""Every setting, typed and validated: the only file that reads the environment.

    from settings import settings
    settings().database_url

A value comes from the environment, else from a `.env` file in the working directory, else from `<data-dir>/env` (which
`manage.py up` writes, so that commands typed by hand find its servers), else from the default below. A secret may also
be given as NAME_FILE=/path, the file that holds it. An unknown `BATON_*` name or a wrong value stops the program:
`SettingsError` names the key and suggests the nearest one.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator


class SettingsError(Exception):
    """The configuration has names or values that are wrong; the message has one line for each."""


class Setting(NamedTuple):
    """One setting as `manage.py settings` shows it; `value` is masked where it is secret."""

    name: str
    value: str
    source: str
    default: str
    meaning: str


def _field(default: Any, meaning: str, *, env: str | None = None, secret: bool = False, **limits: Any) -> Any:
    """A field whose environment name is BATON_<FIELD>, or `env` where the contract gives it another."""
    return Field(default, description=meaning, json_schema_extra={"env": env, "secret": secret}, **limits)


class Settings(BaseModel):
    """The validated settings, frozen. Sizes are in bytes and times in seconds, as the names say."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    database_url: str = _field(
        "", "owner of the PostgreSQL database, for migrations; empty: embedded", env="DATABASE_URL", secret=True
    )
    database_app_url: str = _field("", "the same database as the role that web and nodes use", secret=True)
    database_keeper_url: str = _field("", "the same database as the role of keepers and live viewers", secret=True)
    redis_url: str = _field("", "the broker; empty: embedded", env="REDIS_URL", secret=True)
    port: int = _field(8080, "port of the web process", env="PORT", ge=1, le=65535)
    data_dir: Path = _field(Path(".baton"), "folder of embedded servers, keys, logs and blobs")
    api_key: SecretStr = _field(
        SecretStr(""), "API key of commands typed by hand; empty: that of <data-dir>/api_key", secret=True
    )
    models: Path | None = _field(None, "the models file (YAML)")
    pii_rules: Path | None = _field(None, "the file of masking rules (YAML); empty: the built-in one")
    embedded_model_url: str = _field("", "the embedded model's server; `up` starts one and names it here")
    embedded_model_key: SecretStr = _field(SecretStr(""), "that server's key", secret=True)
    secret: SecretStr = _field(
        SecretStr(""),
        "signs messages and API keys, the same on every host; `up` makes one in the data dir",
        secret=True,
    )
    blob_url: str = _field("", "where outputs over the inline limit go, any fsspec URL; empty: <data-dir>/blobs")
    chains: str = _field("", "a Python package with chains and nodes of your own")
    retention_days: int = _field(30, "finished runs, their events and blobs go after so many days", ge=1)
    model_log_days: int = _field(180, "the record of model calls goes after so many days, month by month", ge=1)
    audit_days: int = _field(365, "the audit's entries go after so many days, month by month", ge=180)
    probe_effect_url: str = _field("", "where probe nodes post their effect; empty: nowhere", env="PROBE_EFFECT_URL")
    worker_alive_seconds: float = _field(8.0, "a worker that did not renew for so long is dead", ge=1)
    sweep_seconds: float = _field(1.0, "pause between two sweeps of a worker's keeper", gt=0)
    resend_after_seconds: float = _field(2.0, "age at which a message that nobody took is doubted", gt=0)
    stop_grace_seconds: float = _field(10.0, "a stopped run waits so long for its running nodes", ge=0)
    drain_seconds: float = _field(20.0, "a stopping worker waits so long for its nodes, then gives leases back", ge=0)
    database_pool_size: int = _field(8, "connections of one process and role that are kept open", ge=1, le=500)
    sticky_milliseconds: float = _field(
        50.0,
        "a worker runs quick steps of a segment itself until they took so long together, without waiting for "
        "their commits; then the rest is a message again; 0: never",
        ge=0,
    )
    group_commit: bool = _field(True, "threads of a worker commit together, in one statement")
    concurrent_runs: int = _field(
        0, "runs of limited tenants that run at once in the installation; 0: 3 for every 2 threads of its workers", ge=0
    )
    worker_threads: int = _field(8, "threads of one worker process", ge=1, le=256)
    worker_nice: int = _field(
        19, "how far a worker gives way to web and database where they share processors; 0: not", ge=0, le=19
    )
    task_events: bool = _field(True, "send Celery task events, which Flower shows")
    send_timeout_seconds: float = _field(2.0, "socket timeout of a send to the broker", gt=0)
    max_body_bytes: int = _field(8 * 1024 * 1024, "largest HTTP request body", ge=1024)
    max_output_inline_bytes: int = _field(65536, "a larger node output goes to the blob store", ge=0)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = _field("INFO", "least severe log line written")
    log_format: Literal["json", "console"] = _field("json", "log lines for machines or for people")
    fault_points: str = _field("", "tests only: instructions at which a worker kills itself")
    llm_fallback_enabled: bool = _field(
        True, "degrade to the rule-level writer where no able model answers", env="LLM_FALLBACK_ENABLED"
    )
    core_rate_limit_enabled: bool = _field(
        True,
        "hold limited tenants to their requests and tokens a second and a minute, at the API's door",
        env="CORE_RATE_LIMIT_ENABLED",
    )
    core_rate_limit_backend: Literal["local", "redis"] = _field(
        "redis",
        "where these are counted: in Redis, for all web processes together, or in each process for itself",
        env="CORE_RATE_LIMIT_BACKEND",
    )
    core_rate_qps_per_tenant: float = _field(
        0.0,
        "requests a second of every tenant without a number of its own; 0: as its plan says",
        env="CORE_RATE_QPS_PER_TENANT",
        ge=0,
        le=1_000_000,
        allow_inf_nan=False,
    )
    core_rate_tokens_per_min: int = _field(
        0,
        "tokens a minute of every tenant without a number of its own; 0: as its plan says",
        env="CORE_RATE_TOKENS_PER_MIN",
        ge=0,
        le=2**53,
    )
    ollama_url: str = _field("http://127.0.0.1:11434", "an Ollama server, used when it runs", env="OLLAMA_HOST")
    openai_api_key: SecretStr = _field(
        SecretStr(""),
        "OpenAI's key; without a models file its presence adds that model",
        env="OPENAI_API_KEY",
        secret=True,
    )
    openai_base_url: str = _field(
        "", "where OpenAI's protocol is spoken; empty: https://api.openai.com/v1", env="OPENAI_BASE_URL"
    )
    openai_model: str = _field("gpt-4o-mini", "the model used with OpenAI's key where there is no models file")
    anthropic_api_key: SecretStr = _field(
        SecretStr(""),
        "Anthropic's key; without a models file its presence adds that model",
        env="ANTHROPIC_API_KEY",
        secret=True,
    )
    anthropic_model: str = _field(
        "claude-3-5-haiku-latest", "the model used with Anthropic's key where there is no models file"
    )
    model_tokens_per_day: int = _field(
        0, "tokens that a tenant may use on a UTC day where its policy says nothing else; 0: no limit", ge=0
    )
    model_money_per_day: float = _field(
        0.0, "money that a tenant may spend on models on a UTC day, likewise; 0: no limit", ge=0, allow_inf_nan=False
    )
    model_answer_seconds: float = _field(
        30.0,
        "without an answer for so long a model call is given up and the node's own answer stands in",
        gt=0,
        allow_inf_nan=False,
    )

    clarify_seconds: float = _field(
        600.0, "a question to a creator waits so long, then the run ends with a friendly word", gt=0
    )
    script_characters_a_minute: int = _field(240, "Chinese characters that a host says in a minute", ge=60, le=600)
    script_words_a_minute: int = _field(150, "English words that a host says in a minute", ge=40, le=400)
    session_turns: int = _field(12, "turns of a session that are kept word by word; older ones are summed up", ge=2)
    session_turns_by_tenant: str = _field("", "the same for single tenants: TENANT_ID=20,TENANT_ID=6")
    session_memory_tokens: int = _field(2000, "tokens of a session's turns and summary in a prompt together", ge=200)

    public_url: str = _field(
        "",
        "address under which browsers reach the API, for logins at OIDC providers; empty: http://127.0.0.1:PORT",
        pattern=r"^(https?://[^\s/?#@]+(/[^\s?#]*)?)?$",
    )
    login_redirects: str = _field(
        "",
        "origins (https://app.example.com, several with commas) to which an OIDC login may go on; empty: none",
        pattern=r"^(https?://[^\s/?#@*,]+(\s*,\s*https?://[^\s/?#@*,]+)*)?$",
    )
    issuer: str = _field("baton", "`iss` of access tokens: the installation's name or address", min_length=1)
    refresh_token_days: int = _field(14, "a login that was not used for so many days has ended", ge=1, le=90)
    login_days: int = _field(90, "a login ends after so many days, however much it is used", ge=1, le=366)
    signing_key_days: int = _field(30, "the key pair that signs access tokens is replaced after so many days", ge=1)
    trusted_proxies: str = _field(
        "", "addresses or networks (10.0.0.0/8,::1) whose X-Forwarded-For is believed; empty: nobody's"
    )

    outbound_allow: str = _field(
        "",
        "hosts (login.corp.example,10.0.0.5:8443) that a URL which a user sets may name though they are private or "
        "speak http; all others must be public and https",
    )
    cors_origins: str = _field(
        "",
        "origins (https://studio.example.com,https://…) whose pages may call the API; empty: none but its own",
    )
    behind_https: bool = _field(
        False, "clients come by https, which a proxy in front speaks: answers tell browsers to stay with it"
    )

    @field_validator("cors_origins")
    @classmethod
    def _exact_origins(cls, value: str) -> str:
        for origin in origins(value):
            if not re.fullmatch(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?", origin):
                raise ValueError("must be exact origins, scheme://host or scheme://host:port, in small letters")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: str) -> str:
        for network in filter(None, map(str.strip, value.split(","))):
            ipaddress.ip_network(network, strict=False)  # its ValueError names what is wrong
        return value

    @model_validator(mode="before")
    @classmethod
    def _derive(cls, values: dict[str, Any]) -> dict[str, Any]:
        values["data_dir"] = Path(values.get("data_dir") or ".baton").expanduser().absolute()
        values["blob_url"] = values.get("blob_url") or f"file://{values['data_dir']}/blobs"
        for file in ("models", "pii_rules"):  # processes have a working directory of their own
            if path := values.get(file):
                values[file] = Path(path).expanduser().absolute()
        if ollama := values.get("ollama_url"):
            values["ollama_url"] = ollama if "://" in ollama else f"http://{ollama}"
        return values


def origins(value: str) -> list[str]:
    """The origins in a comma list."""
    return [one.strip() for one in value.split(",") if one.strip()]


def _extra(field: str) -> dict[str, Any]:
    extra = Settings.model_fields[field].json_schema_extra
    assert isinstance(extra, dict)
    return extra


def env_name(field: str) -> str:
    """The environment name of a field of Settings."""
    return _extra(field)["env"] or f"BATON_{field.upper()}"


ENV_NAMES: dict[str, str] = {env_name(field): field for field in Settings.model_fields}
FILE_NAMES = frozenset(f"{name}_FILE" for name, field in ENV_NAMES.items() if _extra(field)["secret"])
MAX_SECRET_BYTES = 65_536


def _file(path: Path) -> dict[str, str]:
    return {name: value for name, value in dotenv_values(path, interpolate=False).items() if value}


def _sources(*, with_data_dir: bool) -> list[tuple[str, Mapping[str, str]]]:
    """The places a value may come from, the strongest first."""
    found: list[tuple[str, Mapping[str, str]]] = [("environment", os.environ), (".env", _file(Path(".env")))]
    if with_data_dir:
        path = data_dir() / "env"
        if os.access(path, os.R_OK):
            found.append((str(path), _file(path)))
    return found


def secret_named(name: str) -> str | None:
    """The value under a name that is no setting of ours: the models file names variables that hold keys.

    Raises SettingsError where NAME_FILE names a file that cannot be read.
    """
    return next((found for _, place in _sources(with_data_dir=True) if (found := _secret(place, name))), None)


def _secret(place: Mapping[str, str], name: str) -> str | None:
    """A secret as one place gives it: as NAME, or in the file that NAME_FILE names.

    Raises SettingsError, which names the key and not what it holds: that may be the secret, by mistake.
    """
    value, path = place.get(name), place.get(f"{name}_FILE")
    if value and path:
        raise SettingsError(f"{name} and {name}_FILE are both set: leave one of them out")
    if not path:
        return value
    try:
        with Path(path).open("rb") as file:
            held = file.read(MAX_SECRET_BYTES + 1)
        text = held.decode().rstrip("\r\n")
    except OSError as wrong:
        raise SettingsError(f"{name}_FILE: the file cannot be read: {wrong.strerror}") from None
    except ValueError:
        raise SettingsError(f"{name}_FILE: the file is no text") from None
    if not text or len(held) > MAX_SECRET_BYTES:
        raise SettingsError(f"{name}_FILE: the file is {'too large' if text else 'empty'}")
    return text


def data_dir() -> Path:
    """The data dir alone, so that `ps` answers whatever else is wrong with the configuration."""
    places = [place for _, place in _sources(with_data_dir=False)]
    found = next((place["BATON_DATA_DIR"] for place in places if place.get("BATON_DATA_DIR")), ".baton")
    return Path(found).expanduser().absolute()


def _complain(sources: list[tuple[str, Mapping[str, str]]]) -> list[str]:
    """One line for every BATON_* name that we do not know."""
    lines = []
    for source, values in sources:
        for name in sorted(values):
            if name.startswith("BATON_") and name not in ENV_NAMES and name not in FILE_NAMES:
                near = difflib.get_close_matches(name, ENV_NAMES, n=1, cutoff=0.5)
                lines.append(f"unknown setting {name} ({source})" + (f", did you mean {near[0]}?" if near else ""))
    return lines


def load(*, with_data_dir: bool = True) -> tuple[Settings, dict[str, str]]:
    """Read and validate everything anew: the settings, and by field the source of each that is not a default.

    with_data_dir: also read `<data-dir>/env`; `up` does not, it writes it. Raises SettingsError.
    """
    sources = _sources(with_data_dir=with_data_dir)
    complaints = _complain(sources)
    values: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for source, place in sources:
        for name, field in ENV_NAMES.items():
            if field in values:
                continue
            try:
                value = _secret(place, name) if _extra(field)["secret"] else place.get(name)
            except SettingsError as wrong:
                complaints.append(str(wrong))
                continue
            if value:
                values[field], origin[field] = value, source if place.get(name) else f"{name}_FILE"
    try:
        loaded = Settings(**values)
    except ValidationError as error:
        complaints += [f"{env_name(str(wrong['loc'][0]))}: {wrong['msg']}" for wrong in error.errors()]
    if complaints:
        raise SettingsError("\n".join(complaints))
    return loaded, origin


@cache
def settings() -> Settings:
    """The settings of this process, read once. Raises SettingsError."""
    return load()[0]


def reload() -> Settings:
    """Read the environment again (tests change it)."""
    settings.cache_clear()
    return settings()


def described() -> list[Setting]:
    """Every setting with its value, source, default and meaning; secrets are masked. Raises SettingsError."""
    loaded, origin = load()
    rows = []
    for field, about in Settings.model_fields.items():
        value = getattr(loaded, field)
        plain = value.get_secret_value() if isinstance(value, SecretStr) else value
        shown = "" if plain in (None, "") else "********" if _extra(field)["secret"] else str(plain)
        default = "" if _extra(field)["secret"] or about.default is None else str(about.default)
        rows.append(Setting(env_name(field), shown, origin.get(field, "default"), default, about.description or ""))
    return rows
