# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""Quality of a fused image: the seven metrics of the fusion literature, and two for what they miss.

Every metric takes grey planes, uint8 of shape (H, W) on 0..255: `ir` (thermal), `vis` (grey of the RGB image)
and `fused` (grey of the fused image), all of one size; `to_grey` makes one from a BGR image. Higher is better
for EN, SF, AG, SCD, VIF, Qabf and SSIM, lower for ECG and flicker. The variants are those behind the
published SeAFusion results, which they reproduce; numbers compare only within one set of definitions.

No metric returns NaN: a source (or difference) without any structure to compare with, such as a constant
plane, adds 0 to the scores that divide by its structure (SCD, VIF, Qabf). Wrong input (another dtype, colour,
unequal sizes, planes smaller than a metric's window) raises ValueError.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import cv2
import numpy as np

# Smallest side in pixels that leaves VIF's coarsest scale one whole window.
MIN_SIDE = 41

_SSIM_WINDOW = 7
_VIF_WINDOWS = (17, 9, 5, 3)
_VIF_NOISE_VARIANCE = 2.0
# Below this a variance of 8-bit levels is rounding: the window is flat.
_VIF_FLAT_VARIANCE = 1e-6
_ECG_SIGMA_PX = 6.0
_STATIC_LEVELS = 2


@dataclass(frozen=True)
class PairMetrics:
    """The metrics of one fused pair, or their means over many (`summarize`)."""

    vif: float
    ag: float
    scd: float
    qabf: float
    sf: float
    en: float
    ssim: float
    ecg: float


def to_grey(image: np.ndarray) -> np.ndarray:
    """Grey plane of a picture as the metrics want it.

    Args:
        image: uint8 (H, W, 3) in BGR order, or (H, W), which is returned as it is.

    Returns:
        uint8 (H, W): 0.299 R + 0.587 G + 0.114 B (BT.601), rounded to 8 bit.

    Raises:
        ValueError: another dtype or shape.
    """
    if image.dtype != np.uint8 or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)):
        raise ValueError(
            f"a picture to score must be uint8 of shape (H, W) or (H, W, 3), but this is {_describe(image)}; "
            "convert it to 8-bit grey or BGR first."
        )
    return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)


def evaluate_pair(ir: np.ndarray, vis: np.ndarray, fused: np.ndarray) -> PairMetrics:
    """All metrics of one fused pair.

    Args:
        ir, vis, fused: uint8 (H, W), at least 41 pixels on each side.

    Raises:
        ValueError: wrong dtype or shape, unequal sizes, or smaller than 41 pixels.
    """
    _check(MIN_SIDE, ir=ir, vis=vis, fused=fused)
    return PairMetrics(
        vif=vif(ir, vis, fused),
        ag=average_gradient(fused),
        scd=scd(ir, vis, fused),
        qabf=qabf(ir, vis, fused),
        sf=spatial_frequency(fused),
        en=entropy(fused),
        ssim=ssim(ir, vis, fused),
        ecg=ecg(ir, vis, fused),
    )


def summarize(results: Sequence[PairMetrics]) -> PairMetrics:
    """Mean of each metric over the pairs, every pair weighing the same.

    Raises:
        ValueError: no results.
    """
    if not results:
        raise ValueError("there are no scored pairs to take the mean of; score at least one pair.")
    return PairMetrics(*(float(mean) for mean in np.mean([astuple(result) for result in results], axis=0)))


def entropy(fused: np.ndarray) -> float:
    """EN, entropy of the grey levels in bits, 0..8.

    -sum p_k log2 p_k over the 256-bin histogram p (Roberts, van Aardt and Ahmed, "Assessment of image fusion
    procedures using entropy, image quality, and multispectral classification", J. Appl. Remote Sens. 2,
    2008).
    """
    _check(1, fused=fused)
    counts = np.bincount(fused.ravel(), minlength=256)
    p = counts[counts > 0] / fused.size
    return float(np.sum(p * np.log2(1.0 / p)))


def spatial_frequency(fused: np.ndarray) -> float:
    """SF, spatial frequency in grey levels.

    sqrt(RF^2 + CF^2), RF^2 and CF^2 the mean squared differences of horizontal and of vertical neighbours,
    each over the pairs that exist (Eskicioglu and Fisher, "Image quality measures and their performance",
    IEEE Trans. Commun. 43(12), 1995).
    """
    _check(2, fused=fused)
    plane = fused.astype(np.float32)
    row, column = (np.mean(np.diff(plane, axis=axis) ** 2, dtype=np.float64) for axis in (1, 0))
    return float(np.sqrt(row + column))


