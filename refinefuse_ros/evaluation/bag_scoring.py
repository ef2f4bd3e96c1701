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

"""The verdict on a recording: every pair that the synchroniser finds, fused as the live node would, and scored.

Nothing depends on how fast this runs: the synchroniser's clock is the recorder's, and no pair is dropped.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import chain, islice
from pathlib import Path
from typing import Final

import numpy as np

from refinefuse_ros.alignment.camera import Camera, camera_of
from refinefuse_ros.alignment.file import Alignment
from refinefuse_ros.alignment.placing import Placer
from refinefuse_ros.engine.factory import EngineRequest
from refinefuse_ros.evaluation.fused_outputs import FusedFiles, FusedOutputs
from refinefuse_ros.evaluation.fused_topic import FusedTopic, MatchedPair
from refinefuse_ros.evaluation.live_latency import LatencyReader
from refinefuse_ros.evaluation.metrics import MIN_SIDE
from refinefuse_ros.evaluation.pairing import Pairing, as_option
from refinefuse_ros.evaluation.timeline import steps_ns
from refinefuse_ros.evaluation.verdict import Gallery, Verdict
from refinefuse_ros.evaluation.work.chunks import Job, PreparedPair
from refinefuse_ros.evaluation.work.running import conclude, label_models, run
from refinefuse_ros.evaluation.work.workers import Parallelism
from refinefuse_ros.image.codec import MalformedImage
from refinefuse_ros.image.frame import Frame, ImageSize
from refinefuse_ros.image.normalization import NormalizationConfig, ThermalNormalizer
from refinefuse_ros.image.sensor_view import SensorView
from refinefuse_ros.offline import note_skipped
from refinefuse_ros.pipeline import prepare_thermal
from refinefuse_ros.recordings.checksum import Checksum
from refinefuse_ros.recordings.reading import BagReader, open_bag
from refinefuse_ros.recordings.storage import BagError
from refinefuse_ros.stream.advice import clock_advice
from refinefuse_ros.stream.outcome import Pair, Stream
from refinefuse_ros.stream.pairing import SyncSettings
from refinefuse_ros.stream.timing import NS_PER_S

# A video needs its rate before its first frame: so many pairs are held back to tell it.
_PAIRS_TO_TELL_RATE: Final = 9


def evaluate_bag(
    path: Path,
    *,
    requests: Sequence[EngineRequest] = (EngineRequest(),),
    thermal_topic: str | None = None,
    rgb_topic: str | None = None,
    fused_topic: str | None = None,
    sync: SyncSettings | None = None,
    views: Mapping[Stream, SensorView] | None = None,
    alignment: Alignment | None = None,
    normalization: NormalizationConfig | None = None,
    steady: bool = False,
    motion: bool = False,
    fused_files: FusedFiles | None = None,
    where: Parallelism | None = None,
    command: str | None = None,
    quiet: bool = False,
) -> tuple[Verdict, Gallery]:
    """Fuse and score every pair of a rosbag2 recording.

    Args:
        path: a bag's folder, or one .mcap or .db3 file.
        requests: the models that fuse, at least one.
        thermal_topic, rgb_topic: the cameras' image topics; None guesses them by name.
        fused_topic: images that were fused when the bag was recorded, which are compared with the models'; None takes
            the topic that by its name has some, if there is one.
        sync: how frames are paired; None takes the node's defaults.
        views: how the cameras' images are taken, where their messages do not say it.
        alignment: how thermal is placed onto RGB; None stretches it.
        normalization: how the thermal range is chosen; None is as the node does by default.
        steady: average the models' images over time (`Steadier`), as the node does with fused.steady.
        motion: measure how the videos move too (`Motion`), which takes about half a second a frame.
        fused_files: where to write the first model's images to.
        where: the work is done; None is the calling process.
        command: the command line, for the provenance.
        quiet: no progress bar.

    Returns:
        The verdict and its pictures. The thermal planes that are scored are those that the network fused, normalised
        in sequence. What could not be used has a sentence in `skipped`.

    Raises:
        BagError: the bag cannot be used, or no pair in it.
        EngineError: no backend can run a model, or it cannot fuse a pair.
        UserError: the workers cannot be used, or a file cannot be written.
    """
    started_s = time.perf_counter()
    models = label_models(requests)
    reader = open_bag(path, thermal_topic, rgb_topic, fused_topic, views or {})
    pairing = Pairing(reader, sync or SyncSettings())
    fused = FusedTopic(reader.fused_topic) if reader.fused_topic else None
    latency = LatencyReader()
    preparation = _Preparation(
        reader, pairing, fused.name if fused else "", Placer(alignment), ThermalNormalizer(normalization)
    )
    with ExitStack() as stack:
        checksum = stack.enter_context(Checksum(path))
        others = dict.fromkeys(reader.diagnostics_topics, latency.add) | ({fused.name: fused.add} if fused else {})
        pairs = pairing.pairs(others, quiet)
        outputs = None
        if fused_files:
            first = list(islice(pairs, _PAIRS_TO_TELL_RATE))
            outputs = FusedOutputs(fused_files, _rate_hz(first), stack)
            pairs = chain(first, pairs)
        matched = fused.match(pairs) if fused else ((pair, None) for pair in pairs)
        tally = run(
            Job(models, is_video=True, steady=steady, motion=motion, returns_fused=outputs is not None),
            [fused.name] if fused else [],
            preparation.prepare(matched, _announcing(outputs, reader, (views or {}).get(Stream.RGB))),
            pairing.expected,
            where or Parallelism(workers=1),
            outputs.write if outputs else None,
        )
        skipped: list[str] = []
        for sentence in (*reader.losses(), *preparation.failures(), *(fused.losses() if fused else [])):
            note_skipped(sentence, skipped)
        if not tally.count:
            raise BagError(_no_pair(reader, pairing, skipped))
        sha256 = checksum.result()
    thermal, rgb = (f"{path}:{reader.topics[stream]}" for stream in Stream)
    return conclude(
        tally,
        thermal=thermal,
        rgb=rgb,
        skipped=skipped,
        started_s=started_s,
        command=command,
        recording=pairing.summary(tally.count, latency.summary(pairing.start_ns)),
        source_sha256=sha256,
    )


class _Preparation:
    """Does what must be done with the pairs in their order; one that cannot be used is counted."""

    def __init__(
        self, reader: BagReader, pairing: Pairing, fused_label: str, placer: Placer, normalizer: ThermalNormalizer
    ) -> None:
        self._normalizer = normalizer
        self._reader = reader
        self._pairing = pairing
        self._placer = placer
        self._fused_label = fused_label
        self._failed: Counter[str] = Counter()
        self._examples: dict[str, str] = {}

    def prepare(self, pairs: Iterable[MatchedPair], announce: Callable[[Frame], None]) -> Iterator[PreparedPair]:
        """The pairs for the workers; each one's RGB frame is announced before."""
        first: ImageSize | None = None
        for pair, fused in pairs:
            thermal, rgb = pair.thermal.payload, pair.rgb.payload
            seconds, nanoseconds = divmod(rgb.stamp_ns, NS_PER_S)
            name = f"{seconds}.{nanoseconds:09d}"
            first = first or rgb.size
            try:
                _check_size(rgb.size, first)
            except MalformedImage as error:
                self._failed[error.reason] += 1
                self._examples.setdefault(error.reason, f"{name}: {error}")
                continue
            self._placer.ask(self._lens)
            placed = prepare_thermal(thermal, first, self._normalizer, self._placer)
            since_start_s = (rgb.stamp_ns - self._pairing.start_ns) / NS_PER_S
            announce(rgb)
            yield PreparedPair(name, since_start_s, placed, rgb, {self._fused_label: fused} if fused else {})

    def _lens(self, name: str) -> Camera | None:
        """A camera by its recorded CameraInfo."""
        stream = Stream(name)
        info = self._reader.cameras[stream].camera_info
        return None if info is None else camera_of(info, self._reader.topics[stream], self._reader.views.get(stream))

    def failures(self) -> list[str]:
        """A sentence for each kind of pair that could not be used."""
        return [
            f"{count} pair(s) could not be scored, the first: {self._examples[reason]}"
            for reason, count in self._failed.items()
        ]


