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

"""Between ROS messages and the package's own types: images, camera infos, stamps."""

from __future__ import annotations

import sys
from copy import copy

import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, RegionOfInterest
from std_msgs.msg import Header

from refinefuse_ros.alignment.camera import from_sensor, size_of
from refinefuse_ros.alignment.models import resizing
from refinefuse_ros.image.codec import MAX_PIXELS, decode, encode_jpeg, to_message_data
from refinefuse_ros.image.compressed import decode_compressed
from refinefuse_ros.image.frame import Frame, ImageSize
from refinefuse_ros.image.pinhole import ideal_pinhole
from refinefuse_ros.image.sensor_view import WHOLE, SensorView
from refinefuse_ros.stream.timing import NS_PER_S


def to_ns(stamp: Time) -> int:
    return stamp.sec * NS_PER_S + stamp.nanosec


def to_stamp(stamp_ns: int) -> Time:
    seconds, nanoseconds = divmod(stamp_ns, NS_PER_S)
    return Time(sec=seconds, nanosec=nanoseconds)


def header(frame: Frame) -> Header:
    return Header(stamp=to_stamp(frame.stamp_ns), frame_id=frame.frame_id)


def to_frame(message: Image | CompressedImage, max_pixels: int = MAX_PIXELS, view: SensorView | None = None) -> Frame:
    """Decode an image message of at most `max_pixels`; raw ones without a copy where the encoding allows.

    `view` says how this camera's images are to be taken; None takes them as they are.

    Raises:
        MalformedImage: with the reason to count it by and a sentence to show.
    """
    if isinstance(message, CompressedImage):
        take = view.decode_compressed if view else decode_compressed
        pixels, encoding = take(message.format, message.data, max_pixels)
    else:
        take = view.decode if view else decode
        layout = message.height, message.width, message.step, bool(message.is_bigendian)
        pixels, encoding = take(message.encoding, *layout, message.data, max_pixels)
    return Frame(to_ns(message.header.stamp), message.header.frame_id, encoding, pixels)


def to_image(frame: Frame) -> Image:
    """A sensor_msgs/Image of the frame, in the host's byte order."""
    height, width = frame.pixels.shape[:2]
    return Image(
        header=header(frame),
        height=height,
        width=width,
        encoding=frame.encoding,
        is_bigendian=sys.byteorder == "big",
        step=frame.pixels.nbytes // height,
        data=to_message_data(frame.pixels),
    )


def to_compressed_image(frame: Frame, quality: int) -> CompressedImage:
    """A JPEG of an 8-bit BGR or RGB frame, as image_transport names it."""
    bgr = frame.pixels if frame.encoding == "bgr8" else np.ascontiguousarray(frame.pixels[..., ::-1])
    return CompressedImage(
        header=header(frame),
        format=f"{frame.encoding}; jpeg compressed bgr8",
        data=to_message_data(encode_jpeg(bgr, quality)),
    )


def uncalibrated_camera_info(size: ImageSize) -> CameraInfo:
    """CameraInfo of a camera nobody calibrated: K is zero (REP 104)."""
    return CameraInfo(width=size.width, height=size.height)


def pinhole_camera_info(size: ImageSize, focal_px: float | None = None) -> CameraInfo:
    """CameraInfo of an ideal camera (`ideal_pinhole`)."""
    info = CameraInfo(width=size.width, height=size.height, distortion_model="plumb_bob")
    camera = ideal_pinhole(size, focal_px)
    info.d, info.k, info.r, info.p = camera.d, camera.k, camera.r, camera.p
    return info


def resized_info(info: CameraInfo, size: ImageSize) -> CameraInfo:
    """The CameraInfo of its images resized to `size`: as of a camera that has fewer, larger pixels and no binning."""
    own = size_of(info)
    camera = resizing(size.width / own.width, size.height / own.height)
    scaled = CameraInfo(
        width=size.width, height=size.height, distortion_model=info.distortion_model, d=info.d, r=info.r
    )
    if any(info.k):  # zeros say that nobody calibrated the camera
        to_image = camera @ from_sensor(info)
        scaled.k = (to_image @ np.reshape(info.k, (3, 3))).ravel()
        scaled.p = (to_image @ np.reshape(info.p, (3, 4))).ravel()
    return scaled


def info_of_view(info: CameraInfo, view: SensorView) -> CameraInfo | None:
    """The CameraInfo of what `view` shows of the images that `info` speaks of: with the cropped part as its ROI.

    None where there is no such part, or it is turned or flipped: then none of the camera's numbers fit.
    """
    if view.crop == WHOLE and not view.is_turned:
        return info
    binning = max(info.binning_x, 1), max(info.binning_y, 1)
    part = view.crop.of(size_of(info))
    if part is None or view.is_turned:
        return None
    seen = copy(info)
    seen.roi = RegionOfInterest(
        x_offset=info.roi.x_offset + part.x * binning[0],
        y_offset=info.roi.y_offset + part.y * binning[1],
        width=part.width * binning[0],
        height=part.height * binning[1],
        do_rectify=info.roi.do_rectify,
    )
    return seen
