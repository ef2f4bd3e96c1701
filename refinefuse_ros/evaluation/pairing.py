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

"""A recording's frames through the synchroniser by the recorder's clock, every frame accounted for."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from refinefuse_ros.evaluation import timeline
from refinefuse_ros.evaluation.recording import CameraSummary, LiveLatency, Recording
from refinefuse_ros.image.codec import MalformedImage
from refinefuse_ros.image.frame import Frame
from refinefuse_ros.pipeline import check_rgb
from refinefuse_ros.progress import progress
from refinefuse_ros.recordings.reading import BagFrame, BagReader
from refinefuse_ros.recordings.salvage import StoredMessage
from refinefuse_ros.stream.advice import clock_advice
from refinefuse_ros.stream.clocks import ClockReading, StreamClock
from refinefuse_ros.stream.outcome import Pair, Stream, SyncOutcome
from refinefuse_ros.stream.pairing import ARRIVAL, CameraPairing, PairingReading, SyncSettings
from refinefuse_ros.stream.synchronizer import NearestSynchronizer, SyncConfig
from refinefuse_ros.stream.timing import NS_PER_MS, NS_PER_S


def _stamps() -> array[int]:
    return array("q")


def as_option(name: str, value: object) -> str:
    """How a sentence names a setting here: as an option of `refinefuse evaluate`."""
    return f"--{name.replace('_', '-')} {value}"


@dataclass
class _CameraCount:
    """What became of one camera's frames so far, all their stamps, and how long after them they were recorded."""

    stamps_ns: array[int] = field(default_factory=_stamps)
    delays_ns: array[int] = field(default_factory=_stamps)
    paired_ns: array[int] = field(default_factory=_stamps)
    unpaired: int = 0
    superseded: int = 0
    refused: Counter[str] = field(default_factory=Counter)