def _announcing(outputs: FusedOutputs | None, reader: BagReader, view: SensorView | None) -> Callable[[Frame], None]:
    if outputs is None:
        return lambda rgb: None
    if view and not view.is_whole:  # its CameraInfo is of other pixels
        return lambda rgb: outputs.announce(rgb, None)
    return lambda rgb: outputs.announce(rgb, reader.cameras[Stream.RGB].camera_info)


def _check_size(size: ImageSize, first: ImageSize) -> None:
    """Raises MalformedImage when a pair of this RGB size cannot be scored with the others."""
    if min(size) < MIN_SIDE:
        raise MalformedImage("too_small", f"{size} pixels are too few; use RGB images of at least {MIN_SIDE} a side.")
    if size != first:
        raise MalformedImage("other_size", f"its RGB image is {size} where the first was {first}; split the bag there.")


def _rate_hz(pairs: list[Pair[Frame]]) -> float:
    """The pairs' rate by the median distance of their RGB stamps; 1 for fewer than two."""
    steps = steps_ns([pair.rgb.stamp_ns for pair in pairs])
    return NS_PER_S / float(np.median(steps)) if steps.size else 1.0


def _no_pair(reader: BagReader, pairing: Pairing, skipped: list[str]) -> str:
    if pairing.formed or any(camera.messages == camera.unreadable.total() for camera in reader.cameras.values()):
        return skipped[-1]
    thermal, rgb = (reader.topics[stream] for stream in Stream)
    advice = clock_advice(pairing.reading(), pairing.settings, as_option)
    if advice:
        return f"No frame of {thermal} pairs with one of {rgb} in {reader.path}: {advice}."
    return (
        f"No frame of {thermal} lies within {pairing.settings.slop_ms:g} ms of one of {rgb} in {reader.path};"
        " check that the cameras' clocks are synchronised, or allow a larger slop."
    )
