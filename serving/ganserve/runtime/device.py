"""What an engine can run on, found out rather than assumed.

ONNX Runtime lists its CUDA provider on machines without a GPU and falls back to the CPU without a word, so the driver
is asked first.
"""

from __future__ import annotations

import ctypes
import math
import os
import sys
from pathlib import Path
from typing import Literal

from ganserve.contract.errors import ConfigError

Device = Literal["cpu", "cuda"]
DeviceChoice = Literal["auto", "cpu", "cuda"]


def choose_device(choice: DeviceChoice) -> Device:
    """The device that a choice means on this machine.

    Raises:
        ConfigError: CUDA was asked for and the driver offers no GPU.
    """
    if choice == "cpu":
        return "cpu"
    num_gpus = count_gpus()
    if choice == "cuda" and num_gpus == 0:
        raise ConfigError(
            "--device cuda: the CUDA driver finds no GPU here; use --device cpu, or check the driver with nvidia-smi"
        )
    return "cuda" if num_gpus else "cpu"


def count_gpus() -> int:
    """Number of GPUs that the CUDA driver offers; 0 without a driver."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def count_physical_cores() -> int:
    """Physical cores that this process may use, its container's quota counted.

    Logical ones where the machine does not tell them apart.
    """
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    num_cores = len({_core_of(cpu) for cpu in os.sched_getaffinity(0)})
    return max(1, min(num_cores, _container_quota()))


def _core_of(cpu: int) -> tuple[str, str]:
    topology = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology")
    try:
        return (topology / "physical_package_id").read_text(), (topology / "core_id").read_text()
    except OSError:
        return "", str(cpu)


def _container_quota() -> int:
    """CPUs that the container may use at once, rounded up; many where there is no bound (cgroup v2)."""
    try:
        quota_us, period_us = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return math.ceil(int(quota_us) / int(period_us))
    except (OSError, ValueError):
        return sys.maxsize
