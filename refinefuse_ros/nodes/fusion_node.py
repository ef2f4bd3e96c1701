# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The fusion node: two cameras in; the fused image, its CameraInfo and timing diagnostics out.

The way of a frame, top to bottom: `_on_image` decodes it and gives it to the synchroniser; `_book` accounts for what
that decided and puts a pair into the slot; `_work`, the one worker thread, takes the newest pair, fuses it
(`pipeline.py`) and publishes. A slow engine therefore costs frame rate and never latency.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecyclePublisher, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from rclpy.timer import Timer
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from refinefuse_ros.engine.building import BuildStoppedError
from refinefuse_ros.engine.host import EngineHost
from refinefuse_ros.errors import UserError, in_words
from refinefuse_ros.image.codec import MalformedImage
from refinefuse_ros.image.frame import Frame
from refinefuse_ros.image.normalization import ThermalNormalizer
from refinefuse_ros.image.steadying import Steadier
from refinefuse_ros.nodes.diagnostics import FusionDiagnostics
from refinefuse_ros.nodes.fusion_parameters import FusionParameters
from refinefuse_ros.nodes.messages import (
    header,
    to_compressed_image,
    to_frame,
    to_image,
    uncalibrated_camera_info,
)
from refinefuse_ros.nodes.parameters import DeclaredParameters
from refinefuse_ros.nodes.qos import refused_overrides_in_words
from refinefuse_ros.nodes.running import StartError, run_node
from refinefuse_ros.nodes.synchronizers import create_synchronizer
from refinefuse_ros.pipeline import FusedImage, FusionPipeline, check_rgb
from refinefuse_ros.stream.outcome import Pair, Stream, SyncOutcome
from refinefuse_ros.stream.slot import LatestSlot
from refinefuse_ros.stream.timing import NS_PER_MS, NS_PER_S

SUBSCRIPTION_DEPTH = 5
PUBLISHER_DEPTH = 5
DIAGNOSTICS_PERIOD_S = 1.0
# A worker that waits for a pair looks this often for RGB frames whose partner did not come.
IDLE_POLL_S = 0.005
# The same fault is said again only so much later.
WARNING_PERIOD_NS = 5 * NS_PER_S
# The reason of a frame that was rejected through no fault of its own.
INTERNAL_FAULT = "internal_fault"


