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

"""A status is logged when it turns bad, when the cause changes, and when it is good again; never at every look."""

from __future__ import annotations

from refinefuse_ros.stream.health import Judgement, Level
from refinefuse_ros.stream.news import QUIET_NS, News
from refinefuse_ros.stream.timing import NS_PER_S

GOOD = Judgement(Level.OK, "All is well.")


def late(ms: float) -> Judgement:
    return Judgement(Level.WARN, f"It is {ms:.1f} ms late.")


def test_a_fault_is_said_once_whatever_its_numbers() -> None:
    news = News()
    assert news.of("frames", GOOD, 0) is None
    assert news.of("frames", late(3), NS_PER_S) == late(3)
    assert [news.of("frames", late(ms), ms * NS_PER_S) for ms in range(4, 60)] == [None] * 56
    assert news.of("frames", GOOD, 61 * NS_PER_S) == GOOD
    assert news.of("frames", GOOD, 62 * NS_PER_S) is None


def test_another_cause_is_news() -> None:
    news = News()
    news.of("frames", late(3), 0)
    other = Judgement(Level.ERROR, "It is gone.")
    assert news.of("frames", other, NS_PER_S) == other


def test_what_comes_and_goes_is_not_said_each_time() -> None:
    news = News()
    said = [news.of("frames", late(3) if second % 2 else GOOD, second * NS_PER_S) for second in range(20)]
    assert said.count(late(3)) == 1
    news.of("frames", GOOD, 21 * NS_PER_S)
    assert news.of("frames", late(9), 20 * NS_PER_S + QUIET_NS) == late(9)


def test_patience() -> None:
    news = News()
    assert [news.of("rate", late(3), second, patience=3) is None for second in range(4)] == [True, True, False, True]


def test_nothing_yet_is_no_news() -> None:
    assert News().of("frames", Judgement(Level.STALE, "Nothing yet."), 0) is None


def test_subjects_do_not_hide_each_other() -> None:
    news = News()
    assert news.of("frames", late(3), 0) == late(3)
    assert news.of("latency", late(3), 0) == late(3)
