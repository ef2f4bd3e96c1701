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

"""Metrics against published figures where the data is there, and against closed forms everywhere."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, astuple
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from refinefuse_ros.evaluation import metrics
from refinefuse_ros.evaluation.metrics import PairMetrics

MSRS_VAL = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "msrs_val"


def noise(seed: int, shape: tuple[int, int] = (60, 70), high: int = 256) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, high, shape, dtype=np.uint8)


def constant(level: int, shape: tuple[int, int] = (60, 70)) -> np.ndarray:
    return np.full(shape, level, np.uint8)


def ramp(step_x: int, step_y: int, shape: tuple[int, int] = (20, 30)) -> np.ndarray:
    y, x = np.indices(shape)
    return (step_x * x + step_y * y).astype(np.uint8)


@pytest.mark.skipif(not MSRS_VAL.is_dir(), reason="the msrs_val pairs are not beside the repository")
def test_published_seafusion_figures_are_reproduced():
    def score(name: str) -> PairMetrics:
        planes = (
            metrics.to_grey(cv2.imread(str(MSRS_VAL / folder / name), cv2.IMREAD_UNCHANGED))
            for folder in ("thermal", "rgb", "seafusion_fused")
        )
        return metrics.evaluate_pair(*planes)

    names = sorted(path.name for path in (MSRS_VAL / "seafusion_fused").glob("*.png"))
    assert len(names) == 73
    with ThreadPoolExecutor(2) as pool:
        means = metrics.summarize(list(pool.map(score, names)))

    assert asdict(means) == pytest.approx(
        {
            "vif": 0.96232,
            "ag": 3.71044,
            "scd": 1.69041,
            "qabf": 0.66983,
            "sf": 11.11304,
            "en": 6.64659,
            "ssim": 0.99450,
            "ecg": 1.11597,
            "outlines": 0.03702,
        },
        abs=1e-5,
    )


def test_to_grey_weighs_bt601_and_rounds():
    bgr = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9]]], np.uint8)
    assert metrics.to_grey(bgr).tolist() == [[29, 150, 76, 9]]
    assert metrics.to_grey(bgr[..., 0]).tolist() == [[255, 0, 0, 9]]


@pytest.mark.parametrize("bad", [np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)])
def test_to_grey_refuses_what_is_not_a_picture(bad: np.ndarray):
    with pytest.raises(ValueError, match="picture to score must be uint8"):
        metrics.to_grey(bad)


@pytest.mark.parametrize("levels", [1, 2, 4, 256])
def test_entropy_of_equally_frequent_levels_is_their_log2(levels: int):
    plane = (np.arange(1024) % levels).astype(np.uint8).reshape(32, 32)
    assert metrics.entropy(plane) == pytest.approx(math.log2(levels), abs=1e-12)


def test_spatial_frequency_of_a_ramp_is_its_slope():
    assert metrics.spatial_frequency(ramp(3, 4)) == pytest.approx(5.0)
    assert metrics.spatial_frequency(constant(7)) == 0.0


def test_average_gradient_of_a_ramp_is_its_slope_over_the_reduced_area():
    height, width = (20, 30)
    expected = math.sqrt((3**2 + 4**2) / 2) * height * width / ((height - 1) * (width - 1))
    assert metrics.average_gradient(ramp(3, 4)) == pytest.approx(expected)
    assert metrics.average_gradient(constant(7)) == 0.0


def test_average_gradient_is_that_of_central_differences_one_sided_at_the_rim():
    plane = noise(1, (150, 333))
    gy, gx = np.gradient(plane.astype(float))
    expected = np.sqrt((gx * gx + gy * gy) / 2).sum() / (149 * 332)
    assert metrics.average_gradient(plane) == pytest.approx(expected, rel=1e-6)


def test_scd_is_two_when_each_difference_is_the_other_source():
    ir, vis = noise(1, high=128), noise(2, high=128)
    assert metrics.scd(ir, vis, ir + vis) == pytest.approx(2.0)


def test_scd_with_a_copy_of_one_source_counts_only_the_other_term():
    ir, vis = noise(1), noise(2)
    expected = np.corrcoef(ir.ravel(), (ir.astype(int) - vis).ravel())[0, 1]
    assert metrics.scd(ir, vis, ir) == pytest.approx(expected)


def test_vif_is_one_per_identical_source_and_nothing_for_lost_or_inverted_structure():
    plane = noise(1)
    assert metrics.vif(plane, plane, plane) == pytest.approx(2.0, abs=1e-6)
    assert metrics.vif(plane, plane, constant(128)) == 0.0
    assert metrics.vif(plane, plane, 255 - plane) == 0.0


def test_vif_falls_with_noise_and_rises_above_one_with_contrast():
    plane = cv2.GaussianBlur(noise(1), (0, 0), 2)
    noisy = cv2.add(plane, noise(2, high=20))
    assert 0.1 < metrics.vif(plane, constant(0), noisy) < 0.95
    stretched = (plane.astype(int) * 2 - 128).clip(0, 255).astype(np.uint8)
    assert metrics.vif(plane, constant(0), stretched) > 1.0


@pytest.mark.parametrize("level", [0, 77, 255])
def test_vif_of_a_source_without_structure_adds_nothing(level: int):
    plane = noise(1)
    assert metrics.vif(constant(level), plane, plane) == pytest.approx(1.0, abs=1e-6)


def test_vif_does_not_take_the_rounding_of_a_bright_flat_plane_for_structure():
    """Two flat halves, 255 levels apart: only the windows across the edge between them carry information."""
    halves = constant(0, (60, 400))
    halves[:, 200:] = 255
    cropped = np.ascontiguousarray(halves[:, 80:320])
    assert metrics.vif(halves, halves, halves) == pytest.approx(2.0, abs=1e-6)
    dimmed = cv2.convertScaleAbs(halves, alpha=0.02)
    dimmed_cropped = np.ascontiguousarray(dimmed[:, 80:320])
    expected = metrics.vif(cropped, cropped, dimmed_cropped)
    assert metrics.vif(halves, halves, dimmed) == pytest.approx(expected, rel=1e-5)


def test_qabf_of_identical_planes_is_the_product_of_both_sigmoids_at_one():
    plane = noise(1)
    expected = 0.9994 / (1 + math.exp(-15 * 0.5)) * 0.9879 / (1 + math.exp(-22 * 0.2))
    assert metrics.qabf(plane, plane, plane) == pytest.approx(expected, rel=1e-6)


def test_qabf_weighs_sources_by_edge_strength_and_is_defined_without_edges():
    plane, black = noise(1), constant(0)
    assert metrics.qabf(plane, black, plane) == pytest.approx(metrics.qabf(plane, plane, plane), rel=1e-6)
    assert metrics.qabf(plane, plane, black) < 0.001
    assert metrics.qabf(black, black, plane) == 0.0


def test_qabf_does_not_wrap_the_angle_difference():
    """Stripes whose gradients point to 80 and 100 degrees are 20 degrees apart but count as 160."""
    y, x = np.indices((100, 100))
    stripes, mirrored = (np.abs((6 * y + tilt * x) % 240 - 120).astype(np.uint8) for tilt in (1, -1))
    assert metrics.qabf(stripes, stripes, stripes) > 0.97
    assert metrics.qabf(stripes, stripes, mirrored) < 0.2


def test_ssim_of_one_window_is_equation_13_with_sample_covariance():
    ir, vis, fused = (noise(seed, (7, 7)) for seed in (1, 2, 3))

    def expected(x: np.ndarray, y: np.ndarray) -> float:
        (xx, xy), (_, yy) = np.cov(x.ravel(), y.ravel())
        c1, c2, mx, my = 0.0004, 0.0036, x.mean(), y.mean()
        return ((2 * mx * my + c1) * (2 * xy + c2)) / ((mx**2 + my**2 + c1) * (xx + yy + c2))

    assert metrics.ssim(ir, vis, fused) == pytest.approx(expected(ir, fused) + expected(vis, fused))


def test_ssim_of_identical_and_of_constant_planes():
    plane = noise(1)
    assert metrics.ssim(plane, plane, plane) == pytest.approx(2.0)
    assert metrics.ssim(constant(50), constant(50), constant(100)) == pytest.approx(2 * 0.8, abs=1e-6)


def test_ecg_of_a_step_that_no_source_has_is_its_height_over_the_width():
    fused = constant(50, (80, 200))
    fused[:, 100:] = 150
    sources = constant(50, (80, 200)), constant(150, (80, 200))
    assert metrics.ecg(*sources, fused) == pytest.approx(100 * 100 / 200, rel=1e-4)
    assert metrics.ecg(fused, sources[1], fused) == 0.0


def test_ecg_of_the_mean_and_of_the_maximum_of_sources_is_about_zero():
    ir, vis = (cv2.GaussianBlur(noise(seed, (120, 160)), (0, 0), 8) for seed in (1, 2))
    ir, vis = (cv2.normalize(plane, None, 0, 255, cv2.NORM_MINMAX) for plane in (ir, vis))
    assert metrics.ecg(ir, vis, cv2.addWeighted(ir, 0.5, vis, 0.5, 0)) < 0.1
    patchwork = np.where(np.indices(ir.shape).sum(axis=0) // 20 % 2 == 0, ir, vis)
    assert metrics.ecg(ir, vis, np.maximum(ir, vis)) < 0.1 * metrics.ecg(ir, vis, patchwork)


@pytest.mark.parametrize(("level", "expected"), [(100, 0.0), (94, 0.0), (90, 4.0), (70, 24.0)])
def test_outlines_of_a_plane_darker_than_the_brighter_source_are_its_depth_beyond_6_levels(level: int, expected: float):
    assert metrics.outlines(constant(40), constant(100), constant(level)) == pytest.approx(expected, abs=1e-4)
    assert metrics.outlines(constant(100), constant(40), constant(level)) == pytest.approx(expected, abs=1e-4)


def test_outlines_are_found_by_a_blur_of_one_and_a_half_pixels_below_the_darkest_of_5x5():
    ir, vis, fused = noise(1), cv2.GaussianBlur(noise(2), (0, 0), 2), cv2.GaussianBlur(noise(3, high=200), (0, 0), 1)
    lowest = sliding_window_view(np.pad(np.maximum(ir, vis), 2, constant_values=255), (5, 5)).min(axis=(2, 3))
    weights = np.exp(-(np.arange(-6, 7) ** 2) / (2 * 1.5**2))
    weights = np.outer(weights, weights) / weights.sum() ** 2
    blurred = (sliding_window_view(np.pad(fused, 6, mode="reflect"), (13, 13)) * weights).sum(axis=(2, 3))
    expected = np.maximum(lowest - blurred - 6, 0).mean()
    assert expected > 1
    assert metrics.outlines(ir, vis, fused) == pytest.approx(expected, rel=1e-5)


def test_the_brighter_sources_edges_are_no_outlines():
    step = constant(40)
    step[:, 30:] = 160
    assert metrics.outlines(step, constant(40), step) == 0.0


def test_evaluate_pair_gives_what_the_single_metrics_give():
    planes = noise(1), noise(2), noise(3)
    assert metrics.evaluate_pair(*planes) == PairMetrics(
        vif=metrics.vif(*planes),
        ag=metrics.average_gradient(planes[2]),
        scd=metrics.scd(*planes),
        qabf=metrics.qabf(*planes),
        sf=metrics.spatial_frequency(planes[2]),
        en=metrics.entropy(planes[2]),
        ssim=metrics.ssim(*planes),
        ecg=metrics.ecg(*planes),
        outlines=metrics.outlines(*planes),
    )


def test_pair_scores_are_the_same_with_any_number_of_threads_and_anywhere_in_memory():
    planes = [noise(seed, (150, 333)) for seed in (1, 2, 3)]
    expected = metrics.evaluate_pair(*planes)

    threads = cv2.getNumThreads()
    try:
        for offset in range(1, 8):
            cv2.setNumThreads(offset)
            moved = [np.empty(plane.size + offset, np.uint8)[offset:].reshape(plane.shape) for plane in planes]
            for target, plane in zip(moved, planes, strict=True):
                target[:] = plane
            assert metrics.evaluate_pair(*moved) == expected
    finally:
        cv2.setNumThreads(threads)


@pytest.mark.parametrize("shape", [(150, 333), (41, 1300), (211, 41)])
def test_strips_do_not_change_the_scores(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch):
    planes = [cv2.GaussianBlur(noise(seed, shape), (0, 0), seed) for seed in (1, 2, 3)]
    monkeypatch.setattr(metrics, "_STRIP_PIXELS", shape[0] * shape[1])
    whole = metrics.evaluate_pair(*planes)
    monkeypatch.setattr(metrics, "_STRIP_PIXELS", 1)
    assert asdict(metrics.evaluate_pair(*planes)) == pytest.approx(asdict(whole), rel=1e-6)


def planes_of(shape: tuple[int, int]) -> st.SearchStrategy[np.ndarray]:
    seeds, levels = st.integers(0, 2**32 - 1), st.integers(0, 255)
    return st.one_of(
        st.builds(constant, levels, st.just(shape)),
        st.builds(noise, seeds, st.just(shape), st.integers(2, 256)),
        st.builds(lambda seed, level: np.where(noise(seed, shape) < level, 0, 255).astype(np.uint8), seeds, levels),
    )


@settings(max_examples=40, deadline=None)
@given(data=st.data(), height=st.integers(41, 48), width=st.integers(41, 48))
def test_every_metric_is_finite_and_in_range_for_any_planes(data: st.DataObject, height: int, width: int):
    ir, vis, fused = (data.draw(planes_of((height, width))) for _ in range(3))
    result = metrics.evaluate_pair(ir, vis, fused)
    assert all(math.isfinite(value) for value in astuple(result))
    assert result.vif >= 0
    assert abs(result.scd) <= 2 + 1e-9
    assert 0 <= result.qabf <= 1
    assert 0 <= result.en <= 8
    assert abs(result.ssim) <= 2 + 1e-9
    assert result.ecg >= 0
    assert result.outlines >= 0


@pytest.mark.parametrize(
    ("planes", "sentence"),
    [
        ((noise(1), noise(2), noise(3, (60, 64))), "ir is 70x60 pixels but fused is 64x60"),
        ((noise(1), noise(2).astype(np.float32), noise(3)), "vis is float32 of shape"),
        ((np.dstack([noise(1)] * 3), noise(2), noise(3)), r"ir is uint8 of shape \(60, 70, 3\)"),
        (tuple(noise(seed, (40, 70)) for seed in range(3)), "ir is 70x40 pixels, but .* at least 41x41"),
        (tuple(noise(seed, (0, 0)) for seed in range(3)), "at least 41x41"),
    ],
)
def test_wrong_planes_are_refused_with_a_sentence(planes: tuple[np.ndarray, ...], sentence: str):
    with pytest.raises(ValueError, match=sentence):
        metrics.evaluate_pair(*planes)


def test_summarize_is_the_mean_per_metric_and_refuses_nothing():
    low, high = PairMetrics(*range(9)), PairMetrics(*range(2, 11))
    assert metrics.summarize([low, high]) == PairMetrics(*(float(value) for value in range(1, 10)))
    with pytest.raises(ValueError, match="no scored pairs"):
        metrics.summarize([])
