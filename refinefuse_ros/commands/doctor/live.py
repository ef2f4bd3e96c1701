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

"""What goes wrong now: the graph, the cameras' topics, the way of their images, and what the fusion nodes say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from refinefuse_ros.commands.doctor.findings import Finding, Verdict
from refinefuse_ros.commands.processes import require_ros
from refinefuse_ros.resources import PROFILE_VARIABLES, shared_path
from refinefuse_ros.stream.health import Level

if TYPE_CHECKING:
    from refinefuse_ros.nodes.live_survey import Publisher, Survey, SurveyedTopic

# More than this part of the frames is not lost by accident.
NOTED_LOSS: Final = 0.02
# Stamps further from this machine's clock than this are noted, ms.
NOTED_DELAY_MS: Final = 500.0
# Two cameras whose frames come further apart than this after their stamps are told of, ms.
NOTED_LAG_MS: Final = 100.0


def examine_live(seconds: float) -> Iterator[Finding]:
    """Look at the running system for some seconds, once others are discovered.

    Raises:
        ProcessError: ROS 2 is not there.
    """
    require_ros()
    from refinefuse_ros.nodes.live_survey import survey

    yield from judge(survey(seconds))


def judge(seen: Survey) -> Iterator[Finding]:
    """What to say of a running system."""
    if not seen.nodes:
        sentence = (
            f"no other node is seen on ROS domain {seen.domain}; start them, with the same ROS_DOMAIN_ID, and look at"
            " ROS_AUTOMATIC_DISCOVERY_RANGE."
        )
        yield Finding("graph", Verdict.BROKEN, sentence)
        return
    yield Finding("graph", Verdict.FINE, f"{len(seen.nodes)} other nodes on ROS domain {seen.domain}.")
    if seen.fusion_nodes:
        yield Finding("fusion", Verdict.FINE, f"{' and '.join(seen.fusion_nodes)} runs.")
    else:
        sentence = "no fusion node is active; below is what one would subscribe that is started as this command is."
        yield Finding("fusion", Verdict.LESS, sentence)
    for topic in seen.topics:
        yield from _judge_topic(topic)
    yield from _judge_lag(seen.topics)
    for name, (level, message) in sorted(seen.statuses.items()):
        if level != Level.OK:
            verdict = Verdict.BROKEN if level == Level.ERROR else Verdict.LESS
            yield Finding(name.replace(": ", " "), verdict, message)


def _judge_topic(topic: SurveyedTopic) -> Iterator[Finding]:
    came = topic.arrivals
    if not topic.publishers:
        yield Finding(topic.name, Verdict.BROKEN, f"{topic.silence or 'nobody publishes it'}.")
        return
    names = " and ".join(dict.fromkeys(one.node for one in topic.publishers))
    types = sorted({one.type for one in topic.publishers})
    if topic.type not in types:
        sentence = f"{names} publishes it as {' and '.join(types)}, not as {topic.type}; give the image's topic."
        yield Finding(topic.name, Verdict.BROKEN, sentence)
        return
    if topic.mismatch:
        yield Finding(topic.name, Verdict.BROKEN, f"{topic.mismatch}; leave out the QoS override of one of them.")
        return
    if not came.count:
        sentence = (
            f"{names} publishes it, but nothing arrives; {_transport_advice(topic) or 'see what its driver says'}."
        )
        yield Finding(topic.name, Verdict.BROKEN, sentence)
        return
    kind = "reliable" if all(one.reliable for one in topic.publishers) else "best effort"
    rate = "" if came.rate_hz is None else f" at {came.rate_hz:.1f} Hz"
    what = " ".join(filter(None, (came.size, came.encoding)))
    delay = "without stamps" if came.delay_ms is None else f"{came.delay_ms:.0f} ms after the stamp"
    yield Finding(topic.name, Verdict.FINE, f"{names} sends {what}{rate}, {kind}, {delay}.")
    if len(topic.publishers) > 1:
        yield Finding(
            topic.name, Verdict.LESS, f"{len(topic.publishers)} publishers send on one topic; stop all but one."
        )
    if came.delay_ms is None:
        sentence = "its stamps are zero; set sync.stamps: arrival, or the driver to stamp them."
        yield Finding(topic.name, Verdict.LESS, sentence)
    elif abs(came.delay_ms) > NOTED_DELAY_MS:
        how = "behind" if came.delay_ms > 0 else "ahead of"
        sentence = (
            f"its stamps are {abs(came.delay_ms) / 1000:.1f} s {how} this machine's clock; bring the clocks together"
            " (chrony, PTP), or set sync.stamps: arrival."
        )
        yield Finding(topic.name, Verdict.LESS, sentence)
    if came.lost is not None and came.lost > NOTED_LOSS:
        advice = _transport_advice(topic) or "the network or the processor does not keep up"
        yield Finding(topic.name, Verdict.LESS, f"{came.lost:.0%} of its frames do not arrive; {advice}.")
    elif advice := _transport_advice(topic):
        yield Finding(topic.name, Verdict.LESS, f"{advice}.")


def _transport_advice(topic: SurveyedTopic) -> str:
    """What to do for images that are larger than the shared memory of whoever sends them, as a clause."""
    small = [one for one in topic.publishers if _is_small(one, topic.arrivals.message_bytes)]
    if not small:
        return ""
    size = f"an image {topic.arrivals.message_bytes / 1e6:.1f} MB" if topic.arrivals.message_bytes else "images more"
    return (
        f"the shared memory of {' and '.join(one.node for one in small)} holds"
        f" {max(one.shared_bytes for one in small) / 1e6:.1f} MB and {size}: start it with"
        f" {PROFILE_VARIABLES[0]}={shared_path('config/fastdds_large_images.xml')}"
    )


def _is_small(publisher: Publisher, message_bytes: int) -> bool:
    """Whether a few of its images do not fit into its shared memory, or, before one has come, it is the default's."""
    if publisher.shared_bytes is None:
        return False
    return publisher.shared_bytes < (2 * message_bytes or 1e6)


def _judge_lag(topics: tuple[SurveyedTopic, ...]) -> Iterator[Finding]:
    delays_ms = {topic.name: topic.arrivals.delay_ms for topic in topics if topic.arrivals.delay_ms is not None}
    if len(delays_ms) < 2:
        return
    (early, early_ms), *_, (late, late_ms) = sorted(delays_ms.items(), key=lambda item: item[1])
    apart_ms = late_ms - early_ms
    sentence = f"frames of {late} come {apart_ms:.0f} ms later after their stamps than those of {early}"
    if apart_ms <= NOTED_LAG_MS:
        yield Finding("clocks", Verdict.FINE, f"{sentence}.")
        return
    cure = (
        "set sync.thermal_offset_ms if one camera's stamps are wrong, sync.max_wait_ms if its frames do come that late"
    )
    yield Finding("clocks", Verdict.LESS, f"{sentence}; {cure}.")