def average_gradient(fused: np.ndarray) -> float:
    """AG, average gradient in grey levels per pixel.

    sum of sqrt((gx^2 + gy^2) / 2) over all pixels, divided by (H - 1)(W - 1); g by central differences,
    one-sided at the rim (Cui et al., "Detail preserved fusion of visible and infrared images using regional
    saliency extraction and multi-scale image decomposition", Opt. Commun. 341, 2015).
    """
    _check(2, fused=fused)
    height, width = fused.shape
    gy, gx = np.gradient(fused.astype(np.float32))
    magnitude = np.sqrt((gx * gx + gy * gy) / 2)
    return float(np.sum(magnitude, dtype=np.float64) / ((height - 1) * (width - 1)))


def scd(ir: np.ndarray, vis: np.ndarray, fused: np.ndarray) -> float:
    """SCD, sum of the correlations of differences, -2..2.

    r(ir, fused - vis) + r(vis, fused - ir), r the correlation coefficient over the plane, 0 where one side is
    constant (Aslantas and Bendes, "A new image quality metric for image fusion: the sum of the correlations
    of differences", AEU 69(12), 2015).
    """
    _check(1, ir=ir, vis=vis, fused=fused)
    a, b, f = (plane.astype(np.float64) for plane in (ir, vis, fused))
    return _correlation(a, f - b) + _correlation(b, f - a)


def vif(ir: np.ndarray, vis: np.ndarray, fused: np.ndarray) -> float:
    """VIF, visual information fidelity in the pixel domain, VIF(ir, fused) + VIF(vis, fused).

    For each reference x and y = fused: sum log2(1 + g^2 s_x^2 / (s_v^2 + 2)) / sum log2(1 + s_x^2 / 2) over
    the pixels of all four scales, with g = s_xy / s_x^2 and s_v^2 = s_y^2 - g s_xy from local Gaussian
    statistics (windows 17, 9, 5, 3, sigma a fifth of it, whole windows only); a scale is the former one
    filtered with its window and halved (Sheikh and Bovik, "Image information and visual quality", IEEE Trans.
    Image Process. 15(2), 2006, in the authors' multi-scale pixel-domain form). A reference without any
    structure adds 0. Planes need at least 41 pixels on each side.
    """
    _check(MIN_SIDE, ir=ir, vis=vis, fused=fused)
    a, b, f = (plane.astype(np.float64) for plane in (ir, vis, fused))
    kept = np.zeros(2)
    offered = np.zeros(2)
    for scale, size in enumerate(_VIF_WINDOWS):
        if scale > 0:
            a, b, f = (np.ascontiguousarray(_gaussian_valid(plane, size)[::2, ::2]) for plane in (a, b, f))
        mean_f = _gaussian_valid(f, size)
        variance_f = _gaussian_valid(f * f, size) - mean_f * mean_f
        for index, reference in enumerate((a, b)):
            mean = _gaussian_valid(reference, size)
            variance = _gaussian_valid(reference * reference, size) - mean * mean
            covariance = _gaussian_valid(reference * f, size) - mean * mean_f
            information = _information(variance, variance_f, covariance)
            kept[index] += information[0]
            offered[index] += information[1]
    return float(sum(k / o for k, o in zip(kept, offered, strict=True) if o > 0))


def qabf(ir: np.ndarray, vis: np.ndarray, fused: np.ndarray) -> float:
    """Qabf, how much of the sources' edges the fused plane keeps, 0..1.

    Sobel gradients (zero border) give strength g and angle a = arctan(-gy / gx), pi/2 where gx = 0. For a
    source A, G = min(g_A, g_F) / max(g_A, g_F) and D = 1 - |a_A - a_F| / (pi/2), not wrapped, then Q_A =
    0.9994 / (1 + exp(-15 (G - 0.5))) * 0.9879 / (1 + exp(-22 (D - 0.8))); the result is sum(Q_ir g_ir + Q_vis
    g_vis) / sum(g_ir + g_vis), and 0 where neither source has an edge (Xydeas and Petrovic, "Objective image
    fusion performance measure", Electron. Lett. 36(4), 2000).
    """
    _check(2, ir=ir, vis=vis, fused=fused)
    strength_f, angle_f = _edges(fused)
    preserved = total = 0.0
    for source in (ir, vis):
        strength, angle = _edges(source)
        weaker, stronger = np.minimum(strength, strength_f), np.maximum(strength, strength_f)
        # Where both are flat the ratio does not matter: its weight, the source's strength, is 0.
        ratio = weaker / np.maximum(stronger, 1.0)
        alignment = 1.0 - np.abs(angle - angle_f) / (np.pi / 2)
        quality = (0.9994 * 0.9879) / (
            (1.0 + np.exp(-15.0 * (ratio - 0.5))) * (1.0 + np.exp(-22.0 * (alignment - 0.8)))
        )
        preserved += float(np.sum(quality * strength, dtype=np.float64))
        total += float(np.sum(strength, dtype=np.float64))
    return preserved / total if total > 0 else 0.0


