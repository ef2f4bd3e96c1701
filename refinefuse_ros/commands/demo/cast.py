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

"""Who plays in a demonstration: cameras of files or of a recording, and what each process is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from refinefuse_ros.clips import open_folder
from refinefuse_ros.image.sources import SYNTHETIC_RATE_HZ
from refinefuse_ros.recordings.replaying import replay_of

SENT_TIMES = "sent_times.json"


@dataclass(frozen=True)
class Cast:
    """Who plays in a demonstration: the player and what each of the three processes is told beside the common part.

    Attributes:
        player: the player's executable, camera_player or bag_player.
        playing, fusing, recording: parameters of the player, the fusion node and the recorder.
    """

    player: str
    playing: Mapping[str, object]
    fusing: Mapping[str, object]
    recording: Mapping[str, object]


def cast_of_source(source: str, seconds: float, rate_hz: float | None) -> Cast:
    """Two cameras from files or the synthetic street, for `seconds`.

    Args:
        source: "synthetic", or a folder with thermal/ and rgb/.
        rate_hz: pairs per second; None takes the source's own.

    Raises:
        SourceError: the source cannot be played.
    """
    source_rate_hz = SYNTHETIC_RATE_HZ
    if source != "synthetic":
        first = next(iter(open_folder(Path(source).expanduser())))
        source_rate_hz = 1 / first.period_s
    rate = rate_hz or source_rate_hz
    return Cast(
        "camera_player",
        playing={"source": source, "rate_hz": float(rate_hz or 0), "pairs": max(1, round(seconds * rate))},
        fusing={},
        recording={"source": source, "rate_hz": float(rate), "duration_s": float(seconds)},
    )


def cast_of_bag(
    path: Path,
    output: Path,
    *,
    thermal_topic: str | None = None,
    rgb_topic: str | None = None,
    seconds: float | None = None,
    runs: int = 1,
) -> Cast:
    """A recording's two cameras, in the recording's time.

    Args:
        path: the bag.
        output: where the times of publication go.
        thermal_topic, rgb_topic: its image topics; None guesses by name.
        seconds: how much of it to play; None plays all.
        runs: how often; more than once from memory.

    Raises:
        BagError: the bag or its cameras cannot be used.
    """
    replay = replay_of(path, thermal_topic, rgb_topic)
    sent_times = str(output / SENT_TIMES)
    return Cast(
        "bag_player",
        playing={
            "bag": str(path),
            **replay.topics,
            "duration_s": float(seconds or 0),
            "rounds": runs,
            "preload": runs > 1,
            "clock": True,
            "exit_at_end": True,
            "sent_times": sent_times,
        },
        fusing={**replay.transports, "use_sim_time": True},
        recording={
            "source": str(path),
            "replay": True,
            "sent_times": sent_times,
            "duration_s": seconds or replay.seconds,
            "use_sim_time": True,
        },
    )
