# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""How RefineFuse runs: one Engine interface, its backends, and the artifacts they load."""

import os
import sys

# OpenVINO reports each import of it over the network where this package is installed, by a process that it starts for
# that; it does without it. A node on a robot has nothing to report.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
# So does onnxruntime, by which nncf runs graphs, from its import on.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