def ssim(ir: np.ndarray, vis: np.ndarray, fused: np.ndarray) -> float:
    """SSIM, structural similarity, SSIM(ir, fused) + SSIM(vis, fused), at most 2.

    Mean of (2 m_x m_y + C1)(2 s_xy + C2) / ((m_x^2 + m_y^2 + C1)(s_x^2 + s_y^2 + C2)) over all whole 7x7
    uniform windows with sample (n - 1) covariances (Wang, Bovik, Sheikh and Simoncelli, "Image quality
    assessment: from error visibility to structural similarity", IEEE Trans. Image Process. 13(4), 2004, eq.
    13). C1 = (0.01 * 2)^2 and C2 = (0.03 * 2)^2, the constants of a data range of 2 on 0..255 planes: a
    convention of the fusion literature that this keeps, so that results compare. Planes need at least 7
    pixels on each side.
    """
    _check(_SSIM_WINDOW, ir=ir, vis=vis, fused=fused)
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    to_sample = _SSIM_WINDOW**2 / (_SSIM_WINDOW**2 - 1)
    a, b, f = (plane.astype(np.float64) for plane in (ir, vis, fused))
    mean_f = _box_valid(f)
    variance_f = to_sample * (_box_valid(f * f) - mean_f * mean_f)
    result = 0.0
    for source in (a, b):
        mean = _box_valid(source)
        variance = to_sample * (_box_valid(source * source) - mean * mean)
        covariance = to_sample * (_box_valid(source * f) - mean * mean_f)
        similarity = ((2 * mean * mean_f + c1) * (2 * covariance + c2)) / (
            (mean * mean + mean_f * mean_f + c1) * (variance + variance_f + c2)
        )
        result += float(np.mean(similarity))
    return result


def ecg(ir: np.ndarray, vis: np.ndarray, fused: np.ndarray) -> float:
    """ECG, excess coarse gradient: structure (halos, patches) that neither source has.

    100 * mean of max(0, |grad F| - max(|grad ir|, |grad vis|)), each plane first blurred with a Gaussian of
    sigma 6 pixels, grad by Sobel / 8 in grey levels per pixel (this project's own measure). Planes need at
    least 2 pixels on each side.
    """
    _check(2, ir=ir, vis=vis, fused=fused)
    excess = _coarse_gradient(fused) - np.maximum(_coarse_gradient(ir), _coarse_gradient(vis))
    return 100.0 * float(np.mean(np.maximum(excess, 0.0), dtype=np.float64))


class Flicker:
    """Flicker of a fused video: its change where the sources stand still (this project's own measure).

    Mean |fused_t - fused_(t-1)| in grey levels over all pixels of all frames where neither |ir_t - ir_(t-1)|
    nor |vis_t - vis_(t-1)| exceeds 2 levels. Feed the frames in order with `add`; `value` may be read at any
    time.
    """

    def __init__(self) -> None:
        self._previous: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
        self._change = 0
        self._pixels = 0

    def add(self, ir: np.ndarray, vis: np.ndarray, fused: np.ndarray) -> None:
        """Take the next frame, uint8 (H, W) planes of the size of the first; they are copied.

        Raises:
            ValueError: wrong dtype or shape, unequal sizes, or another size than the frame before.
        """
        _check(1, ir=ir, vis=vis, fused=fused)
        if self._previous is not None:
            _check(1, **{"previous frame": self._previous[2], "this frame": fused})
            change_ir, change_vis, change = (
                cv2.absdiff(now, before) for now, before in zip((ir, vis, fused), self._previous, strict=True)
            )
            static = np.maximum(change_ir, change_vis) <= _STATIC_LEVELS
            self._change += int(np.sum(change, where=static, dtype=np.int64))
            self._pixels += int(np.count_nonzero(static))
        self._previous = (ir.copy(), vis.copy(), fused.copy())

    @property
    def value(self) -> float | None:
        """Flicker in grey levels so far; None while no pixel of the sources has stood still yet."""
        return self._change / self._pixels if self._pixels else None


