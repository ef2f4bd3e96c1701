# Copyright 2026 refinefuse_ros contributors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Where a number was measured: machine, energy state, versions and commit. Nothing is imported to learn its version."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import cv2

import refinefuse_ros

_TOOL_TIMEOUT_S: Final = 10
_MIB: Final = 1024**2
_DISTRIBUTIONS: Final = ("numpy", "openvino", "torch", "torch-tensorrt", "tensorrt", "tensorrt-rtx-cu12-bindings")
_ENERGY_FILES: Final = {
    "governor": "sys/devices/system/cpu/cpu*/cpufreq/scaling_governor",
    "energy preference": "sys/devices/system/cpu/cpu*/cpufreq/energy_performance_preference",
    "boost": "sys/devices/system/cpu/cpufreq/boost",
    "no_turbo": "sys/devices/system/cpu/intel_pstate/no_turbo",
    "platform profile": "sys/firmware/acpi/platform_profile",
    "mains online": "sys/class/power_supply/*/online",
    "nvpmodel": "var/lib/nvpmodel/status",
}
_DESCRIBE_COMMIT: Final = ("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
_GPU_FIELDS: Final = "name,driver_version,pstate,power.limit,clocks.max.sm"


@dataclass(frozen=True)
class Machine:
    """What the numbers belong to.

    Attributes:
        cpu: its model, as the system names it.
        cores: that this process may use.
        memory_mib: of the machine.
        virtual: a hypervisor is beneath, so that other guests may take time.
        gpus: a line for each NVIDIA GPU: name, driver, performance state, power limit, highest clock.
        energy: what of the energy state can be read (governor, boost, mains, Jetson power mode).
        system: kernel and distribution.
    """

    cpu: str
    cores: int
    memory_mib: int
    virtual: bool
    gpus: list[str]
    energy: dict[str, str]
    system: str


@dataclass(frozen=True)
class Software:
    """What ran. `commit` is that of the source checkout, ending in -dirty when it was changed; None when installed."""

    refinefuse_ros: str
    commit: str | None
    versions: dict[str, str]


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe_machine() -> Machine:
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine(
        cpu=_cpu_name(),
        cores=cores(),
        memory_mib=memory_bytes // _MIB,
        virtual=" hypervisor" in _text(Path("/proc/cpuinfo")),
        gpus=_output("nvidia-smi", f"--query-gpu={_GPU_FIELDS}", "--format=csv,noheader").splitlines(),
        energy=energy_state(),
        system=platform.platform(),
    )


def describe_software() -> Software:
    versions = {"python": platform.python_version(), "opencv": cv2.__version__}
    for distribution in _DISTRIBUTIONS:
        try:
            versions[distribution] = version(distribution)
        except PackageNotFoundError:
            continue
    return Software(refinefuse_ros.__version__, _commit(), versions)


def energy_state(root: Path = Path("/")) -> dict[str, str]:
    """The readable ones of the system's energy settings; cores or supplies that differ are listed."""
    state = {}
    for name, pattern in _ENERGY_FILES.items():
        values = sorted({text for path in root.glob(pattern) if (text := _text(path).strip())})
        if values:
            state[name] = ", ".join(values)
    return state


def resident_mib(pid: int | None = None) -> float | None:
    """The physical memory that a process holds now, this one if none is given; None where /proc does not tell."""
    fields = _text(Path("/proc", str(pid or "self"), "statm")).split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / _MIB if fields else None


def gpu_memory_used_mib() -> float | None:
    """The memory in use on all NVIDIA GPUs together, by whatever process; None where nvidia-smi does not tell."""
    used = _output("nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits").split()
    return float(sum(map(int, used))) if used and all(text.isdigit() for text in used) else None


def has_screen() -> bool:
    """Whether there is one to open a window on."""
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _cpu_name() -> str:
    for line in _text(Path("/proc/cpuinfo")).splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    # ARM kernels name the board instead: "NVIDIA Jetson AGX Orin Developer Kit".
    board = _text(Path("/proc/device-tree/model")).strip("\0\n ")
    return board or platform.processor() or platform.machine()


def _commit() -> str | None:
    checkout = Path(refinefuse_ros.__file__).resolve().parents[1]
    if not (checkout / ".git").exists():
        return None  # installed; a repository further up, such as one around a virtual environment, is another one
    # A benchmark must not wait for, or disturb, a git at work in the checkout.
    return _output("git", "--no-optional-locks", "-C", str(checkout), *_DESCRIBE_COMMIT).strip() or None


def _output(tool: str, *arguments: str) -> str:
    """What a tool prints; empty where it is not there or fails."""
    if shutil.which(tool) is None:
        return ""
    try:
        return subprocess.run(
            [tool, *arguments], capture_output=True, text=True, check=True, timeout=_TOOL_TIMEOUT_S
        ).stdout
    except (subprocess.SubprocessError, OSError):
        return ""


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
