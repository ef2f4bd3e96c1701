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

"""What a built engine is: the JSON beside it, from which its fitness for this machine and this model is judged, and
which says how far its pictures are from torch's.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timezone
from typing import Any

from refinefuse_ros.errors import UserError

ANY = "any"
"""What a key says of a size, a GPU or a compute capability that an engine does not depend on."""


class ManifestError(UserError):
    """A manifest cannot be read; the message is one sentence."""


@dataclass(frozen=True)
class EngineKey:
    """Everything that a built engine depends on: engines whose keys differ in one field are not the same.

    Attributes:
        model: the model's name.
        source_sha256: of the graph or the weights that the engine was built from.
        size: of the images, "640x480"; `ANY` for a graph of any size.
        precision: as built: "fp32", "fp16" or "int8".
        backend: "tensorrt", "tensorrt_rtx", "torch_tensorrt", "openvino" or "onnx".
        backend_version: of that library.
        gpu: the GPU's name, or `ANY` where the engine serves every GPU of its compute capability, or needs none.
        compute_capability: "8.6", or `ANY`.
        options: the build's options.
        code_version: of this package.
    """

    model: str
    source_sha256: str
    size: str
    precision: str
    backend: str
    backend_version: str
    gpu: str
    compute_capability: str
    options: str
    code_version: str

    @property
    def name(self) -> str:
        """A file name without suffix: readable, and different for different keys."""
        digest = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()
        return f"{self.family}{digest[:16]}"

    @property
    def family(self) -> str:
        """What the names of engines for the same purpose begin with."""
        return f"{self.model}-{self.size}-{self.precision}-{self.backend}-"


@dataclass(frozen=True)
class Comparison:
    """How an engine's pictures differ from those of torch in fp32.

    Attributes:
        reference: what it was held against: "torch in fp32", or where torch or its weights are not there, the graph
            that the engine was made of.
        ran_on: what ran the exported model.
        pairs: what was fused, such as "4 pairs of the synthetic street".
        max_difference: largest difference of a pixel, in grey levels.
        mean_difference: mean difference, in grey levels.
        metrics: name to (reference, exported): the means over the pairs; empty for images too small for them.
    """

    reference: str
    ran_on: str
    pairs: str
    max_difference: int
    mean_difference: float
    metrics: dict[str, tuple[float, float]]

    @property
    def changes(self) -> dict[str, float]:
        """Change of each metric in per cent of what the reference reaches."""
        return {
            name: 100 * (after - before) / abs(before) if before else 0.0
            for name, (before, after) in self.metrics.items()
        }


@dataclass(frozen=True)
class Manifest:
    """A built engine's key, and the facts that came with building it.

    Attributes:
        key: what it depends on.
        weights_sha256: of the weight file behind it; empty if the graph does not say.
        size_multiple: what the graph's height and width are multiples of (pixels).
        artifact_sha256: of the engine's bytes.
        built_at: UTC, ISO 8601.
        build_seconds: how long building took.
        comparison: with torch; None where that was not made, as by a node that builds for itself.
        gpu_memory_bytes: what the engine takes on the GPU with its buffers; None where it never ran on one.
        proof_mean_difference: how far its picture of the built-in scene is from the reference on average, in grey
            levels (`proof.py`); None where it has not run yet.
    """

    key: EngineKey
    weights_sha256: str
    size_multiple: int
    artifact_sha256: str
    built_at: str
    build_seconds: float
    comparison: Comparison | None = None
    gpu_memory_bytes: int | None = None
    proof_mean_difference: float | None = None

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Read a manifest.

        Raises:
            ManifestError: the text is no JSON, or a field is missing, unknown or of another type.
        """
        try:
            content = json.loads(text)
            key = EngineKey(**content.pop("key"))
            comparison = _comparison(content.pop("comparison", None))
            manifest = cls(key=key, comparison=comparison, **content)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ManifestError(f"It is no engine manifest of this version ({error}).") from error
        for part in filter(None, (manifest.key, manifest, manifest.comparison)):
            for field in fields(part):
                value = getattr(part, field.name)
                expected = _TYPES[field.name]
                if type(value) not in expected:
                    raise ManifestError(f"Its field {field.name} is {value!r}, which no engine manifest has.")
        if manifest.size_multiple < 1:
            raise ManifestError(f"Its field size_multiple is {manifest.size_multiple}, which no engine manifest has.")
        return manifest


def _comparison(content: dict[str, Any] | None) -> Comparison | None:
    if content is None:
        return None
    metrics = {name: (float(before), float(after)) for name, (before, after) in content.pop("metrics").items()}
    return Comparison(metrics=metrics, **content)


_TYPES: dict[str, tuple[type, ...]] = {
    **{field.name: (str,) for field in fields(EngineKey)},
    "key": (EngineKey,),
    "weights_sha256": (str,),
    "size_multiple": (int,),
    "artifact_sha256": (str,),
    "built_at": (str,),
    "build_seconds": (int, float),
    "comparison": (Comparison, type(None)),
    "gpu_memory_bytes": (int, type(None)),
    "proof_mean_difference": (int, float, type(None)),
    "reference": (str,),
    "ran_on": (str,),
    "pairs": (str,),
    "max_difference": (int,),
    "mean_difference": (int, float),
    "metrics": (dict,),
}


def utc_now() -> str:
    """For `Manifest.built_at`."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def differences(found: EngineKey, wanted: EngineKey) -> str:
    """Which fields differ, for a sentence: "gpu is RTX 3080 and not RTX 4090, ..."; empty if none does."""
    return ", ".join(
        f"{field.name} is {_short(getattr(found, field.name))} and not {_short(getattr(wanted, field.name))}"
        for field in fields(EngineKey)
        if getattr(found, field.name) != getattr(wanted, field.name)
    )


def _short(value: str) -> str:
    """Hashes are told apart by their first digits."""
    return f"{value[:12]}..." if len(value) == 64 else value
