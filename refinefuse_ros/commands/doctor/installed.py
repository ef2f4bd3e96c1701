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

"""What is installed, what will be used, what would go wrong."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from refinefuse_ros import __version__
from refinefuse_ros.commands.doctor.findings import Finding, Verdict
from refinefuse_ros.engine.artifacts import SHIPPED_MODELS, find_model
from refinefuse_ros.engine.base import EngineError, EngineInfo
from refinefuse_ros.engine.factory import BACKENDS, LAST_RESORT, EngineRequest, create_engine
from refinefuse_ros.image.frame import ImageSize
from refinefuse_ros.resources import PROFILE_VARIABLES, shared_path

CHECKED_SIZE = ImageSize(640, 480)


def examine() -> Iterator[Finding]:
    """Look at one thing after the other. Engines are really built and run: where a plan is not cached, in minutes."""
    yield Finding("package", Verdict.FINE, f"refinefuse_ros {__version__} on Python {platform.python_version()}.")
    yield _ros()
    yield _transport()
    yield _optional("message_filters", "sync.policy approximate is not available")
    yield _optional("cv_bridge", "nothing of this package needs it")
    yield from map(_model, SHIPPED_MODELS)
    yield from map(_backend, BACKENDS)
    yield _chosen_engine()
    yield _video()


def _ros() -> Finding:
    missing = [name for name in ("rclpy", "sensor_msgs", "diagnostic_msgs") if find_spec(name) is None]
    if missing:
        sentence = f"{', '.join(missing)} missing: source a ROS 2 install, or install the extra ros (x86_64 only)."
        return Finding("ROS 2", Verdict.BROKEN, sentence)
    distribution = os.environ.get("ROS_DISTRO", "from pip")
    middleware = os.environ.get("RMW_IMPLEMENTATION", "the default middleware")
    return Finding("ROS 2", Verdict.FINE, f"rclpy {distribution}, {middleware}.")


def _transport() -> Finding:
    chosen = next((os.environ[name] for name in PROFILE_VARIABLES if os.environ.get(name)), None)
    if chosen is None:
        profile = shared_path("config/fastdds_large_images.xml")
        sentence = f"the nodes use {profile}; set {PROFILE_VARIABLES[0]} to it for your cameras and viewers too."
        return Finding("image transport", Verdict.FINE, sentence)
    if not os.path.isfile(chosen):
        return Finding(
            "image transport", Verdict.BROKEN, f"the Fast DDS profile {chosen} does not exist; check the path."
        )
    return Finding("image transport", Verdict.FINE, f"your Fast DDS profile {chosen} is used.")


def _optional(module: str, consequence: str) -> Finding:
    if find_spec(module) is None:
        return Finding(module, Verdict.LESS, f"not installed: {consequence}.")
    return Finding(module, Verdict.FINE, "installed.")


def _model(name: str) -> Finding:
    try:
        files = find_model(name)
    except EngineError as error:
        return Finding(f"model {name}", Verdict.LESS, str(error))
    present = ", ".join(path.name for path in (files.graph, files.weights) if path is not None)
    return Finding(f"model {name}", Verdict.FINE, f"{present}.")


def _backend(name: str) -> Finding:
    """Build and run the backend for the default model."""
    try:
        engine = create_engine(EngineRequest(backend=name), CHECKED_SIZE)
    except EngineError as error:
        return Finding(f"engine {name}", Verdict.LESS, str(error))
    info = engine.info
    engine.close()
    return Finding(
        f"engine {name}", Verdict.FINE, f"runs {info.model} in {info.precision} on {info.device}, {_proof(info)}."
    )


def _chosen_engine() -> Finding:
    try:
        engine = create_engine(EngineRequest(), CHECKED_SIZE)
    except EngineError as error:
        return Finding("engine auto", Verdict.BROKEN, str(error))
    info = engine.info
    engine.close()
    return Finding(
        "engine auto", Verdict.FINE, f"takes {info.backend} in {info.precision}, {_proof(info)} ({info.reason})."
    )


def _proof(info: EngineInfo) -> str:
    """What the engine has shown, as a part of a sentence."""
    if info.proof_mean_difference is None:
        return "not proven" if info.backend != LAST_RESORT else "which computes no network: there is nothing to prove"
    return f"proven to be {info.proof_mean_difference:.3f} grey levels from the reference"


def _video() -> Finding:
    try:
        return Finding("video", Verdict.FINE, f"PyAV {version('av')} writes H.264.")
    except PackageNotFoundError:
        return Finding("video", Verdict.LESS, "PyAV is not installed: demo and fuse cannot write MP4; pip install av.")
