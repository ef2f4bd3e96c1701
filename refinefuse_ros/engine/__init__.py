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

"""How RefineFuse runs: one Engine interface, its backends, and the artifacts they load."""

import os
import sys

# OpenVINO reports each import of it over the network where this package is installed, by a process that it starts for
# that; it does without it. A node on a robot has nothing to report.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
# So does onnxruntime, by which nncf runs graphs, from its import on.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
