"""deploy/: the units and manifests run what the Procfile says, with names that are settings."""

from __future__ import annotations

import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from operate import procfile
from settings import ENV_NAMES
from tests.docs.pages import ROOT, text_of

UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
MANIFESTS = sorted((ROOT / "deploy" / "k8s").glob("*.yaml"))
OTHER_NAMES = {"FLOWER_PORT", "PROMETHEUS_MULTIPROC_DIR", "WORKER_NAME", "PYTHONUNBUFFERED"}
UNIT_OF = {"web": "baton-web", "worker": "baton-worker@", "isolated": "baton-isolated"} | {
    "beat": "baton-beat",
    "flower": "baton-flower",
}


def unit(name: str) -> dict[str, str]:
    """The last value of each key of a unit."""
    path = ROOT / "deploy" / "systemd" / f"{name}.service"
    return dict(re.findall(r"^(\w+)=(.*)$", path.read_text(encoding="utf-8"), re.MULTILINE))


def documents() -> Iterator[dict[str, Any]]:
    """Every object of the manifests."""
    for path in MANIFESTS:
        yield from filter(None, yaml.safe_load_all(path.read_text(encoding="utf-8")))


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every pod's spec, by the name of what makes it."""
    for one in documents():
        if one["kind"] in ("Deployment", "Job"):
            yield one["metadata"]["name"], one["spec"]["template"]["spec"]


@pytest.mark.parametrize("line", procfile.lines())
def test_a_unit_runs_its_line_of_the_procfile(line: str) -> None:
    command = shlex.split(unit(UNIT_OF[line])["ExecStart"])
    wanted = shlex.split(procfile.lines()[line].replace("$BATON_DATA_DIR", "/var/lib/baton"))
    assert command[0] == f"/opt/baton/.venv/bin/{wanted[0]}"
    name = "worker-%i" if line == "worker" else line
    told = [re.sub(r"\$\{(\w+)\}", r"$\1", word).replace("%%h", "%h") for word in command[1:]]
    assert told == [word.replace("$WORKER_NAME", name) for word in wanted[1:]]


@pytest.mark.parametrize("line", procfile.lines())
def test_a_pod_runs_its_line_of_the_procfile(line: str) -> None:
    command = dict(pods())[f"baton-{line}"]["containers"][0]["command"]
    assert [re.sub(r"\$\((\w+)\)", r"$\1", word) for word in command] == shlex.split(procfile.lines()[line])


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_units_say_what_they_must(path: Path) -> None:
    told = unit(path.stem)
    assert told["EnvironmentFile"] == "/etc/baton/env"
    assert told["WorkingDirectory"] == "/opt/baton"
    assert told["User"] == "baton"
    if told["Type"] != "oneshot":
        assert told["Restart"] == "always"


def test_workers_have_time_to_drain() -> None:
    from settings import Settings

    drain_seconds = Settings.model_fields["drain_seconds"].default
    for name in ("baton-worker@", "baton-isolated"):
        assert int(unit(name)["TimeoutStopSec"]) > drain_seconds + 5
        assert unit(name)["KillMode"] == "mixed"  # the workers' own stop, not a signal to each child
    for name in ("baton-worker", "baton-isolated"):
        assert dict(pods())[name]["terminationGracePeriodSeconds"] > drain_seconds + 5


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here: the units are only parsed")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    # Given the units with this checkout in the place of /opt/baton (and no space in its path)
    (tmp_path / "opt").symlink_to(ROOT)
    for path in [*UNITS, ROOT / "deploy" / "systemd" / "baton.target"]:
        (tmp_path / path.name).write_text(path.read_text().replace("/opt/baton", str(tmp_path / "opt")))
    # When systemd reads them
    files = [str(tmp_path / path.name.replace("@", "@1")) for path in UNITS] + [str(tmp_path / "baton.target")]
    (tmp_path / "baton-worker@1.service").write_text((tmp_path / "baton-worker@.service").read_text())
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *files], capture_output=True, text=True)
    # Then it has nothing to say about ours
    assert not [line for line in done.stderr.splitlines() if "baton" in line], done.stderr
    assert done.returncode == 0


def test_manifests_name_settings() -> None:
    for one in documents():
        for name in {**one.get("data", {}), **one.get("stringData", {})}:
            assert name in ENV_NAMES or name in OTHER_NAMES, name
    for name, pod in pods():
        for container in pod["containers"]:
            for variable in container.get("env", ()):
                assert variable["name"] in ENV_NAMES or variable["name"] in OTHER_NAMES, (name, variable)
    named = re.findall(r"^([A-Z_]+)=", text_of(ROOT / "deploy" / "systemd" / "baton.env.example"), re.MULTILINE)
    assert named and set(named) <= set(ENV_NAMES) | OTHER_NAMES


def test_pods_start_without_names_that_kubernetes_adds() -> None:
    # A Service `baton-web` would put BATON_WEB_PORT into every pod, an unknown setting that stops the start.
    for name, pod in pods():
        assert pod["enableServiceLinks"] is False, name
        assert pod["securityContext"]["runAsNonRoot"] is True, name


def test_the_kustomization_has_every_manifest() -> None:
    kustomization = yaml.safe_load((ROOT / "deploy" / "k8s" / "kustomization.yaml").read_text())
    aside = {"kustomization.yaml", "secret.example.yaml"}
    assert set(kustomization["resources"]) == {path.name for path in MANIFESTS} - aside
    assert kustomization["images"][0]["newTag"] == text_of(ROOT / "VERSION").strip()


def test_only_the_migration_knows_the_owner() -> None:
    for name, pod in pods():
        secrets = [
            source["secretRef"]["name"]
            for container in pod["containers"]
            for source in container.get("envFrom", ())
            if "secretRef" in source
        ]
        assert ("baton-owner" in secrets) == (name == "baton-migrate")


def test_counters_are_served_without_a_front_end(tmp_path: Path) -> None:
    # Given a folder in which a process has counted
    counting = "from prometheus_client import Counter; Counter('baton_tried', 'a test').inc(3)"
    environment = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", counting], env=environment, check=True)
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    # When the server of deploy/ runs
    command = [sys.executable, str(ROOT / "deploy" / "metrics_server.py"), str(port)]
    serving = subprocess.Popen(command, env=environment)
    try:
        # Then it tells what was counted
        assert "baton_tried_total 3.0" in _read(f"http://127.0.0.1:{port}/metrics")
    finally:
        serving.kill()
        serving.wait()


def _read(url: str) -> str:
    until = time.monotonic() + 20
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return str(answer.read().decode())
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
