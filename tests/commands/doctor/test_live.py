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

"""What is said of a running system: each trouble by itself, with what to do."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2's rclpy (extra: ros)")

from refinefuse_ros.commands.doctor.findings import Verdict
from refinefuse_ros.commands.doctor.live import judge
from refinefuse_ros.nodes.live_survey import Arrivals, Publisher, Survey, SurveyedTopic

IMAGE = "sensor_msgs/msg/Image"
CAME = Arrivals(150, 30.0, 0.0, 12.0, "mono16", "640x480", 614_000)
DRIVER = Publisher("/driver", IMAGE, reliable=True, here=True, shared_bytes=70_000_000)
THERMAL = SurveyedTopic("/thermal/image_raw", IMAGE, (DRIVER,), arrivals=CAME)
RGB = replace(THERMAL, name="/rgb/image_raw", arrivals=replace(CAME, delay_ms=20.0, encoding="bgr8"))
WELL = Survey(0, ("/driver", "/fusion"), ("/fusion",), (RGB, THERMAL), {"/fusion: frames": (0, "All is well.")})


def found(survey: Survey) -> list[tuple[str, Verdict, str]]:
    findings = [(one.subject, one.verdict, one.sentence) for one in judge(survey)]
    assert all(sentence.endswith(".") for _, _, sentence in findings)
    return findings


def trouble(survey: Survey) -> list[tuple[str, Verdict, str]]:
    return [one for one in found(survey) if one[1] is not Verdict.FINE]


def with_rgb(**changes: object) -> Survey:
    return replace(WELL, topics=(replace(RGB, **changes), THERMAL))


def test_a_system_that_is_well_is_described() -> None:
    assert trouble(WELL) == []
    sentences = {subject: sentence for subject, _, sentence in found(WELL)}
    assert sentences["/rgb/image_raw"] == "/driver sends 640x480 bgr8 at 30.0 Hz, reliable, 20 ms after the stamp."
    assert sentences["clocks"].startswith(
        "frames of /rgb/image_raw come 8 ms later after their stamps than those of /th"
    )


def test_nobody_there() -> None:
    (finding,) = found(Survey(7, (), (), ()))
    assert finding[:2] == ("graph", Verdict.BROKEN)
    assert "ROS domain 7" in finding[2]


@pytest.mark.parametrize(
    ("survey", "verdict", "part"),
    [
        (with_rgb(publishers=(), arrivals=Arrivals()), Verdict.BROKEN, "nobody publishes it."),
        (
            with_rgb(publishers=(), silence="nobody publishes it; remap x", arrivals=Arrivals()),
            Verdict.BROKEN,
            "remap x.",
        ),
        (
            with_rgb(type="sensor_msgs/msg/CompressedImage"),
            Verdict.BROKEN,
            "as sensor_msgs/msg/Image, not as sensor_msgs",
        ),
        (with_rgb(mismatch="/a and /b do not come together: durability"), Verdict.BROKEN, "leave out the QoS override"),
        (with_rgb(arrivals=Arrivals()), Verdict.BROKEN, "nothing arrives; see what its driver says."),
        (with_rgb(publishers=(DRIVER, DRIVER)), Verdict.LESS, "2 publishers send on one topic"),
        (with_rgb(arrivals=replace(CAME, delay_ms=None)), Verdict.LESS, "set sync.stamps: arrival, or the driver"),
        (with_rgb(arrivals=replace(CAME, lost=0.3)), Verdict.LESS, "30% of its frames do not arrive; the network or"),
        (
            with_rgb(publishers=(replace(DRIVER, shared_bytes=549_408),)),
            Verdict.LESS,
            "the shared memory of /driver holds 0.5 MB and an image 0.6 MB: start it with FASTRTPS_DEFAULT",
        ),
        (
            with_rgb(publishers=(replace(DRIVER, shared_bytes=549_408),), arrivals=Arrivals()),
            Verdict.BROKEN,
            "nothing arrives; the shared memory of /driver holds 0.5 MB and images more: start it with",
        ),
    ],
)
def test_trouble_with_a_topic_is_one_line_with_its_cure(survey: Survey, verdict: Verdict, part: str) -> None:
    ((subject, said, sentence),) = trouble(survey)
    assert (subject, said) == ("/rgb/image_raw", verdict)
    assert part in sentence


def test_clocks_that_are_apart() -> None:
    findings = trouble(with_rgb(arrivals=replace(CAME, delay_ms=3600e3)))
    assert "its stamps are 3600.0 s behind this machine's clock; bring" in findings[0][2]
    assert findings[1][:2] == ("clocks", Verdict.LESS)
    assert "sync.thermal_offset_ms" in findings[1][2]
    ((_, _, sentence),) = trouble(with_rgb(arrivals=replace(CAME, delay_ms=312.0)))
    assert sentence.startswith("frames of /rgb/image_raw come 300 ms later after their stamps than those of /thermal")


def test_what_the_fusion_node_says_is_passed_on() -> None:
    statuses = {"/fusion: frames": (1, "Few pair."), "/fusion: engine": (2, "It hangs."), "/fusion: rate": (0, "Good.")}
    assert trouble(replace(WELL, statuses=statuses)) == [
        ("/fusion engine", Verdict.BROKEN, "It hangs."),
        ("/fusion frames", Verdict.LESS, "Few pair."),
    ]


def test_without_a_fusion_node_its_cameras_are_looked_at_all_the_same() -> None:
    ((subject, verdict, sentence),) = trouble(replace(WELL, fusion_nodes=(), statuses={}))
    assert (subject, verdict) == ("fusion", Verdict.LESS)
    assert "no fusion node is active" in sentence
