"""Writes what is made from the code: docs/settings.md, docs/metrics.md, docs/cli.md, the tables of docs/limits.md.

.venv/bin/python docs/generate.py            write them
.venv/bin/python docs/generate.py --check    exit code 1, and the names, where one of them is stale
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import click  # noqa: E402
from prometheus_client import Counter, Gauge, Histogram  # noqa: E402

import manage  # noqa: E402
import metrics  # noqa: E402
import settings  # noqa: E402
from operate import run_commands, script_command  # noqa: E402
from policy import plans  # noqa: E402

MADE = "<!-- Made by `docs/generate.py` from the code. Do not edit: change the code and run it again. -->\n"
GROUPS = {
    "Servers": ("database_url", "database_app_url", "database_keeper_url", "redis_url", "blob_url"),
    "The instance": ("port", "data_dir", "secret", "chains"),
    "Models": (
        "models", "ollama_url", "openai_api_key", "openai_base_url", "openai_model", "anthropic_api_key",
        "anthropic_model", "model_tokens_per_day", "model_money_per_day", "model_answer_seconds", "model_log_days",
        "embedded_model_url", "embedded_model_key",
    ),
}  # fmt: skip

# Read by something other than settings.py, each because a tool of its own gives it its name.
OTHERS = [
    ("WEB_CONCURRENCY", "1", "web processes that gunicorn starts"),
    ("WORKER_NAME", "none; `up` sets it", "Celery name of a worker, used by the Procfile's lines; one name a process"),
    ("FLOWER_PORT", "5555 or a free one under `up`", "port of Flower, used by the Procfile's line"),
    ("PROMETHEUS_MULTIPROC_DIR", "`<data-dir>/metrics` under `up`", "folder in which the processes of a host count"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "none: no spans are sent", "OpenTelemetry collector, over HTTP"),
    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "none", "the same, for traces only"),
    ("OTEL_TRACES_EXPORTER", "otlp, where an endpoint is named", "`otlp`, `console` or `none`"),
    ("OTEL_SERVICE_NAME", "baton", "name of the service on every span"),
    ("OTEL_SDK_DISABLED", "false", "`true`: no spans at all"),
]


# ------------------------------------------------------------------------------------------------------------ settings


def settings_page() -> str:
    """Every setting with default, limits and meaning."""
    fields = settings.Settings.model_fields
    grouped = {field for group in GROUPS.values() for field in group}
    groups = {**GROUPS, "The engine and the front end": tuple(field for field in fields if field not in grouped)}
    lines = [
        "# Settings",
        "",
        MADE,
        "Baton is configured by environment variables. A flag of `manage.py` beats the environment, the environment",
        "beats a `.env` file in the working directory, and that beats `<data-dir>/env`, which `manage.py up` writes",
        "for commands typed by hand. An unknown `BATON_*` name or a wrong value stops the start; an unknown name is",
        "answered with the nearest one that exists. `python manage.py settings` prints what holds on this machine and",
        "where it comes from; secrets are masked.",
        "",
    ]
    for title, names in groups.items():
        lines += [f"## {title}", "", "| name | default | meaning |", "|---|---|---|"]
        lines += [
            f"| `{settings.env_name(name)}` | {_default(fields[name])} | {_meaning(fields[name])} |" for name in names
        ]
        lines.append("")
    lines += [
        "## Read by the tools that Baton is made of",
        "",
        "These have the names that their tools gave them, so they do not appear in `manage.py settings`.",
        "",
        "| name | default | meaning |",
        "|---|---|---|",
    ]
    lines += [f"| `{name}` | {default} | {meaning} |" for name, default, meaning in OTHERS]
    return "\n".join(lines) + "\n"


def _default(field: Any) -> str:
    value = field.default
    shown = value.get_secret_value() if hasattr(value, "get_secret_value") else value
    return f"`{shown}`" if shown not in (None, "") else "–"


def _meaning(field: Any) -> str:
    limits = [
        f"{word} {getattr(one, name)}"
        for one in field.metadata
        for name, word in (("ge", "at least"), ("gt", "more than"), ("le", "at most"), ("lt", "less than"))
        if getattr(one, name, None) is not None
    ]
    return (field.description or "") + (f" ({', '.join(limits)})" if limits else "")


# ------------------------------------------------------------------------------------------------------------- metrics


def metrics_page() -> str:
    """Every metric: what the processes count, and what the scrape measures."""
    lines = [
        "# Metrics",
        "",
        MADE,
        "`GET /metrics` on the web process answers in Prometheus' text format, without a key. It adds up what every",
        "process of the host counted (`PROMETHEUS_MULTIPROC_DIR`) and measures the rest in Postgres and Redis at the",
        "scrape. With several hosts, let Prometheus scrape one web process a host: the counters are the host's, the",
        "measured gauges are the whole installation's and the same everywhere.",
        "",
        "What to alarm on stands in [operations](operations.md#what-to-watch).",
        "",
        "## Counted",
        "",
        "| name | kind | labels | meaning |",
        "|---|---|---|---|",
    ]
    lines += [f"| `{name}` | {kind} | {labels} | {meaning} |" for name, kind, labels, meaning in sorted(counted())]
    lines += [
        "",
        "A histogram has the series `_bucket`, `_sum` and `_count`. `agent_token_usage` is shown under that name too,",
        "as the product's source documents call it. Flower counts into the same folder, so its `flower_*` metrics",
        "appear as well.",
        "",
        "## Measured at the scrape",
        "",
        "| name | labels | meaning |",
        "|---|---|---|",
    ]
    lines += [f"| `{name}` | {labels} | {meaning} |" for name, labels, meaning in sorted(measured())]
    return "\n".join(lines) + "\n"


def counted() -> Iterator[tuple[str, str, str, str]]:
    """(name, kind, labels, meaning) of everything in metrics.py."""
    for one in vars(metrics).values():
        if isinstance(one, Counter | Gauge | Histogram):
            kind = type(one).__name__.lower()
            name = one._name + ("_total" if isinstance(one, Counter) else "")
            yield name, kind, _labels(one._labelnames), one._documentation


def measured() -> Iterator[tuple[str, str, str]]:
    """(name, labels, meaning) of the gauges in app/api/metrics.py, read from its source."""
    for call in ast.walk(ast.parse((ROOT / "app" / "api" / "metrics.py").read_text(encoding="utf-8"))):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "GaugeMetricFamily":
            labels = [ast.literal_eval(word.value) for word in call.keywords if word.arg == "labels"]
            name, meaning = (ast.literal_eval(word) for word in call.args[:2])
            yield name, _labels(labels[0] if labels else ()), meaning


def _labels(names: Any) -> str:
    return ", ".join(f"`{name}`" for name in names) or "–"


# ------------------------------------------------------------------------------------------------------------ commands


def cli_page() -> str:
    """`--help` of every command."""
    if "run" not in manage.cli.commands:
        for commands in (run_commands, script_command):
            commands.add_commands(manage.cli, manage.data_dir_option)
    lines = [
        "# Commands",
        "",
        MADE,
        "`python manage.py COMMAND`, with the Python of `.venv` (`.venv/bin/python manage.py ...`). Commands typed by",
        "hand find a running instance by its data dir: `.baton`, or what `--data-dir` or `BATON_DATA_DIR` says. `run`,",
        "`runs` and `dead-letters` are calls of the [API](../README.md#the-api) as the tenant `default`. Exit code 2:",
        "the configuration is wrong, or the instance is not there or refused, and standard error says why.",
        "",
    ]
    for words, command in _commands(manage.cli, ()):
        named = " ".join(("python manage.py", *words))
        context = click.Context(command, info_name=named, max_content_width=100, help_option_names=["-h", "--help"])
        lines += [f"## {' '.join(words)}", "", "```text", command.get_help(context).rstrip(), "```", ""]
    return "\n".join(lines)


def _commands(group: click.Group, before: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            if command.invoke_without_command:
                yield (*before, name), command
            yield from _commands(command, (*before, name))
        else:
            yield (*before, name), command


# -------------------------------------------------------------------------------------------------------------- limits


def limits_page() -> str:
    """The page as it stands, with the tables of plans and costs."""
    page = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")
    named = [name for name in plans.NAMES if name != plans.UNLIMITED]
    tables = {
        "plans": [f"| limit | {' | '.join(named)} |", "|---|---|---|---|"]
        + [f"| `{name}` | {' | '.join(values)} |" for name, *values in plans.rows()],
        "costs": ["| call | times |", "|---|---|"]
        + [f"| `{operation}` | {times:g} |" for operation, times in plans.cost_multipliers().items()],
    }
    for name, lines in tables.items():
        head, _, rest = page.partition(f"<!-- {name}:")
        mark, _, old = rest.partition("\n")
        page = "\n".join((f"{head}<!-- {name}:{mark}", *lines, "")) + old[old.index("<!-- end -->") :]
    return page


# ---------------------------------------------------------------------------------------------------------------- main

PAGES = {"settings.md": settings_page, "metrics.md": metrics_page, "cli.md": cli_page, "limits.md": limits_page}


def stale() -> list[str]:
    """The pages that are not what the code says now."""
    found = []
    for name, page in PAGES.items():
        path = ROOT / "docs" / name
        if not path.exists() or path.read_text(encoding="utf-8") != page():
            found.append(f"docs/{name}")
    return found


def main(args: list[str]) -> int:
    """Write the pages, or check them."""
    if "--check" in args:
        for name in stale():
            print(f"{name} is stale: run docs/generate.py")
        return 1 if stale() else 0
    for name, page in PAGES.items():
        (ROOT / "docs" / name).write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
