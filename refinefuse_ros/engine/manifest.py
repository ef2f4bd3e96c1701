# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""What a built engine is: the JSON beside it, from which its fitness for this machine and this model is judged."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields

from refinefuse_ros.errors import UserError


class ManifestError(UserError):
    """A manifest cannot be read; the message is one sentence."""


@dataclass(frozen=True)
class EngineKey:
    """Everything that a built engine depends on: engines whose keys differ in one field are not the same.

    Attributes:
        model: the model's name.
        source_sha256: of the graph or the weights that the engine was built from.
        size: of the images, "640x480".
        precision: as built: "fp32" or "fp16".
        backend: "tensorrt", "tensorrt_rtx" or "torch_tensorrt".
        backend_version: of that library.
        gpu: the GPU's name, or "any" where the engine serves every GPU of its compute capability.
        compute_capability: "8.6".
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
class Manifest:
    """A built engine's key, and the facts that came with building it.

    Attributes:
        key: what it depends on.
        weights_sha256: of the weight file behind it; empty if the graph does not say.
        size_multiple: what the graph's height and width are multiples of (pixels).
        artifact_sha256: of the engine's bytes.
        built_at: UTC, ISO 8601.
        build_seconds: how long building took.
    """

    key: EngineKey
    weights_sha256: str
    size_multiple: int
    artifact_sha256: str
    built_at: str
    build_seconds: float

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
            manifest = cls(key=key, **content)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ManifestError(f"It is no engine manifest of this version ({error}).") from error
        for part in (manifest.key, manifest):
            for field in fields(part):
                value = getattr(part, field.name)
                expected = _TYPES[field.name]
                if type(value) not in expected:
                    raise ManifestError(f"Its field {field.name} is {value!r}, which no engine manifest has.")
        return manifest


_TYPES: dict[str, tuple[type, ...]] = {
    **{field.name: (str,) for field in fields(EngineKey)},
    "key": (EngineKey,),
    "weights_sha256": (str,),
    "size_multiple": (int,),
    "artifact_sha256": (str,),
    "built_at": (str,),
    "build_seconds": (int, float),
}


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
