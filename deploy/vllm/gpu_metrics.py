"""Serves the GPUs' load to Prometheus, one process a node: `python deploy/vllm/gpu_metrics.py [PORT]`.

    vllm_gpu_utilization{node_ip,gpu_id}         share of the last second in which the GPU computed, 0 to 1
    vllm_gpu_memory_used_bytes{node_ip,gpu_id}   and vllm_gpu_memory_total_bytes

NVIDIA's nvidia-ml-py reads the driver; it is no dependency of ours: vLLM's image has it. NODE_IP names the node
(Kubernetes: status.hostIP). A GPU that cannot be read is left out, so that the others are still seen.
"""

from __future__ import annotations

import importlib
import os
import socket
import sys
import threading
from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily

PORT = 9465
LABELS = ("node_ip", "gpu_id")


class Gpus:
    """A Prometheus collector that asks the driver when it is scraped."""

    def __init__(self, nvml: Any, node_ip: str) -> None:
        self._nvml, self._node_ip = nvml, node_ip

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges of this moment."""
        load = GaugeMetricFamily("vllm_gpu_utilization", "Share of time in which the GPU computed", labels=LABELS)
        used = GaugeMetricFamily("vllm_gpu_memory_used_bytes", "Memory of the GPU in use", labels=LABELS)
        total = GaugeMetricFamily("vllm_gpu_memory_total_bytes", "Memory of the GPU", labels=LABELS)
        for number in range(self._nvml.nvmlDeviceGetCount()):
            try:
                handle = self._nvml.nvmlDeviceGetHandleByIndex(number)
                percent = self._nvml.nvmlDeviceGetUtilizationRates(handle).gpu
                memory = self._nvml.nvmlDeviceGetMemoryInfo(handle)
            except self._nvml.NVMLError:
                continue
            labels = (self._node_ip, str(number))
            load.add_metric(labels, percent / 100)
            used.add_metric(labels, memory.used)
            total.add_metric(labels, memory.total)
        yield from (load, used, total)


def nvml() -> Any:
    """nvidia-ml-py, by its own name or as vLLM brings it along. ImportError where there is none."""
    try:
        return importlib.import_module("pynvml")
    except ImportError:
        return importlib.import_module("vllm.third_party.pynvml")


def node_ip() -> str:
    """NODE_IP, else the address that this machine's name has."""
    given = os.environ.get("NODE_IP")
    if given:
        return given
    try:
        return socket.gethostbyname(socket.gethostname())
    except OSError:
        return "127.0.0.1"


def main(port: int) -> None:
    """Serve until the process is stopped."""
    driver = nvml()
    driver.nvmlInit()
    registry = CollectorRegistry()
    registry.register(Gpus(driver, node_ip()))
    start_http_server(port, registry=registry)
    threading.Event().wait()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else PORT)
