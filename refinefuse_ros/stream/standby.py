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

"""When a camera's frame is shown alone: the other camera is missing, or the two do not pair."""

from __future__ import annotations

import threading
from typing import Final

from refinefuse_ros.stream.health import CameraHealth, sends_alone
from refinefuse_ros.stream.outcome import Stream
from refinefuse_ros.stream.timing import NS_PER_MS

# Once frames have paired, RGB stands in after a pause of so long, ms: a viewer's eye notices a longer one.
GRACE_MS: Final = 150.0
# A slow RGB camera may lose one pair before it is a pause.
GRACE_PERIODS: Final = 2.5


class Standby:
    """Decides which frames are shown alone. Thread-safe.

    An RGB frame without a partner is shown when no pair was formed for a moment (`GRACE_MS`), or, before the first
    pair of a stream, for the camera timeout: cameras that start or come back together never count, whichever frame is
    the first. A thermal frame is shown when no RGB frame has come for the camera timeout: it has another size and
    another frame_id, and does not step in for a moment.

    Args:
        cameras: the health of both.
    """

    def __init__(self, cameras: dict[Stream, CameraHealth]) -> None:
        self._lock = threading.Lock()
        self._cameras = cameras
        self._paired_ns: int | None = None

    def paired(self, now_ns: int) -> None:
        """A pair was formed at `now_ns`."""
        with self._lock:
            self._paired_ns = now_ns

    def shows(self, stream: Stream, now_ns: int) -> bool:
        """Whether a frame of `stream` that has no partner is to be shown at `now_ns`."""
        camera, other = (self._cameras[one].read(now_ns) for one in (stream, stream.other))
        if stream is Stream.THERMAL:
            return sends_alone(camera, other)
        if not camera.live:
            return False
        since_pair_ms = self._since_pair_ms(now_ns)
        if since_pair_ms is None or since_pair_ms > camera.age_ms + camera.streaming_ms:
            return camera.streaming_ms > camera.timeout_ms
        period_ms = 1000.0 / camera.rate_hz if camera.rate_hz > 0 else 0.0
        return since_pair_ms > max(GRACE_MS, GRACE_PERIODS * period_ms)

    def _since_pair_ms(self, now_ns: int) -> float | None:
        """Time since the last pair; None before the first, and after a clock that stepped back."""
        with self._lock:
            if self._paired_ns is not None and now_ns < self._paired_ns:
                self._paired_ns = None
            return None if self._paired_ns is None else (now_ns - self._paired_ns) / NS_PER_MS
