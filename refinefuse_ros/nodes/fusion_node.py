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

"""The fusion node: two cameras in; the fused image, its CameraInfo and timing diagnostics out.

The way of a frame, top to bottom: `_on_image` decodes it and gives it to the synchroniser; `_book` accounts for what
that decided and puts a pair into the slot; `_work`, the one worker thread, takes the newest pair, fuses it
(`pipeline.py`) and publishes. A slow engine therefore costs frame rate and never latency.
"""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import dataclass
from functools import partial

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecyclePublisher, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.timer import Timer
from sensor_msgs.msg import CompressedImage, Image

from refinefuse_ros.alignment.placing import Placer
from refinefuse_ros.alignment.watching import AlignmentWatch
from refinefuse_ros.engine.building import BuildStoppedError
from refinefuse_ros.engine.calls import CallAbandonedError
from refinefuse_ros.engine.host import EngineHost
from refinefuse_ros.errors import UserError, in_words
from refinefuse_ros.image.codec import MalformedImage
from refinefuse_ros.image.frame import Frame
from refinefuse_ros.image.normalization import ThermalNormalizer
from refinefuse_ros.image.presentation import Presenter
from refinefuse_ros.image.steadying import Steadier
from refinefuse_ros.nodes.diagnostics import FusionDiagnostics, Look
from refinefuse_ros.nodes.fusion_parameters import FusionParameters
from refinefuse_ros.nodes.intake import CameraIntake, Decoded
from refinefuse_ros.nodes.lifecycle import answer_impossible_transitions
from refinefuse_ros.nodes.messages import resized_info, to_stamp
from refinefuse_ros.nodes.outputs import FUSED, FUSED_IMAGE, FusedOutputs, create_publisher
from refinefuse_ros.nodes.parameter_files import unheeded_files
from refinefuse_ros.nodes.parameters import DeclaredParameters
from refinefuse_ros.nodes.quality import GovernedQuality
from refinefuse_ros.nodes.running import StartError, run_node
from refinefuse_ros.nodes.synchronizers import create_pairing
from refinefuse_ros.pipeline import FusedImage, FusionPipeline
from refinefuse_ros.stream.advice import REASONS
from refinefuse_ros.stream.health import Judgement, Level
from refinefuse_ros.stream.novelty import Novelty
from refinefuse_ros.stream.outcome import Pair, Stream, SyncOutcome
from refinefuse_ros.stream.pairing import ARRIVAL
from refinefuse_ros.stream.slot import LatestSlot
from refinefuse_ros.stream.timing import NS_PER_MS, NS_PER_S

DIAGNOSTICS_PERIOD_S = 1.0
# So often somebody looks whether the engine hangs.
WATCH_PERIOD_S = 0.25
# A worker that waits for a pair looks this often for RGB frames whose partner did not come.
IDLE_POLL_S = 0.005
# The same fault is said again only so much later.
WARNING_PERIOD_NS = 5 * NS_PER_S
# The reason of a frame that was rejected through no fault of its own.
INTERNAL_FAULT = "internal_fault"


@dataclass(frozen=True)
class Single:
    """A frame to publish alone, because the other camera is missing."""

    stream: Stream
    frame: Frame