def _check(min_side: int, **planes: np.ndarray) -> None:
    """Raise ValueError unless all planes are uint8 (H, W), of one size, at least `min_side` a side."""
    (first_name, first), *_ = planes.items()
    for name, plane in planes.items():
        if plane.dtype != np.uint8 or plane.ndim != 2:
            raise ValueError(
                f"{name} is {_describe(plane)}, but metrics take a grey plane, uint8 of shape (H, W); "
                "convert it with to_grey."
            )
        if plane.shape != first.shape:
            raise ValueError(
                f"{first_name} is {_size(first)} pixels but {name} is {_size(plane)}; bring all planes to one size."
            )
    if min(first.shape) < min_side:
        raise ValueError(
            f"{first_name} is {_size(first)} pixels, but the metric needs at least {min_side}x{min_side}; "
            "use larger images."
        )


def _describe(array: np.ndarray) -> str:
    return f"{array.dtype} of shape {array.shape}"


def _size(plane: np.ndarray) -> str:
    return f"{plane.shape[1]}x{plane.shape[0]}"


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Correlation coefficient of two float64 planes of whole numbers; 0 where one is constant."""
    x = x - x.mean()
    y = y - y.mean()
    scale = np.sqrt(np.sum(x * x) * np.sum(y * y))
    return float(np.sum(x * y) / scale) if scale > 0 else 0.0


def _gaussian_valid(plane: np.ndarray, size: int) -> np.ndarray:
    """Gaussian window of `size` pixels and sigma size / 5, only where it lies wholly inside the plane."""
    kernel = cv2.getGaussianKernel(size, size / 5, cv2.CV_64F)
    rim = size // 2
    return cv2.sepFilter2D(plane, cv2.CV_64F, kernel, kernel)[rim:-rim, rim:-rim]


def _box_valid(plane: np.ndarray) -> np.ndarray:
    """Mean over the SSIM window, only where it lies wholly inside the plane."""
    rim = _SSIM_WINDOW // 2
    return cv2.boxFilter(plane, cv2.CV_64F, (_SSIM_WINDOW, _SSIM_WINDOW))[rim:-rim, rim:-rim]


def _information(variance: np.ndarray, variance_f: np.ndarray, covariance: np.ndarray) -> tuple[float, float]:
    """VIF's two sums of one scale, in nats: information the fused plane keeps, and all of the reference's."""
    structured = variance >= _VIF_FLAT_VARIANCE
    # No gain where either side is flat, nor a negative one: inverted structure counts as noise.
    gains = structured & (variance_f >= _VIF_FLAT_VARIANCE) & (covariance > 0)
    gain = np.divide(covariance, variance, out=np.zeros_like(variance), where=gains)
    signal = gain * covariance
    noise = np.maximum(variance_f - signal, 0.0)
    kept = _log_sum(1.0 + signal / (noise + _VIF_NOISE_VARIANCE))
    offered = _log_sum(1.0 + np.where(structured, variance / _VIF_NOISE_VARIANCE, 0.0))
    return kept, offered


def _log_sum(values: np.ndarray) -> float:
    """Sum of natural logarithms; float32 is far faster and its seven digits are enough."""
    return float(np.sum(np.log(values.astype(np.float32)), dtype=np.float64))


def _edges(plane: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sobel strength and angle in (-pi/2, pi/2], float32 (H, W), for Qabf."""
    gx = cv2.Sobel(plane, cv2.CV_32F, 1, 0, borderType=cv2.BORDER_CONSTANT)
    gy = cv2.Sobel(plane, cv2.CV_32F, 0, 1, borderType=cv2.BORDER_CONSTANT)
    no_gx = gx == 0
    angle = np.arctan(-gy / np.where(no_gx, np.float32(1), gx))
    angle[no_gx] = np.pi / 2
    return np.sqrt(gx * gx + gy * gy), angle


def _coarse_gradient(plane: np.ndarray) -> np.ndarray:
    """Gradient magnitude of the blurred plane in levels per pixel, float32 (H, W), for ECG."""
    blurred = cv2.GaussianBlur(plane.astype(np.float32), (0, 0), _ECG_SIGMA_PX)
    gx, gy = (cv2.Sobel(blurred, cv2.CV_32F, *order, scale=1 / 8) for order in ((1, 0), (0, 1)))
    return np.sqrt(gx * gx + gy * gy)  # cv2.magnitude's last digit depends on where the planes lie in memory
