# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The verdict on a recording: every pair that the synchroniser finds, fused as the live node would, and scored.

Nothing depends on how fast this runs: the synchroniser's clock is the recorder's, and no pair is dropped.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final

import numpy as np

from refinefuse_ros import __version__
from refinefuse_ros.engine.factory import EngineRequest
from refinefuse_ros.engine.host import EngineHost
from refinefuse_ros.evaluation.bag_files import BagError
from refinefuse_ros.evaluation.bags import BagFrame, BagReader, open_bag
from refinefuse_ros.evaluation.metrics import MIN_SIDE, Flicker
from refinefuse_ros.evaluation.metrics import to_grey as grey_of_bgr
from refinefuse_ros.evaluation.scorecard import Provenance, Scorecard
from refinefuse_ros.evaluation.scoring import FusedPair, score_in_order
from refinefuse_ros.evaluation.table import print_table
from refinefuse_ros.image.alignment import fit_to
from refinefuse_ros.image.codec import MalformedImage
from refinefuse_ros.image.colour import split_luma, to_grey
from refinefuse_ros.image.frame import Frame, ImageSize
from refinefuse_ros.image.normalization import ThermalNormalizer
from refinefuse_ros.image.video import Mp4Writer
from refinefuse_ros.offline import note_skipped, progress
from refinefuse_ros.pipeline import FusionPipeline, check_rgb
from refinefuse_ros.stream.outcome import Pair, Stream, SyncOutcome
from refinefuse_ros.stream.synchronizer import NearestSynchronizer, SyncConfig
from refinefuse_ros.stream.timing import NS_PER_MS, NS_PER_S

# A camera has a gap where the next frame comes later than this many of its median periods.
_GAP_PERIODS: Final = 1.5
# A video needs its rate before its first frame: so many pairs are held back to tell it.
_PAIRS_TO_TELL_RATE: Final = 9


@dataclass(frozen=True)
class CameraSummary:
    """One camera over the whole bag; every message ends in exactly one of the five counts after `messages`.

    Attributes:
        topic: of its images.
        messages: image messages that were read.
        paired: frames in a pair.
        unpaired: frames that no partner came for.
        superseded: frames that the synchroniser's bounded queue let go.
        refused: frames refused for their stamp or encoding, by reason.
        unreadable: messages that could not be decoded, by reason.
        rate_hz: by the median distance of its stamps; None for fewer than two frames.
        gaps: where more than 1.5 median periods passed between two frames.
        longest_gap_ms: the longest distance between two frames, ms.
        calibrated: whether its CameraInfo has an intrinsic matrix.
    """

    topic: str
    messages: int
    paired: int
    unpaired: int
    superseded: int
    refused: dict[str, int]
    unreadable: dict[str, int]
    rate_hz: float | None
    gaps: int
    longest_gap_ms: float | None
    calibrated: bool


@dataclass(frozen=True)
class BagSummary:
    """What the synchroniser made of a bag.

    Attributes:
        path: of the bag.
        pairs: formed pairs.
        failed: of those, how many could not be fused or scored (each has a sentence among the skipped).
        resets: how often the stamps jumped back (recordings put together, a clock that was set).
        offset_ms_median: RGB stamp minus thermal stamp, over the pairs, ms.
        offset_ms_max: the largest distance of the stamps of a pair, ms.
        thermal, rgb: the cameras.
        sync: the settings by which they were paired.
    """

    path: str
    pairs: int
    failed: int
    resets: int
    offset_ms_median: float
    offset_ms_max: float
    thermal: CameraSummary
    rgb: CameraSummary
    sync: SyncConfig


@dataclass(frozen=True)
class BagScorecard(Scorecard):
    """The scores of a bag's pairs, named by their RGB stamp in seconds, and what the synchroniser made of the bag."""

    bag: BagSummary

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "bag": asdict(self.bag)}