class FusionNode(LifecycleNode):
    """Two cameras in; fused image, CameraInfo and diagnostics out.

    Subscribes thermal/ and rgb/ image_raw and camera_info; publishes fused/ image_raw, camera_info and
    image_raw/compressed, and /diagnostics. Configure builds the engine, activate subscribes and starts the worker.

    Raises:
        ParameterError: a parameter given at start is not allowed.
    """

    def __init__(self) -> None:
        super().__init__("fusion")
        answer_impossible_transitions(self)
        self._declared = DeclaredParameters(self, FusionParameters)
        for sentence in (*unheeded_files(sys.argv, self.get_fully_qualified_name()), *self._declared.unknown()):
            self.get_logger().warning(sentence)
        self._settings = self._declared.read()
        self._engine: EngineHost | None = None
        self._watch: AlignmentWatch | None = None
        self._worker: threading.Thread | None = None
        self._timers: list[Timer] = []
        self._outputs: FusedOutputs | None = None
        self._diagnostics_publisher: LifecyclePublisher | None = None
        self._cameras: dict[Stream, CameraIntake] = {}
        self._warned_ns: dict[str, int] = {}  # when each kind of fault was last said
        self._interrupted = threading.Event()
        self.start_error = ""

    # -- life cycle ----------------------------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._settings = settings = self._declared.read()
        try:
            self._placer = Placer(settings.alignment.read())
            self._pairing = create_pairing(settings.sync.policy, settings.sync.settings())
            self._engine = EngineHost(
                settings.engine.request(settings.model),
                settings.output.size().of(settings.engine.size),
                settings.engine.max_failures,
                timeout_s=settings.engine.timeout_s,
                interrupted=self._interrupted,
                say=self.get_logger().info,
            )
            self._outputs = FusedOutputs(self)
            self._diagnostics_publisher = create_publisher(self, DiagnosticArray, "/diagnostics")
        except Exception as error:  # rclpy swallows what a transition raises, without a word
            self._release()
            return self._failed(error)
        info = self._engine.info
        self.get_logger().info(
            f"engine: {info.model} at {info.size} in {info.precision} on {info.device} by {info.backend}: {info.reason}"
        )
        self._monitor = FusionDiagnostics(self.get_fully_qualified_name(), self._engine, settings.camera_timeout_ms)
        self._pipeline = FusionPipeline(
            self._engine,
            ThermalNormalizer(settings.thermal.normalization_config()),
            settings.fused.encoding,
            self._monitor.stages,
            Steadier() if settings.fused.steady else None,
            Presenter(settings.fused.style),
            self._placer,
        )
        self._pipeline.output = settings.output.size()
        self._watch = AlignmentWatch()
        self._pipeline.watch = self._watch if settings.alignment.max_error_px else None
        self._quality = GovernedQuality(settings.model, self._engine, self._pipeline)
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._slot: LatestSlot[Pair[Decoded] | Single] = LatestSlot()
        try:
            self._subscribe()
        except Exception as error:  # as above
            self._stop_streaming()
            return self._failed(error)
        self._engine.resume()
        self._start_worker()
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # diagnostics go on when /clock stands still
        for period_s, work in ((DIAGNOSTICS_PERIOD_S, self._publish_diagnostics), (WATCH_PERIOD_S, self._watch_engine)):
            self._timers.append(self.create_timer(period_s, work, clock=steady))
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._stop_streaming()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.close()
        return TransitionCallbackReturn.SUCCESS

    def close(self) -> None:
        """Stop the worker and free the engine, from any state."""
        self._stop_streaming()
        self._release()

    def interrupt(self) -> None:
        """The process is to end: stop an engine's build, for which configure waits. For a signal handler."""
        self._interrupted.set()

    def _failed(self, error: Exception) -> TransitionCallbackReturn:
        """Refuse a transition, keeping the sentence for whoever started the node."""
        self.start_error = in_words(error)
        if not isinstance(error, BuildStoppedError):  # that was wished for, and said
            self.get_logger().error(self.start_error)
        return TransitionCallbackReturn.FAILURE

    def _subscribe(self) -> None:
        self._novelty = Novelty()
        self._active_since_ns = time.monotonic_ns()
        for stream, camera in ((Stream.THERMAL, self._settings.thermal), (Stream.RGB, self._settings.rgb)):
            on_image = partial(self._on_image, stream)
            self._cameras[stream] = CameraIntake(self, stream, camera.transport, camera.view(), on_image)
        topics = ", ".join(f"{camera.topics.image} ({camera.topics.info})" for camera in self._cameras.values())
        self.get_logger().info(f"subscribed: {topics}; publishing {self.resolve_topic_name(FUSED_IMAGE)}")

    def _stop_streaming(self) -> None:
        for camera in self._cameras.values():
            camera.close()
        for timer in self._timers:
            self.destroy_timer(timer)
        self._timers = []
        if self._worker is not None:
            if isinstance(self._slot.close(), Pair):
                self._monitor.ledger.superseded()
            self._engine.suspend()  # else the worker may wait minutes for a build
            while self._worker is not None and self._worker.is_alive():
                self._worker.join(WATCH_PERIOD_S)
                self._watch_engine()
            self._worker = None
            self._monitor.ledger.account(self._pairing.flush())
        self._cameras = {}

    def _release(self) -> None:
        if self._outputs is not None:
            self._outputs.close()
            self._outputs = None
        if self._diagnostics_publisher is not None:
            self.destroy_lifecycle_publisher(self._diagnostics_publisher)
            self._diagnostics_publisher = None
        if self._watch is not None:
            self._watch.close()
            self._watch = None
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    # -- the way of a frame --------------------------------------------------------------------------------------------

    def _on_image(self, stream: Stream, message: Image | CompressedImage) -> None:
        """Take a frame in. What goes wrong costs this frame, for an exception out of a callback ends the process."""
        now_ns = self._now_ns()
        try:
            self._monitor.received(stream, now_ns)
            decoded = self._decode(stream, message, now_ns)
            outcome = self._pairing.add(stream, decoded.frame.stamp_ns, decoded, now_ns)
        except Exception as error:
            self._reject(stream, error)
            return
        try:  # from here on the frame is in the synchroniser's books
            if not outcome.rejected:
                self._monitor.usable(stream, now_ns)
            self._book(outcome, now_ns)
            if stream is Stream.THERMAL and not outcome.rejected and self._stands_in(stream, now_ns):
                self._put(Single(stream, decoded.frame))  # without RGB frames the synchroniser would keep it for long
        except Exception as error:
            self._warn(f"{stream} {type(error).__name__}", f"A {stream} frame was not handed on: {in_words(error)}")

    def _decode(self, stream: Stream, message: Image | CompressedImage, now_ns: int) -> Decoded:
        """Raises MalformedImage for a frame that cannot be used, or shows nothing new."""
        sync = self._settings.sync
        by_arrival = sync.stamps == ARRIVAL
        decoded = self._cameras[stream].decode(message, self._settings.max_pixels, now_ns if by_arrival else None)
        self._monitor.stages.add("decode", decoded.decode_ms)
        self._monitor.stamped(stream, (now_ns - decoded.frame.stamp_ns) / NS_PER_MS)
        holds = stream is Stream.THERMAL and sync.thermal_hold_ms != 0
        reason = self._novelty.judge(stream, *decoded.sight, now_ns, holds)
        if reason is not None:
            raise MalformedImage(reason, f"{REASONS[reason]}.")
        return decoded

    def _book(self, outcome: SyncOutcome[Decoded], now_ns: int) -> None:
        """Account for what the synchroniser decided and hand its pairs on."""
        self._monitor.ledger.account(outcome)
        if outcome.resets:
            self._outputs.restart()
        for pair in outcome.pairs:
            try:
                self._monitor.paired(pair, now_ns)
                self._put(pair)
            except Exception as error:  # it is formed, and needs an account
                self._on_failure(pair, error)
        for refused in outcome.rejected:
            self._warn(
                f"{refused.stream} {refused.reason}",
                f"A {refused.stream} frame with the stamp {refused.frame.stamp_ns} ns was rejected:"
                f" {REASONS[refused.reason]}.",
            )
        for left in outcome.unpaired:
            if left.stream is Stream.RGB and self._stands_in(left.stream, now_ns):
                self._put(Single(left.stream, left.frame.payload.frame))

    def _put(self, job: Pair[Decoded] | Single) -> None:
        superseded = self._slot.put(job)
        if isinstance(superseded, Pair):
            self._monitor.ledger.superseded()

    def _start_worker(self) -> None:
        """Start the thread that fuses; one that hangs in a driver must not keep the process from ending."""
        self._worker = threading.Thread(target=self._work, name="fusion worker", daemon=True)
        self._worker.start()

    def _watch_engine(self) -> None:
        """Replace a worker whose engine hangs; the pair that it has taken has failed, whatever becomes of the call."""
        given_up = self._engine.give_up_hung()
        if not given_up:
            return
        self._monitor.ledger.failed()
        self.get_logger().error(given_up)
        if self._slot.closed:
            self._worker = None
        else:
            self._start_worker()

    def _work(self) -> None:
        while not self._slot.closed:
            job = self._slot.take(IDLE_POLL_S)
            try:
                if isinstance(job, Pair):
                    self._take_pair(job)
                elif isinstance(job, Single):
                    self._pass_through(job)
            except CallAbandonedError:  # its pair is booked, and another worker is at work
                return
            except Exception as error:  # without its worker the node would stay active and never publish again
                self._on_failure(job, error)
            try:
                now_ns = self._now_ns()
                self._book(self._pairing.poll(now_ns), now_ns)
            except Exception as error:  # as above
                self._warn(f"poll {type(error).__name__}", f"Frames that waited were not handed on: {in_words(error)}")

    def _take_pair(self, pair: Pair[Decoded]) -> None:
        if not self._wanted:
            self._monitor.ledger.unwatched()
        elif self._outputs.is_past(pair.rgb.payload.frame.stamp_ns):
            self._monitor.ledger.superseded()
        else:
            self._fuse_and_publish(pair)

    def _fuse_and_publish(self, pair: Pair[Decoded]) -> None:
        thermal, rgb = pair.thermal.payload, pair.rgb.payload
        start_ns = time.perf_counter_ns()
        wait_ms = (start_ns - max(thermal.ready_ns, rgb.ready_ns)) / NS_PER_MS
        self._monitor.stages.add("wait", wait_ms)
        self._placer.ask(lambda name: self._cameras[Stream(name)].lens())
        fused = self._pipeline.fuse(thermal.frame, rgb.frame)
        latency_ms = self._publish(fused, rgb.frame, Stream.RGB, FUSED)
        busy_ms = (time.perf_counter_ns() - start_ns) / NS_PER_MS
        self._quality.add(wait_ms + busy_ms)
        work_ms = busy_ms + thermal.decode_ms + rgb.decode_ms
        self._monitor.pair_published(work_ms - fused.engine_ms, latency_ms - fused.engine_ms)

    def _on_failure(self, job: Pair[Decoded] | Single, error: Exception) -> None:
        """Account for a pair that gave no image, and say why; a change of the engine is a fault of its own."""
        if isinstance(job, Pair):
            self._monitor.ledger.failed()
        if isinstance(error, UserError):
            fault = f"{type(error).__name__} {self._engine.info.backend}"
            self._warn(fault, f"A pair could not be fused: {error}")
        else:
            self._warn(type(error).__name__, f"A frame could not be published: {in_words(error)}")

    def _pass_through(self, single: Single) -> None:
        if not self._wanted or self._outputs.is_past(single.frame.stamp_ns):
            return
        show = self._pipeline.show_thermal if single.stream is Stream.THERMAL else self._pipeline.show_rgb
        self._publish(show(single.frame), single.frame, single.stream, str(single.stream))
        self._monitor.ledger.passed_through()

    def _publish(self, fused: FusedImage, source: Frame, stream: Stream, shown: str) -> float:
        """Publish under the source frame's stamp and frame_id, with its camera's info; returns the latency, ms."""
        frame = Frame(source.stamp_ns, source.frame_id, fused.encoding, fused.pixels)
        with self._monitor.stages.measure("publish"):
            camera = self._cameras[stream]
            info = camera.info_for(source.size)
            if camera.info_mismatch:
                self._monitor.info_mismatched(stream)
            if info is not None and frame.size != source.size:
                info = resized_info(info, frame.size)
            self._outputs.publish(frame, info, self._settings.fused.jpeg_quality, shown)
        now_ns = self._now_ns()
        latency_ms = (now_ns - source.stamp_ns) / NS_PER_MS
        self._monitor.published(now_ns, latency_ms)
        return latency_ms

    @property
    def _wanted(self) -> bool:
        """Whether fused images are made at all."""
        return not self._settings.lazy or self._outputs.watched

    def _stands_in(self, stream: Stream, now_ns: int) -> bool:
        """Whether a frame without a partner is published alone."""
        return self._settings.on_missing == "passthrough" and self._monitor.standby.shows(stream, now_ns)

    def _now_ns(self) -> int:
        """The clock on which stamps, deadlines and timeouts run: with use_sim_time they follow /clock."""
        return self.get_clock().now().nanoseconds

    def _reject(self, stream: Stream, error: Exception) -> None:
        foreseen = isinstance(error, MalformedImage)
        reason = error.reason if foreseen else INTERNAL_FAULT
        self._monitor.ledger.rejected(stream, reason)
        self._warn(f"{stream} {reason}", f"A {stream} frame was rejected: {error if foreseen else in_words(error)}")

    def _warn(self, fault: str, sentence: str) -> None:
        """Say a sentence, unless one on the same fault was said just now; rclpy's throttle would take all for one."""
        now_ns = time.monotonic_ns()
        if fault not in self._warned_ns or now_ns - self._warned_ns[fault] >= WARNING_PERIOD_NS:
            self._warned_ns[fault] = now_ns
            self.get_logger().warning(sentence)

    # -- diagnostics and parameters ------------------------------------------------------------------------------------

    def _publish_diagnostics(self) -> None:
        try:
            now_ns = self._now_ns()
            self._govern()
            collected = self._monitor.collect(self._look(now_ns))
            collected.array.header.stamp = to_stamp(now_ns)
            self._diagnostics_publisher.publish(collected.array)
            for subject, judgement in collected.news.items():
                self._tell(subject, judgement)
        except Exception as error:  # as for an image
            self._warn(f"diagnostics {type(error).__name__}", f"No diagnostics were published: {in_words(error)}")

    def _govern(self) -> None:
        """Give up quality where the deadline is missed for long, and say so."""
        settings = self._settings
        step = self._quality.govern(settings.governor, settings.diagnostics.max_latency_ms, time.monotonic_ns())
        if step:
            self.get_logger().warning(step)

    def _look(self, now_ns: int) -> Look:
        """What diagnostics need to know beside what they measured; looks around among the topics."""
        silences, faults = {}, {}
        for stream, camera in self._cameras.items():
            camera.ask_for_latched_info()
            if self._monitor.silent(stream, now_ns):
                silences[stream] = camera.silence()
            if camera.fault:
                faults[stream] = camera.fault
        return Look(
            now_ns=now_ns,
            sim_time=self.get_parameter("use_sim_time").value,
            watched_ms=(time.monotonic_ns() - self._active_since_ns) / NS_PER_MS,
            parameters=self._settings,
            pairing=self._pairing.read(now_ns),
            silences=silences,
            subscribers=self._outputs.subscribers,
            watched=self._wanted,
            faults=faults,
            reduced_to=str(self._quality.now) if self._quality.is_reduced else "",
            alignment=self._watch.read(),
        )

    def _tell(self, subject: str, judgement: Judgement) -> None:
        """Log what a status has become. rclpy wants a line of its own for each severity."""
        sentence = f"{subject}: {judgement.message}"
        if judgement.level is Level.ERROR:
            self.get_logger().error(sentence)
        elif judgement.level is Level.WARN:
            self.get_logger().warning(sentence)
        else:
            self.get_logger().info(sentence)

    def set_parameters(self, parameter_list: list[Parameter]) -> list[SetParametersResult]:
        return [self.set_parameters_atomically([candidate]) for candidate in parameter_list]

    def set_parameters_atomically(self, parameter_list: list[Parameter]) -> SetParametersResult:
        """As rclpy's, but refusals are our sentences, and what can take effect at once does."""
        refusal = self._declared.refusal(parameter_list)
        if refusal is not None:
            self.get_logger().warning(refusal.reason)
            return refusal
        result = super().set_parameters_atomically(parameter_list)
        if result.successful and self._engine is not None:
            self._apply()
            waiting = self._declared.needing_reconfigure(parameter_list)
            if waiting:
                verb = "takes" if len(waiting) == 1 else "take"
                result.reason = f"{', '.join(waiting)} {verb} effect when the node is configured again."
                self.get_logger().info(result.reason)
        return result

    def _apply(self) -> None:
        """Put live parameters into effect; the others wait for the next configure."""
        self._settings = self._declared.read_live(self._settings)
        self._pairing.reconfigure(self._settings.sync.settings())
        self._pipeline.normalizer.reconfigure(self._settings.thermal.normalization_config())
        self._pipeline.presenter = Presenter(self._settings.fused.style)
        self._pipeline.output = self._settings.output.size()
        self._pipeline.watch = self._watch if self._settings.alignment.max_error_px else None


def start(node: FusionNode) -> None:
    """Configure and activate, unless a lifecycle manager is to do it.

    Raises:
        StartError: the node cannot be configured or activated.
    """
    if not node.get_parameter("autostart").value:
        return
    if node.trigger_configure() != TransitionCallbackReturn.SUCCESS:
        raise StartError(node.start_error)
    if node.trigger_activate() != TransitionCallbackReturn.SUCCESS:
        raise StartError(node.start_error)


def main() -> int:
    return run_node(FusionNode, start)


if __name__ == "__main__":
    sys.exit(main())
