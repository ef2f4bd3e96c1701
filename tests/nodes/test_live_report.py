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

"""The verdict on a live run: the numbers it takes from where, what it leaves out, and how it reads."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from refinefuse_ros.nodes.live_report import LatencyFrom, LiveRun, live_report, summary
from refinefuse_ros.stream.delivery import Delivery

FRAMES = {
    "thermal_received": "30",
    "rgb_received": "99",
    "pairs_formed": "30",
    "pairs_published": "28",
    "pairs_superseded": "2",
    "pairs_failed": "0",
    "passed_through": "0",
    "balanced": "True",
}
LATENCY = {"latency_ms_p50": "20.500", "outside_engine_ms_p50": "2.000", "stage_engine_ms_p50": "12.000"}
PLAYED = {"thermal_published": "30", "rgb_published": "100", "finished": "True", "source": "BAG: /t and /v"}


def status(**values: str) -> dict[str, Any]:
    return {"level": 0, "message": "", "values": values}


def delivery(fused: int = 27, p50: float = 17.0) -> Delivery:
    return Delivery(100, fused, 70, 30 - fused, 9.0, p50, p50 + 5, p50 + 10, p50 + 20, 1.5)


RUN = LiveRun(
    source="BAG",
    statuses={
        "fusion: frames": status(**FRAMES),
        "fusion: latency": status(**LATENCY),
        "fusion: engine": status(model="nano", precision="bf16", backend="openvino", device="CPU"),
        "bag_player: playback": status(**PLAYED),
    },
    rounds=[delivery()],
    latency_from=LatencyFrom.PUBLICATION,
    seconds=3.3,
    fused_frames=27,
    video_frames=27,
    output=Path("out"),
)


def test_numbers_of_a_replay() -> None:
    report = live_report(RUN)
    assert json.loads(json.dumps(report)) == report
    assert report["frames"] == {"sent": 100, "fused": 27, "unpaired": 70, "missed": 3}
    assert (report["viewer_latency_ms_p50"], report["viewer_latency_ms_max"], report["viewer_jitter_ms"]) == (
        17,
        37,
        1.5,
    )
    assert report["transport"] == {
        "thermal_sent": 30,
        "rgb_sent": 100,
        "thermal_lost": 0,
        "rgb_lost": 1,
        "fused_lost": 1,
    }
    assert report["stages"] == {"stage_engine_ms_p50": 12.0}
    assert "latency_ms_p50" not in report  # by /clock, which is coarse
    assert report["ledger"]["balanced"] is True
    assert live_report(replace(RUN, latency_from=LatencyFrom.STAMP))["latency_ms_p50"] == 20.5


def test_rounds_that_do_not_count_are_listed() -> None:
    report = live_report(replace(RUN, rounds=[delivery(p50=15.0), delivery(p50=16.0), delivery(20)]))
    assert [one["counted"] for one in report["rounds"]] == [False, True, False]
    assert report["viewer_latency_ms_p50"] == 16.0
    text = summary(report)
    assert "round 1  9.0 Hz, 27 fused, 3 missed; 15.0 ms p50, 25.0 p99, 35.0 max (not counted)" in text
    assert "round 2  9.0 Hz, 27 fused, 3 missed; 16.0 ms p50, 26.0 p99, 36.0 max\n" in text


def test_a_summary_says_where_every_frame_went() -> None:
    text = summary(live_report(RUN))
    assert "27 of 100 RGB frames fused, 70 without a thermal frame, 3 missed" in text
    assert "17.0 ms p50, 22.0 p90, 27.0 p99, 37.0 max, jitter 1.5 from publication to viewer" in text
    assert "lost in transport: 0 thermal, 1 rgb, 1 fused" in text


def test_while_the_player_plays_nothing_counts_as_lost() -> None:
    playing = {**RUN.statuses, "bag_player: playback": status(**(PLAYED | {"finished": "False"}))}
    assert live_report(replace(RUN, statuses=playing))["transport"]["rgb_lost"] is None


def test_a_run_of_which_little_is_known_can_be_told() -> None:
    unknown = Delivery(None, 5, 0, None, None, None, None, None, None, None)
    run = replace(RUN, statuses={}, rounds=[unknown], latency_from=LatencyFrom.NOWHERE)
    text = summary(live_report(run))
    assert "5 fused images" in text
    assert "latency  not measured" in text
    assert "ledger" not in text
