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

"""Quality of a fused image: the seven metrics of the fusion literature, and two for what they miss.

Every metric takes grey planes, uint8 of shape (H, W) on 0..255: `ir` (thermal), `vis` (grey of the RGB image)
and `fused` (grey of the fused image), all of one size; `to_grey` makes one from a BGR image. Higher is better
for EN, SF, AG, SCD, VIF, Qabf and SSIM, lower for ECG and OUTLINES. The variants are those behind the
published SeAFusion results, which they reproduce; numbers compare only within one set of definitions.

No metric returns NaN: a source (or difference) without any structure to compare with, such as a constant
plane, adds 0 to the scores that divide by its structure (SCD, VIF, Qabf). Wrong input (another dtype, colour,
unequal sizes, planes smaller than a metric's window) raises ValueError.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from itertools import combinations_with_replacement

import cv2
import numpy as np

# Smallest side in pixels that leaves VIF's coarsest scale one whole window.
MIN_SIDE = 41
VIF_WINDOWS = (17, 9, 5, 3)
VIF_NOISE_VARIANCE = 2.0
# Limit, slope and middle of Qabf's two sigmoids: over the ratio of the strengths, and over the angles' alignment.
QABF_STRENGTH = (0.9994, 15.0, 0.5)
QABF_ANGLE = (0.9879, 22.0, 0.8)

_SSIM_WINDOW = 7
# Below this a variance of 8-bit levels is rounding: the window is flat.
_VIF_FLAT_VARIANCE = 1e-6
BLUR_SIGMAS = 4  # of a Gaussian's window, to each side
_ECG_SIGMA_PX = 6.0
_OUTLINE_SIGMA_PX = 1.5
_OUTLINE_REACH = 5  # pixels a side of the square whose darkest value counts
_OUTLINE_MARGIN = 6.0  # grey levels
# 96 KB of float32: stays in the cache, and in memory that the process keeps instead of asking for it again.
_STRIP_PIXELS = 24576


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
    outlines: float


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
    check_planes(MIN_SIDE, ir=ir, vis=vis, fused=fused)
    return PairMetrics(
        vif=vif(ir, vis, fused),
        ag=average_gradient(fused),
        scd=scd(ir, vis, fused),
        qabf=qabf(ir, vis, fused),
        sf=spatial_frequency(fused),
        en=entropy(fused),
        ssim=ssim(ir, vis, fused),
        ecg=ecg(ir, vis, fused),
        outlines=outlines(ir, vis, fused),
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
    check_planes(1, fused=fused)
    counts = cv2.calcHist([fused], [0], None, [256], [0, 256]).astype(np.float64)
    p = counts[counts > 0] / fused.size
    return float(np.sum(p * np.log2(1.0 / p)))


def spatial_frequency(fused: np.ndarray) -> float:
    """SF, spatial frequency in grey levels.

    sqrt(RF^2 + CF^2), RF^2 and CF^2 the mean squared differences of horizontal and of vertical neighbours,
    each over the pairs that exist (Eskicioglu and Fisher, "Image quality measures and their performance",
    IEEE Trans. Commun. 43(12), 1995).
    """
    check_planes(2, fused=fused)
    height, width = fused.shape
    row = cv2.norm(fused[:, 1:], fused[:, :-1], cv2.NORM_L2SQR) / (height * (width - 1))
    column = cv2.norm(fused[1:], fused[:-1], cv2.NORM_L2SQR) / ((height - 1) * width)
    return math.sqrt(row + column)


def average_gradient(fused: np.ndarray) -> float:
    """AG, average gradient in grey levels per pixel.

    sum of sqrt((gx^2 + gy^2) / 2) over all pixels, divided by (H - 1)(W - 1); g by central differences,
    one-sided at the rim (Cui et al., "Detail preserved fusion of visible and infrared images using regional
    saliency extraction and multi-scale image decomposition", Opt. Commun. 341, 2015).
    """
    check_planes(2, fused=fused)
    height, width = fused.shape
    gx, gy = (
        cv2.Sobel(fused, cv2.CV_32F, *order, ksize=1, scale=1 / 2, borderType=cv2.BORDER_REPLICATE)
        for order in ((1, 0), (0, 1))
    )
    # A difference across the replicated rim is one-sided: over one pixel, not two.
    gx[:, [0, -1]] *= 2
    gy[[0, -1]] *= 2
    total = sum(_sum(np.sqrt((x * x + y * y) / 2)) for x, y in _strips(gx, gy))
    return total / ((height - 1) * (width - 1))


def scd(ir: np.ndarray, vis: np.ndarray, fused: np.ndarray) -> float:
    """SCD, sum of the correlations of differences, -2..2.

    r(ir, fused - vis) + r(vis, fused - ir), r the correlation coefficient over the plane, 0 where one side is
    constant (Aslantas and Bendes, "A new image quality metric for image fusion: the sum of the correlations
    of differences", AEU 69(12), 2015).
    """
    check_planes(1, ir=ir, vis=vis, fused=fused)
    aa, ab, af, bb, bf, ff = (_covariance(x, y) for x, y in combinations_with_replacement((ir, vis, fused), 2))
    return _correlation(af - ab, aa, ff - 2 * bf + bb) + _correlation(bf - ab, bb, ff - 2 * af + aa)


def vif(ir: np.ndarray, vis: np.ndarray, fused: np.ndarray) -> float:
    """VIF, visual information fidelity in the pixel domain, VIF(ir, fused) + VIF(vis, fused).

    For each reference x and y = fused: sum log2(1 + g^2 s_x^2 / (s_v^2 + 2)) / sum log2(1 + s_x^2 / 2) over
    the pixels of all four scales, with g = s_xy / s_x^2 and s_v^2 = s_y^2 - g s_xy from local Gaussian
    statistics (windows 17, 9, 5, 3, sigma a fifth of it, whole windows only); a scale is the former one
    filtered with its window and halved (Sheikh and Bovik, "Image information and visual quality", IEEE Trans.
    Image Process. 15(2), 2006, in the authors' multi-scale pixel-domain form). A reference without any
    structure adds 0. Planes need at least 41 pixels on each side.
    """
    check_planes(MIN_SIDE, ir=ir, vis=vis, fused=fused)
    planes = [ir, vis, fused]
    kept = np.zeros(2)
    offered = np.zeros(2)
    for scale, size in enumerate(VIF_WINDOWS):
        if scale > 0:
            planes = [_gaussian_valid(plane, size, cv2.CV_32F)[::2, ::2].copy() for plane in planes]
        for *references, f in _strips(*planes, overlap=size - 1):
            mean_f = _gaussian_valid(f, size, cv2.CV_64F)
            variance_f = _local_covariance(f, f, mean_f, mean_f, size)
            for index, reference in enumerate(references):
                mean = _gaussian_valid(reference, size, cv2.CV_64F)
                variance = _local_covariance(reference, reference, mean, mean, size)
                covariance = _local_covariance(reference, f, mean, mean_f, size)
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
    check_planes(2, ir=ir, vis=vis, fused=fused)
    padded = (cv2.copyMakeBorder(plane, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0) for plane in (ir, vis, fused))
    (limit_g, slope_g, middle_g), (limit_a, slope_a, middle_a) = QABF_STRENGTH, QABF_ANGLE
    preserved = total = 0.0
    for *sources, f in _strips(*padded, overlap=2):
        strength_f, angle_f = _edges(f)
        for source in sources:
            strength, angle = _edges(source)
            weaker, stronger = np.minimum(strength, strength_f), np.maximum(strength, strength_f)
            # Where both are flat the ratio does not matter: its weight, the source's strength, is 0.
            ratio = weaker / np.maximum(stronger, 1.0)
            alignment = 1.0 - np.abs(angle - angle_f) / (np.pi / 2)
            quality = (limit_g * limit_a) / (
                (1.0 + np.exp(-slope_g * (ratio - middle_g))) * (1.0 + np.exp(-slope_a * (alignment - middle_a)))
            )
            preserved += _sum(quality * strength)
            total += _sum(strength)
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
    check_planes(_SSIM_WINDOW, ir=ir, vis=vis, fused=fused)
    # With sums over the window's n pixels for means, m is n times and s n (n - 1) times as large, and all are exact.
    n, rim = _SSIM_WINDOW**2, _SSIM_WINDOW - 1
    c1, c2 = (0.01 * 2) ** 2 * n**2, (0.03 * 2) ** 2 * n * (n - 1)
    total = 0.0
    for *sources, f in _strips(ir, vis, fused, overlap=rim):
        sum_f = _box_sum(f)
        square_f = sum_f * sum_f
        variance_f = n * _box_sum(_product(f, f)) - square_f
        for source in sources:
            sum_x = _box_sum(source)
            square = sum_x * sum_x
            product = sum_x * sum_f
            variance = n * _box_sum(_product(source, source)) - square
            covariance = n * _box_sum(_product(source, f)) - product
            total += _sum(
                (_float32(2 * product) + c1)
                * (_float32(2 * covariance) + c2)
                / ((_float32(square + square_f) + c1) * (_float32(variance + variance_f) + c2))
            )
    height, width = fused.shape
    return total / ((height - rim) * (width - rim))


def ecg(ir: np.ndarray, vis: np.ndarray, fused: np.ndarray) -> float:
    """ECG, excess coarse gradient: structure (halos, patches) that neither source has.

    100 * mean of max(0, |grad F| - max(|grad ir|, |grad vis|)), each plane first blurred with a Gaussian of
    sigma 6 pixels, grad by Sobel / 8 in grey levels per pixel (this project's own measure). Planes need at
    least 2 pixels on each side.
    """
    check_planes(2, ir=ir, vis=vis, fused=fused)
    total = 0.0
    for strips in _strips(*(_coarse(plane) for plane in (ir, vis, fused)), overlap=2):
        gradient_ir, gradient_vis, gradient_f = (_magnitude(*_sobel_valid(strip, 1 / 8)) for strip in strips)
        total += _sum(np.maximum(gradient_f - np.maximum(gradient_ir, gradient_vis), 0.0))
    return 100.0 * total / fused.size


def outlines(ir: np.ndarray, vis: np.ndarray, fused: np.ndarray) -> float:
    """OUTLINES, thin dark rims along edges, which ECG's blur is too wide to see, in grey levels.

    Mean of max(0, L - 6 - F): F the fused plane blurred with a Gaussian of sigma 1.5 pixels, L the lowest value in
    the 5x5 pixels around, as far as there are any, of the brighter source, max(ir, vis) (this project's own measure).
    """
    check_planes(1, ir=ir, vis=vis, fused=fused)
    lowest = cv2.erode(np.maximum(ir, vis), np.ones((_OUTLINE_REACH, _OUTLINE_REACH), np.uint8))
    strips = _strips(_float32(lowest), blur(fused, _OUTLINE_SIGMA_PX))
    total = sum(_sum(np.maximum(low - _OUTLINE_MARGIN - f, 0.0)) for low, f in strips)
    return total / fused.size


def blur(plane: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian of a plane, (H, W), of `sigma` pixels, cut at four of them and mirrored at the border; float32."""
    kernel = cv2.getGaussianKernel(2 * round(BLUR_SIGMAS * sigma) + 1, sigma, cv2.CV_32F)
    return cv2.sepFilter2D(plane, cv2.CV_32F, kernel, kernel)


def check_planes(min_side: int, **planes: np.ndarray) -> None:
    """Raise ValueError, naming the plane, unless all are uint8 (H, W), of one size, at least `min_side` a side."""
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


def _strips(*planes: np.ndarray, overlap: int = 0) -> Iterator[tuple[np.ndarray, ...]]:
    """The planes in strips of some rows, `overlap` rows of which are the next strip's too.

    What is computed of a strip stays in the processor's cache, which makes a metric about twice as fast.
    """
    height, width = planes[0].shape
    rows = max(1, _STRIP_PIXELS // width, 5 * overlap)
    for top in range(0, height - overlap, rows):
        yield tuple(plane[top : top + rows + overlap] for plane in planes)


def _sum(plane: np.ndarray) -> float:
    """Sum of a float32 strip: NumPy adds in pairs, so that the single precision is enough."""
    return float(np.sum(plane))


def _float32(plane: np.ndarray) -> np.ndarray:
    return plane.astype(np.float32)


def _product(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The planes' product without rounding: uint16 for uint8, float64 for float32."""
    return np.multiply(x, y, dtype=np.uint16 if x.dtype == np.uint8 else np.float64)


def _covariance(x: np.ndarray, y: np.ndarray) -> int:
    """Covariance of two uint8 planes times the square of their number of pixels, exact."""
    products, total_x, total_y = (int(cv2.sumElems(plane)[0]) for plane in (_product(x, y), x, y))
    return x.size * products - total_x * total_y


def _correlation(covariance: int, variance_x: int, variance_y: int) -> float:
    """Correlation coefficient; 0 where one side is constant."""
    return covariance / math.sqrt(variance_x * variance_y) if variance_x and variance_y else 0.0


def _gaussian_valid(plane: np.ndarray, size: int, depth: int) -> np.ndarray:
    """Gaussian window of `size` pixels and sigma size / 5, only where it lies wholly inside the plane."""
    kernel = cv2.getGaussianKernel(size, size / 5, cv2.CV_64F)
    rim = size // 2
    return cv2.sepFilter2D(plane, depth, kernel, kernel)[rim:-rim, rim:-rim]


def _local_covariance(x: np.ndarray, y: np.ndarray, mean_x: np.ndarray, mean_y: np.ndarray, size: int) -> np.ndarray:
    """Covariance in VIF's Gaussian window; float64, as the two terms nearly cancel where a plane is flat."""
    return _gaussian_valid(_product(x, y), size, cv2.CV_64F) - mean_x * mean_y


def _information(variance: np.ndarray, variance_f: np.ndarray, covariance: np.ndarray) -> tuple[float, float]:
    """VIF's two sums over a strip, in nats: information the fused plane keeps, and all of the reference's.

    A flat window's variance is so close to 0 that it is lost when 1 is added.
    """
    # g^2 s_x^2 = s_xy^2 / s_x^2, without a negative gain: inverted structure counts as noise.
    signal = np.square(np.maximum(covariance, 0.0)) / np.maximum(variance, _VIF_FLAT_VARIANCE)
    noise = np.maximum(_float32(variance_f - signal), 0.0)
    kept = _sum(np.log(1.0 + _float32(signal) / (noise + VIF_NOISE_VARIANCE)))
    offered = _sum(np.log(1.0 + _float32(variance) / VIF_NOISE_VARIANCE))
    return kept, offered


def _box_sum(plane: np.ndarray) -> np.ndarray:
    """Sum over the SSIM window, int32, only where it lies wholly inside the plane."""
    rim = _SSIM_WINDOW // 2
    return cv2.boxFilter(plane, cv2.CV_32S, (_SSIM_WINDOW, _SSIM_WINDOW), normalize=False)[rim:-rim, rim:-rim]


def _sobel_valid(plane: np.ndarray, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Horizontal and vertical Sobel gradient, float32, without the rim of one pixel."""
    gx, gy = (cv2.Sobel(plane, cv2.CV_32F, *order, scale=scale) for order in ((1, 0), (0, 1)))
    return gx[1:-1, 1:-1], gy[1:-1, 1:-1]


def _magnitude(gx: np.ndarray, gy: np.ndarray) -> np.ndarray:
    return np.sqrt(gx * gx + gy * gy)  # cv2.magnitude's last digit depends on where the planes lie in memory


def _edges(plane: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sobel strength and angle in (-pi/2, pi/2], float32, for Qabf, without the rim of one pixel."""
    gx, gy = _sobel_valid(plane)
    upright = _float32(gx == 0)
    # The slope of an upright gradient is as good as infinite; a mask would take twice as long.
    slope = (np.float32(1e30) * upright - gy) / (gx + upright)
    return _magnitude(gx, gy), np.arctan(slope)


def _coarse(plane: np.ndarray) -> np.ndarray:
    """The plane blurred for ECG, float32 (H + 2, W + 2): with the reflected rim that Sobel takes at the border."""
    return cv2.copyMakeBorder(blur(plane, _ECG_SIGMA_PX), 1, 1, 1, 1, cv2.BORDER_REFLECT_101)