@dataclass(frozen=True)
class Decoded:
    """A decoded frame, what decoding it cost, and when that was done by the performance counter."""

    frame: Frame
    decode_ms: float
    ready_ns: int


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
        self._declared = DeclaredParameters(self, FusionParameters)
        self._settings = self._declared.read()
        self._engine: EngineHost | None = None
        self._worker: threading.Thread | None = None
        self._diagnostics_timer: Timer | None = None
        self._own_publishers: list[LifecyclePublisher] = []
        self._camera_subscriptions: list[Subscription] = []
        self._camera_infos: dict[Stream, CameraInfo] = {}
        self._warned_ns: dict[str, int] = {}  # when each kind of fault was last said
        self._interrupted = threading.Event()
        self.start_error = ""

    # -- life cycle ----------------------------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._settings = settings = self._declared.read()
        try:
            self._synchronizer = create_synchronizer(settings.sync.policy, settings.sync.config())
            self._engine = EngineHost(
                settings.engine.request(settings.model),
                settings.engine.size,
                settings.engine.max_failures,
                interrupted=self._interrupted,
                say=self.get_logger().info,
            )
            self._create_publishers()
        except Exception as error:  # rclpy swallows what a transition raises, without a word
            self._release()
            return self._failed(error)
        info = self._engine.info
        self.get_logger().info(
            f"engine: {info.model} at {info.size} in {info.precision} on {info.device} by {info.backend}: {info.reason}"
        )
        self._monitor = FusionDiagnostics(self.get_name(), self._engine, settings.camera_timeout_ms)
        self._pipeline = FusionPipeline(
            self._engine,
            ThermalNormalizer(settings.thermal.normalization.config()),
            settings.fused.encoding,
            self._monitor.stages,
            Steadier() if settings.fused.steady else None,
        )
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._slot: LatestSlot[Pair[Decoded] | Single] = LatestSlot()
        try:
            self._create_subscriptions()
        except Exception as error:  # as above
            self._stop_streaming()
            return self._failed(error)
        self._engine.resume()
        self._worker = threading.Thread(target=self._work, name="fusion worker")
        self._worker.start()
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # diagnostics go on when /clock stands still
        self._diagnostics_timer = self.create_timer(DIAGNOSTICS_PERIOD_S, self._publish_diagnostics, clock=steady)
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

    def _create_publishers(self) -> None:
        self._fused_publisher = self._publisher(Image, "fused/image_raw")
        self._fused_info_publisher = self._publisher(CameraInfo, "fused/camera_info")
        self._fused_compressed_publisher = self._publisher(CompressedImage, "fused/image_raw/compressed")
        self._diagnostics_publisher = self._publisher(DiagnosticArray, "/diagnostics")

    def _publisher(self, kind: type, topic: str) -> LifecyclePublisher:
        qos = QoSProfile(depth=PUBLISHER_DEPTH, reliability=ReliabilityPolicy.RELIABLE)
        overrides = QoSOverridingOptions.with_default_policies()
        with refused_overrides_in_words():
            publisher = self.create_lifecycle_publisher(kind, topic, qos, qos_overriding_options=overrides)
        self._own_publishers.append(publisher)
        return publisher

    def _create_subscriptions(self) -> None:
        transports = {Stream.THERMAL: self._settings.thermal.transport, Stream.RGB: self._settings.rgb.transport}
        for stream, transport in transports.items():
            kind, suffix = (CompressedImage, "/compressed") if transport == "compressed" else (Image, "")
            self._subscribe(kind, f"{stream}/image_raw{suffix}", partial(self._on_image, stream))
            self._subscribe(CameraInfo, f"{stream}/camera_info", partial(self._on_info, stream))

    def _subscribe(self, kind: type, topic: str, callback: Callable[[Any], None]) -> None:
        qos = QoSProfile(depth=SUBSCRIPTION_DEPTH, reliability=ReliabilityPolicy.BEST_EFFORT)
        overrides = QoSOverridingOptions.with_default_policies()
        with refused_overrides_in_words():
            subscription = self.create_subscription(kind, topic, callback, qos, qos_overriding_options=overrides)
        self._camera_subscriptions.append(subscription)

    def _stop_streaming(self) -> None:
        for subscription in self._camera_subscriptions:
            self.destroy_subscription(subscription)
        self._camera_subscriptions = []
        if self._diagnostics_timer is not None:
            self.destroy_timer(self._diagnostics_timer)
            self._diagnostics_timer = None
        if self._worker is not None:
            if isinstance(self._slot.close(), Pair):
                self._monitor.ledger.superseded()
            self._engine.suspend()  # else the worker may wait minutes for a build
            self._worker.join()
            self._worker = None
            self._monitor.ledger.account(self._synchronizer.flush())

    def _release(self) -> None:
        for publisher in self._own_publishers:
            self.destroy_lifecycle_publisher(publisher)
        self._own_publishers = []
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    # -- the way of a frame --------------------------------------------------------------------------------------------

    def _on_info(self, stream: Stream, message: CameraInfo) -> None:
        self._camera_infos[stream] = message

    def _on_image(self, stream: Stream, message: Image | CompressedImage) -> None:
        """Take a frame in. What goes wrong costs this frame, for an exception out of a callback ends the process."""
        arrival_ns = time.monotonic_ns()
        try:
            self._monitor.received(stream, arrival_ns)
            decoded = self._decode(stream, message)
            add = self._synchronizer.add_thermal if stream is Stream.THERMAL else self._synchronizer.add_rgb
            outcome = add(decoded.frame.stamp_ns, decoded, arrival_ns)
        except Exception as error:
            self._reject(stream, error)
            return
        try:  # from here on the frame is in the synchroniser's books
            self._book(outcome)
            if stream is Stream.THERMAL and not outcome.rejected and self._passes_through(stream, arrival_ns):
                self._put(Single(stream, decoded.frame))  # without RGB frames the synchroniser would keep it for long
        except Exception as error:
            self._warn(f"{stream} {type(error).__name__}", f"A {stream} frame was not handed on: {in_words(error)}")

    def _decode(self, stream: Stream, message: Image | CompressedImage) -> Decoded:
        """Raises MalformedImage for a frame that cannot be used."""
        start_ns = time.perf_counter_ns()
        frame = to_frame(message, self._settings.max_pixels)
        if stream is Stream.RGB:
            check_rgb(frame)
        ready_ns = time.perf_counter_ns()
        decode_ms = (ready_ns - start_ns) / NS_PER_MS
        self._monitor.stages.add("decode", decode_ms)
        self._monitor.stamped(stream, (self.get_clock().now().nanoseconds - frame.stamp_ns) / NS_PER_MS)
        return Decoded(frame, decode_ms, ready_ns)

    def _book(self, outcome: SyncOutcome[Decoded]) -> None:
        """Account for what the synchroniser decided and hand its pairs on."""
        self._monitor.ledger.account(outcome)
        for pair in outcome.pairs:
            try:
                self._monitor.paired(pair)
                self._put(pair)
            except Exception as error:  # it is formed, and needs an account
                self._on_failure(pair, error)
        for refused in outcome.rejected:
            self._warn(
                f"{refused.stream} {refused.reason}",
                f"A {refused.stream} frame was rejected: its stamp of {refused.frame.stamp_ns} ns is {refused.reason};"
                " check the camera driver's clock.",
            )
        now_ns = time.monotonic_ns()
        for left in outcome.unpaired:
            if left.stream is Stream.RGB and self._passes_through(left.stream, now_ns):
                self._put(Single(left.stream, left.frame.payload.frame))

    def _put(self, job: Pair[Decoded] | Single) -> None:
        superseded = self._slot.put(job)
        if isinstance(superseded, Pair):
            self._monitor.ledger.superseded()

    def _work(self) -> None:
        while not self._slot.closed:
            job = self._slot.take(IDLE_POLL_S)
            try:
                if isinstance(job, Pair):
                    self._fuse_and_publish(job)
                elif isinstance(job, Single):
                    self._pass_through(job)
            except Exception as error:  # without its worker the node would stay active and never publish again
                self._on_failure(job, error)
            try:
                self._book(self._synchronizer.poll(time.monotonic_ns()))
            except Exception as error:  # as above
                self._warn(f"poll {type(error).__name__}", f"Frames that waited were not handed on: {in_words(error)}")

    def _fuse_and_publish(self, pair: Pair[Decoded]) -> None:
        thermal, rgb = pair.thermal.payload, pair.rgb.payload
        start_ns = time.perf_counter_ns()
        self._monitor.stages.add("wait", (start_ns - max(thermal.ready_ns, rgb.ready_ns)) / NS_PER_MS)
        fused = self._pipeline.fuse(thermal.frame, rgb.frame)
        latency_ms = self._publish(fused, rgb.frame, self._camera_infos.get(Stream.RGB))
        busy_ms = (time.perf_counter_ns() - start_ns) / NS_PER_MS
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
        show = self._pipeline.show_thermal if single.stream is Stream.THERMAL else self._pipeline.show_rgb
        self._publish(show(single.frame), single.frame, self._camera_infos.get(single.stream))
        self._monitor.ledger.passed_through()

    def _publish(self, fused: FusedImage, source: Frame, info: CameraInfo | None) -> float:
        """Publish under the source frame's stamp and frame_id, with its CameraInfo; returns the latency, ms."""
        frame = Frame(source.stamp_ns, source.frame_id, fused.encoding, fused.pixels)
        with self._monitor.stages.measure("publish"):
            info = info or uncalibrated_camera_info(frame.size)
            info.header = header(frame)
            self._fused_publisher.publish(to_image(frame))
            self._fused_info_publisher.publish(info)
            if self._fused_compressed_publisher.get_subscription_count():
                quality = self._settings.fused.jpeg_quality
                self._fused_compressed_publisher.publish(to_compressed_image(frame, quality))
        latency_ms = (self.get_clock().now().nanoseconds - source.stamp_ns) / NS_PER_MS
        self._monitor.published(time.monotonic_ns(), latency_ms)
        return latency_ms

    def _passes_through(self, stream: Stream, now_ns: int) -> bool:
        """Whether `stream` is published alone, because the other camera is stale."""
        return self._settings.on_missing == "passthrough" and self._monitor.sends_alone(stream, now_ns)

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
            publishers = {
                "image": self._fused_publisher,
                "info": self._fused_info_publisher,
                "compressed": self._fused_compressed_publisher,
            }
            subscribers = {topic: publisher.get_subscription_count() for topic, publisher in publishers.items()}
            array = self._monitor.collect(time.monotonic_ns(), self._settings, subscribers)
            array.header.stamp = self.get_clock().now().to_msg()
            self._diagnostics_publisher.publish(array)
        except Exception as error:  # as for an image
            self._warn(f"diagnostics {type(error).__name__}", f"No diagnostics were published: {in_words(error)}")

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
            self._apply(parameter_list)
        return result

    def _apply(self, changed: list[Parameter]) -> None:
        """Put live parameters into effect; say of the others that they wait for the next configure."""
        self._settings = self._declared.read_live(self._settings)
        self._synchronizer.reconfigure(self._settings.sync.config())
        self._pipeline.normalizer.reconfigure(self._settings.thermal.normalization.config())
        for name in self._declared.needing_reconfigure(changed):
            self.get_logger().info(f"The parameter {name} takes effect when the node is configured again.")


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
