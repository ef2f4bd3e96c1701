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

"""An exported OpenVINO IR on disk: .xml, .bin and manifest (.xml.json), which are one or nothing."""

from __future__ import annotations

import hashlib
from pathlib import Path

from refinefuse_ros.engine.base import EngineError
from refinefuse_ros.engine.manifest import ANY, Manifest, ManifestError
from refinefuse_ros.image.frame import ImageSize

IR_BACKEND = "openvino"


def ir_files(path: Path) -> tuple[Path, Path, Path]:
    """The .xml, the .bin and the manifest that belong to a path of any suffix."""
    return path.with_suffix(".xml"), path.with_suffix(".bin"), path.with_suffix(".xml.json")


def ir_sha256(path: Path) -> str:
    """Hex SHA-256 of the .xml followed by the .bin: the .xml alone is the same for all weights of one network."""
    structure, weights, _ = ir_files(path)
    return hashlib.sha256(structure.read_bytes() + weights.read_bytes()).hexdigest()


def check_ir(path: Path, size: ImageSize) -> Manifest:
    """Hold an IR against its manifest before OpenVINO maps it into memory, where a file cut short ends the process.

    Args:
        path: the .xml.
        size: of the images to fuse.

    Returns:
        The manifest.

    Raises:
        EngineError: a file is missing, damaged or not what the manifest says, or the IR is for another size.
    """
    _, _, manifest_path = ir_files(path)
    try:
        manifest = Manifest.from_json(manifest_path.read_text(encoding="utf-8"))
        found = ir_sha256(path)
    except FileNotFoundError as error:
        raise EngineError(
            f"{path} is not complete without {Path(error.filename).name}; copy it too, or export the model again."
        ) from error
    except (ManifestError, OSError, UnicodeDecodeError) as error:
        raise EngineError(f"{path} cannot be trusted ({str(error).rstrip('.')}); export the model again.") from error
    key = manifest.key
    if key.backend != IR_BACKEND or found != manifest.artifact_sha256:
        raise EngineError(f"{path} or its .bin is not the one that {manifest_path.name} describes; export it again.")
    if key.size not in (ANY, str(size)):
        raise EngineError(
            f"{path} was exported for images of {key.size} and cannot fuse {size};"
            f" export it with '--size {size}', or without --size."
        )
    return manifest