class Pairing:
    """Feeds a bag's frames to the synchroniser, and accounts for them.

    Attributes:
        settings: how frames are paired, as somebody wants it.
        start_ns: the earliest stamp so far, of either camera; 0 before the first.
        expected: how many pairs there will be at most, as far as the bag tells.
    """

    def __init__(self, reader: BagReader, settings: SyncSettings) -> None:
        self.settings = settings
        self.start_ns = 0
        counts = reader.counts
        self.expected = min(counts.values()) if settings.thermal_hold_ms == 0 else counts[Stream.RGB]
        self._reader = reader
        self._counts = {stream: _CameraCount() for stream in Stream}
        self._offsets_ns = _stamps()
        self._end_ns = 0
        self._resets = 0
        self._pairing: CameraPairing[Frame] = CameraPairing(settings, NearestSynchronizer(SyncConfig()))

    def pairs(self, others: Mapping[str, Callable[[StoredMessage], None]], quiet: bool) -> Iterator[Pair[Frame]]:
        """The pairs in the order in which they are formed, behind a progress bar unless `quiet`.

        `others` takes the messages of other topics, as for `BagReader.frames`.
        """
        total = sum(self._reader.counts.values())
        frames = self._reader.frames(others, needs_stamps=self.settings.stamps != ARRIVAL)
        for item in progress(frames, "scoring", total, quiet):
            yield from self._decide_until(item.recorded_ns)
            yield from self._book(self._add(item))
            self._end_ns = item.recorded_ns
        yield from self._decide_until(math.inf)
        yield from self._book(self._pairing.flush())

    @property
    def formed(self) -> int:
        """How many pairs there are so far."""
        return len(self._offsets_ns)

    def reading(self) -> PairingReading:
        """The delays of the whole recording's frames, and by what frames were paired at its end."""
        clocks = ClockReading(
            *(
                StreamClock.of((), (delay_ns / NS_PER_MS for delay_ns in self._counts[stream].delays_ns))
                for stream in (Stream.THERMAL, Stream.RGB)
            )
        )
        return PairingReading(clocks, self._pairing.read(self._end_ns).in_use)

    def summary(self, scored: int, latency: LiveLatency | None) -> Recording:
        """What was found, with at least one pair formed, `scored` of them scored."""
        offsets_ms = np.array(self._offsets_ns) / NS_PER_MS
        edges, counts = timeline.histogram(offsets_ms, self.settings.slop_ms)
        reading = self.reading()
        end_ns = max(max(count.stamps_ns) for count in self._counts.values())
        duration_s = (end_ns - self.start_ns) / NS_PER_S
        bin_s = timeline.bin_width_s(duration_s)
        return Recording(
            path=str(self._reader.path),
            duration_s=duration_s,
            pairs=len(offsets_ms),
            failed=len(offsets_ms) - scored,
            resets=self._resets,
            offset_ms_median=float(np.median(offsets_ms)),
            offset_ms_max=float(np.abs(offsets_ms).max()),
            offset_bins_ms=edges,
            offset_counts=counts,
            bin_s=bin_s,
            thermal=self._camera(Stream.THERMAL, end_ns, bin_s),
            rgb=self._camera(Stream.RGB, end_ns, bin_s),
            sync=reading.in_use,
            lag_ms=reading.clocks.lag_ms,
            advice=clock_advice(reading, self.settings, as_option),
            latency=latency,
        )

    def _decide_until(self, now_ns: float) -> Iterator[Pair[Frame]]:
        """Poll at each deadline that has passed, as the live node does."""
        while (deadline_ns := self._pairing.next_deadline_ns()) is not None and deadline_ns <= now_ns:
            yield from self._book(self._pairing.poll(deadline_ns))

    def _add(self, item: BagFrame) -> SyncOutcome[Frame]:
        count, frame = self._counts[item.stream], item.frame
        if frame.stamp_ns <= 0 and self.settings.stamps == ARRIVAL:
            frame = replace(frame, stamp_ns=item.recorded_ns)
        stamp_ns = frame.stamp_ns
        count.stamps_ns.append(stamp_ns)
        if stamp_ns > 0:
            self.start_ns = min(self.start_ns or stamp_ns, stamp_ns)
            paired_by_ns = self.settings.pairing_stamp_ns(item.stream, stamp_ns, item.recorded_ns)
            count.delays_ns.append(item.recorded_ns - paired_by_ns)
        if item.stream is Stream.RGB:
            try:
                check_rgb(frame)
            except MalformedImage as error:
                count.refused[error.reason] += 1
                return SyncOutcome()
        return self._pairing.add(item.stream, stamp_ns, frame, item.recorded_ns)

    def _book(self, outcome: SyncOutcome[Frame]) -> Iterator[Pair[Frame]]:
        for left in outcome.unpaired:
            self._counts[left.stream].unpaired += 1
        for left in outcome.superseded:
            self._counts[left.stream].superseded += 1
        for left in outcome.rejected:
            self._counts[left.stream].refused[str(left.reason)] += 1
        self._resets += outcome.resets
        for pair in outcome.pairs:
            if not pair.thermal_reused:
                self._counts[Stream.THERMAL].paired_ns.append(pair.thermal.stamp_ns)
            self._counts[Stream.RGB].paired_ns.append(pair.rgb.stamp_ns)
            self._offsets_ns.append(pair.offset_ns)
            yield pair

    def _camera(self, stream: Stream, end_ns: int, bin_s: float) -> CameraSummary:
        count, reading = self._counts[stream], self._reader.cameras[stream]
        steps = timeline.steps_ns(count.stamps_ns)
        received, paired = (
            timeline.count_per_bin(stamps, self.start_ns, end_ns, bin_s)
            for stamps in (count.stamps_ns, count.paired_ns)
        )
        return CameraSummary(
            topic=self._reader.topics[stream],
            messages=reading.messages,
            paired=len(count.paired_ns),
            unpaired=count.unpaired,
            superseded=count.superseded,
            refused=dict(sorted(count.refused.items())),
            unreadable=dict(sorted(reading.unreadable.items())),
            rate_hz=NS_PER_S / float(np.median(steps)) if steps.size else None,
            longest_gap_ms=float(steps.max()) / NS_PER_MS if steps.size else None,
            calibrated=reading.camera_info is not None and float(reading.camera_info.k[0]) > 0,
            received=received,
            dropped=[all_of - in_pair for all_of, in_pair in zip(received, paired, strict=True)],
            gaps=timeline.gaps(count.stamps_ns, self.start_ns),
        )