def evaluate_bag(
    path: Path,
    *,
    request: EngineRequest,
    thermal_topic: str | None = None,
    rgb_topic: str | None = None,
    sync: SyncConfig | None = None,
    fused_video: Path | None = None,
    quiet: bool = False,
) -> BagScorecard:
    """Fuse and score every pair of a rosbag2 recording and, unless `quiet`, print the tables.

    Args:
        path: a bag's folder, or one .mcap or .db3 file.
        request: the model that fuses.
        thermal_topic, rgb_topic: the cameras' image topics; None guesses them by name.
        sync: how frames are paired; None takes the node's defaults.
        fused_video: also write the fused pairs to this .mp4, at their mean rate.
        quiet: print nothing.

    Returns:
        The scorecard. The planes that are scored are those that the network fused: the thermal frame normalised
        in sequence, and the RGB frame's luma. What could not be used has a sentence in `skipped`.

    Raises:
        BagError: the bag cannot be used, or no pair in it.
        EngineError: no backend can run the model, or it cannot fuse a pair.
        OSError: the video cannot be written.
    """
    started = time.perf_counter()
    reader = open_bag(path, thermal_topic, rgb_topic)
    pairing = _Pairing(reader, sync or SyncConfig(), quiet)
    skipped: list[str] = []
    flicker = Flicker()
    with ExitStack() as stack:
        fusing = _Fusing(request, stack)
        pairs = pairing.pairs()
        video = None
        if fused_video:
            first = list(islice(pairs, _PAIRS_TO_TELL_RATE))
            pairs = chain(first, pairs)
            fused_video.parent.mkdir(parents=True, exist_ok=True)
            video = stack.enter_context(Mp4Writer(fused_video, _rate_hz(first)))
        scores = list(score_in_order(_watched(fusing.fuse_all(pairs), flicker, video)))
        for sentence in (*reader.losses(), *fusing.failures()):
            note_skipped(sentence, skipped)
        if not scores:
            raise BagError(_no_pair(reader, pairing, skipped))
        engine = fusing.engine_info()
    topics = (reader.topics[stream] for stream in Stream)
    provenance = Provenance(__version__, *(f"{path}:{topic}" for topic in topics), None, engine)
    bag = pairing.summary(len(scores))
    card = BagScorecard(scores, flicker.value, skipped, provenance, time.perf_counter() - started, bag)
    if not quiet:
        print_table(card)
        _print_summary(bag)
    return card


@dataclass
class _CameraCount:
    """What became of one camera's frames so far, and all their stamps (8 bytes each)."""

    stamps_ns: list[int] = field(default_factory=list)
    paired: int = 0
    unpaired: int = 0
    superseded: int = 0
    refused: Counter[str] = field(default_factory=Counter)


