"""deploy/vllm: the script explains what it does, the manifests hold what they promise, the GPUs' load is told."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from tests.docs.pages import ROOT, text_of

FOLDER = ROOT / "deploy" / "vllm"
FAKE_DRIVER = """
from types import SimpleNamespace
class NVMLError(Exception): pass
def nvmlInit(): pass
def nvmlDeviceGetCount(): return 3
def nvmlDeviceGetHandleByIndex(number):
    if number == 1: raise NVMLError("fell off the bus")
    return number
def nvmlDeviceGetUtilizationRates(number): return SimpleNamespace(gpu=40 + number, memory=1)
def nvmlDeviceGetMemoryInfo(number): return SimpleNamespace(used=7, total=10)
"""


def objects() -> dict[str, dict[str, Any]]:
    """The manifests' objects by kind."""
    found = {}
    for name in ("vllm.yaml", "gpu-metrics.yaml"):
        for one in yaml.safe_load_all(text_of(FOLDER / name)):
            found[one["kind"]] = one
    return found


def pods() -> list[dict[str, Any]]:
    return [objects()[kind]["spec"]["template"]["spec"] for kind in ("StatefulSet", "DaemonSet")]


def test_every_flag_of_the_script_is_explained() -> None:
    lines = text_of(FOLDER / "serve.sh").split("flags=(\n")[1].split("\n)\n")[0].splitlines()
    flags = [number for number, line in enumerate(lines) if line.strip().startswith("--")]
    assert len(flags) > 8
    unexplained = [lines[number] for number in flags[1:] if not lines[number - 1].strip().startswith("#")]
    assert unexplained == []


def test_the_script_starts_vllm_with_the_sites_values_and_without_the_key(tmp_path: Path) -> None:
    # Given a program `vllm` that tells how it was called
    fake = tmp_path / "vllm"
    fake.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    fake.chmod(0o755)
    site = {"MODEL": "/weights/mine", "SERVED_NAME": "mine", "TENSOR_PARALLEL": "4", "VLLM_API_KEY": "very secret"}
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", **site}
    # When the script runs with a flag of the site's own
    command = [str(FOLDER / "serve.sh"), "--max-logprobs", "5"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=20)
    told = done.stdout.splitlines()
    # Then vLLM serves what was asked for, caches prefixes, and nobody reads the key in the process list
    assert told[:2] == ["serve", "/weights/mine"]
    assert told[told.index("--served-model-name") + 1] == "mine"
    assert told[told.index("--tensor-parallel-size") + 1] == "4"
    assert "--enable-prefix-caching" in told
    assert told[-2:] == ["--max-logprobs", "5"]
    assert told[told.index("--reasoning-parser") + 1] == "qwen3"
    assert "secret" not in done.stdout
    # And a model that does not think has no parser for it: everything it says would count as thoughts
    done = subprocess.run(
        command, env={**environment, "REASONING_PARSER": ""}, capture_output=True, text=True, timeout=20
    )
    assert "--reasoning-parser" not in done.stdout


def test_the_manifests_keep_to_the_house_rules() -> None:
    for pod in pods():
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        (container,) = pod["containers"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["readinessProbe"]
        assert Path(container["command"][1]).name in {path.name for path in FOLDER.iterdir()}


def test_the_image_has_a_version_and_the_readme_names_the_same() -> None:
    kustomization = yaml.safe_load(text_of(FOLDER / "kustomization.yaml"))
    (image,) = kustomization["images"]
    assert re.fullmatch(r"v\d+\.\d+\.\d+", image["newTag"])
    assert f"vllm=={image['newTag'][1:]}" in text_of(FOLDER / "README.md")
    assert {pod["containers"][0]["image"] for pod in pods()} == {image["name"]}
    (scripts,) = kustomization["configMapGenerator"]
    assert all((FOLDER / name).exists() for name in scripts["files"])


def test_as_many_gpus_are_asked_for_as_share_the_model() -> None:
    container = objects()["StatefulSet"]["spec"]["template"]["spec"]["containers"][0]
    told = {one["name"]: one.get("value") for one in container["env"]}
    assert container["resources"]["limits"]["nvidia.com/gpu"] == told["TENSOR_PARALLEL"]
    assert "valueFrom" in next(one for one in container["env"] if one["name"] == "VLLM_API_KEY")


def test_only_pods_that_there_are_may_ask() -> None:
    rule = objects()["NetworkPolicy"]["spec"]["ingress"][0]["from"][0]["podSelector"]["matchExpressions"][0]
    ours = [yaml.safe_load(path.read_text()) for path in (ROOT / "deploy" / "k8s").glob("worker.yaml")]
    assert ours[0]["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"] in rule["values"]
    manifests = "".join(path.read_text() for path in (ROOT / "deploy" / "k8s").glob("*.yaml"))
    assert all(f"app.kubernetes.io/name: {name}" in manifests for name in rule["values"])


def test_the_gpus_load_is_served(tmp_path: Path) -> None:
    # Given a driver with three cards, of which one cannot be read
    (tmp_path / "pynvml.py").write_text(FAKE_DRIVER)
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path), "NODE_IP": "10.0.0.7"}
    # When the exporter runs
    serving = subprocess.Popen([sys.executable, str(FOLDER / "gpu_metrics.py"), str(port)], env=environment)
    try:
        told = read(f"http://127.0.0.1:{port}/metrics")
    finally:
        serving.kill()
        serving.wait()
    # Then it tells the load of the others
    assert 'vllm_gpu_utilization{gpu_id="0",node_ip="10.0.0.7"} 0.4' in told
    assert 'vllm_gpu_utilization{gpu_id="2",node_ip="10.0.0.7"} 0.42' in told
    assert 'gpu_id="1"' not in told
    assert 'vllm_gpu_memory_used_bytes{gpu_id="0",node_ip="10.0.0.7"} 7.0' in told


def read(url: str) -> str:
    """The page, as soon as somebody serves it."""
    until = time.monotonic() + 20
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return str(answer.read().decode())
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