class _Pairing:
    """Feeds a bag's frames to the synchroniser by the recorder's clock, and accounts for them."""

    def __init__(self, reader: BagReader, config: SyncConfig, quiet: bool) -> None:
        self.config = config
        self._reader = reader
        self._quiet = quiet
        self._counts = {stream: _CameraCount() for stream in Stream}
        self._offsets_ns: list[int] = []
        self._resets = 0

    def pairs(self) -> Iterator[Pair[Frame]]:
        """The pairs in the order in which they are formed."""
        synchronizer: NearestSynchronizer[Frame] = NearestSynchronizer(self.config)
        total = sum(self._reader.counts.values())
        for item in progress(self._reader.frames(), "scoring", total, self._quiet):
            yield from self._decide_until(item.recorded_ns, synchronizer)
            yield from self._book(self._add(synchronizer, item))
        yield from self._decide_until(math.inf, synchronizer)
        yield from self._book(synchronizer.flush())

    def summary(self, scored: int) -> BagSummary:
        offsets_ms = np.array(self._offsets_ns) / NS_PER_MS
        return BagSummary(
            path=str(self._reader.path),
            pairs=len(offsets_ms),
            failed=len(offsets_ms) - scored,
            resets=self._resets,
            offset_ms_median=float(np.median(offsets_ms)),
            offset_ms_max=float(np.abs(offsets_ms).max()),
            thermal=self._camera(Stream.THERMAL),
            rgb=self._camera(Stream.RGB),
            sync=self.config,
        )

    @property
    def formed(self) -> int:
        return len(self._offsets_ns)

    def _decide_until(self, now_ns: float, synchronizer: NearestSynchronizer[Frame]) -> Iterator[Pair[Frame]]:
        """Poll at each deadline that has passed, as the live node does."""
        while (deadline_ns := synchronizer.next_deadline_ns()) is not None and deadline_ns <= now_ns:
            yield from self._book(synchronizer.poll(deadline_ns))

    def _add(self, synchronizer: NearestSynchronizer[Frame], item: BagFrame) -> SyncOutcome[Frame]:
        count = self._counts[item.stream]
        count.stamps_ns.append(item.frame.stamp_ns)
        if item.stream is Stream.THERMAL:
            return synchronizer.add_thermal(item.frame.stamp_ns, item.frame, item.recorded_ns)
        try:
            check_rgb(item.frame)
        except MalformedImage as error:
            count.refused[error.reason] += 1
            return SyncOutcome()
        return synchronizer.add_rgb(item.frame.stamp_ns, item.frame, item.recorded_ns)

    def _book(self, outcome: SyncOutcome[Frame]) -> Iterator[Pair[Frame]]:
        for left in outcome.unpaired:
            self._counts[left.stream].unpaired += 1
        for left in outcome.superseded:
            self._counts[left.stream].superseded += 1
        for left in outcome.rejected:
            self._counts[left.stream].refused[str(left.reason)] += 1
        self._resets += outcome.resets
        for pair in outcome.pairs:
            self._counts[Stream.THERMAL].paired += not pair.thermal_reused
            self._counts[Stream.RGB].paired += 1
            self._offsets_ns.append(pair.offset_ns)
            yield pair

    def _camera(self, stream: Stream) -> CameraSummary:
        count, reading = self._counts[stream], self._reader.cameras[stream]
        steps = np.diff(np.array(count.stamps_ns, np.int64))
        steps = steps[steps > 0]  # a jump back is a reset, no distance between two frames
        period_ns = float(np.median(steps)) if steps.size else None
        return CameraSummary(
            topic=self._reader.topics[stream],
            messages=reading.messages,
            paired=count.paired,
            unpaired=count.unpaired,
            superseded=count.superseded,
            refused=dict(sorted(count.refused.items())),
            unreadable=dict(sorted(reading.unreadable.items())),
            rate_hz=NS_PER_S / period_ns if period_ns else None,
            gaps=int(np.count_nonzero(steps > _GAP_PERIODS * period_ns)) if period_ns else 0,
            longest_gap_ms=float(steps.max()) / NS_PER_MS if steps.size else None,
            calibrated=reading.camera_info is not None and float(reading.camera_info.k[0]) > 0,
        )


class _Fusing:
    """Fuses pairs in order with one engine, which is built for the first of them and closed with `stack`."""

    def __init__(self, request: EngineRequest, stack: ExitStack) -> None:
        self._request = request
        self._stack = stack
        self._engine: EngineHost | None = None
        self._failed: Counter[str] = Counter()
        self._examples: dict[str, str] = {}

    def engine_info(self) -> dict[str, str] | None:
        """What ran, as it is at the end: it may have fallen back to another backend."""
        return self._engine.info.to_dict() if self._engine else None

    def failures(self) -> list[str]:
        """A sentence for each kind of pair that could not be used."""
        return [
            f"{count} pair(s) could not be scored, the first: {self._examples[reason]}"
            for reason, count in self._failed.items()
        ]

    def fuse_all(self, pairs: Iterable[Pair[Frame]]) -> Iterator[tuple[FusedPair, np.ndarray]]:
        """The planes to score, and the fused image, (H, W, 3) uint8 BGR; a pair that cannot be used is counted."""
        normalizer = ThermalNormalizer()  # goes the same way as the pipeline's own, so that it gives the same planes
        pipeline: FusionPipeline | None = None
        size: ImageSize | None = None
        for pair in pairs:
            thermal, rgb = pair.thermal.payload, pair.rgb.payload
            seconds, nanoseconds = divmod(rgb.stamp_ns, NS_PER_S)
            name = f"{seconds}.{nanoseconds:09d}"
            size = size or rgb.size
            try:
                _check_size(rgb.size, size)
                pipeline = pipeline or self._create_pipeline(size)
                fused = pipeline.fuse(thermal, rgb).pixels
            except MalformedImage as error:
                self._failed[error.reason] += 1
                self._examples.setdefault(error.reason, f"{name}: {error}")
                continue
            counts = fit_to(to_grey(thermal.pixels, thermal.encoding), size)
            plane = normalizer.normalize(counts, thermal.stamp_ns)
            luma, _ = split_luma(rgb.pixels, rgb.encoding)
            yield FusedPair(name, plane, luma, grey_of_bgr(fused)), fused

    def _create_pipeline(self, size: ImageSize) -> FusionPipeline:
        self._engine = EngineHost(self._request, size)
        self._stack.callback(self._engine.close)
        return FusionPipeline(self._engine, ThermalNormalizer())


def _check_size(size: ImageSize, first: ImageSize) -> None:
    """Raises MalformedImage when a pair of this RGB size cannot be scored with the others."""
    if min(size) < MIN_SIDE:
        raise MalformedImage("too_small", f"{size} pixels are too few; use RGB images of at least {MIN_SIDE} a side.")
    if size != first:
        raise MalformedImage("other_size", f"its RGB image is {size} where the first was {first}; split the bag there.")


def _watched(
    pairs: Iterator[tuple[FusedPair, np.ndarray]], flicker: Flicker, video: Mp4Writer | None
) -> Iterator[FusedPair]:
    for pair, fused in pairs:
        flicker.add(pair.ir, pair.vis, pair.fused)
        if video:
            video.write(fused)
        yield pair


def _rate_hz(pairs: list[Pair[Frame]]) -> float:
    """The pairs' rate by the median distance of their RGB stamps; 1 for fewer than two."""
    steps = np.diff([pair.rgb.stamp_ns for pair in pairs])
    steps = steps[steps > 0]
    return NS_PER_S / float(np.median(steps)) if steps.size else 1.0


def _no_pair(reader: BagReader, pairing: _Pairing, skipped: list[str]) -> str:
    if pairing.formed or any(camera.messages == camera.unreadable.total() for camera in reader.cameras.values()):
        return skipped[-1]
    thermal, rgb = (reader.topics[stream] for stream in Stream)
    return (
        f"No frame of {thermal} lies within {pairing.config.slop_ms:g} ms of one of {rgb} in {reader.path}; check that"
        " the cameras' clocks are synchronised, or allow a larger slop."
    )


def _print_summary(bag: BagSummary) -> None:
    print(
        f"{bag.pairs} pairs, {bag.failed} failed; RGB minus thermal stamp {bag.offset_ms_median:+.2f} ms median,"
        f" at most {bag.offset_ms_max:.2f} ms apart; {bag.resets} jump(s) back"
    )
    for stream, camera in ((Stream.THERMAL, bag.thermal), (Stream.RGB, bag.rgb)):
        rate = f"{camera.rate_hz:.1f} Hz" if camera.rate_hz else "one frame"
        gap = f", longest {camera.longest_gap_ms:.0f} ms" if camera.gaps else ""
        print(
            f"{stream!s:<8} {camera.topic}: {camera.messages} frames at {rate}, {camera.paired} paired,"
            f" {camera.unpaired} unpaired, {camera.superseded} superseded, {sum(camera.refused.values())} refused,"
            f" {sum(camera.unreadable.values())} unreadable; {camera.gaps} gap(s){gap}"
        )
