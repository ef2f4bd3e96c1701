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

"""A board is found in either camera's picture, and tells both cameras' lenses and how they are mounted."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from refinefuse_ros.alignment.board import Board
from refinefuse_ros.alignment.camera import AlignmentError
from refinefuse_ros.alignment.file import Calibrated
from refinefuse_ros.alignment.finding import NotFoundError
from refinefuse_ros.alignment.from_board import Sighting, find_rig
from refinefuse_ros.alignment.maps import AlignmentMap
from tests.alignment.board_views import CHESSBOARD, CIRCLES, Painter, Rig, in_rgb, points_in, poses, simulated_rig

GRID = Board("circles", 7, 5, 0.045)
SQUARE = Board("chessboard", 7, 7, 0.035)
DISTANCE_M = 1.0


@pytest.fixture(scope="module")
def rig() -> Rig:
    return simulated_rig()


@pytest.fixture(scope="module")
def thermal(rig: Rig) -> Painter:
    return Painter(rig.thermal)


@pytest.mark.parametrize("levels", [(120, 170, 90), (170, 120, 90)], ids=["dark", "bright"])
@pytest.mark.parametrize(
    "board", [CHESSBOARD, SQUARE, CIRCLES, GRID], ids=lambda board: f"{board.pattern} {board.rows}"
)
def test_a_board_of_either_polarity_is_found_to_a_third_of_a_pixel(
    rig: Rig, thermal: Painter, board: Board, levels: tuple[int, int, int]
) -> None:
    pose = poses(3, board, tilt_deg=20.0)[1]
    found = board.find(thermal.paint(board, pose, levels))
    truth = points_in(board, rig.thermal, pose)
    assert found is not None
    assert min(_rms(found[turn] - truth) for turn in board.turns()) < 0.33


def test_a_picture_without_the_whole_board_has_none(rig: Rig, thermal: Painter) -> None:
    turn, place = poses(3, CHESSBOARD)[1]
    cut = thermal.paint(CHESSBOARD, (turn, place + np.array((0.4, 0.0, 0.0))))
    assert CHESSBOARD.find(cut) is None
    assert CIRCLES.find(thermal.paint(CHESSBOARD, (turn, place))) is None
    assert CIRCLES.find(np.full((256, 320), 90, np.uint8)) is None


@pytest.mark.parametrize(("board", "turns"), [(CHESSBOARD, 2), (SQUARE, 4), (CIRCLES, 1), (GRID, 2)])
def test_a_board_looks_the_same_in_so_many_turns(board: Board, turns: int) -> None:
    orders = board.turns()
    assert len(orders) == turns
    assert all(sorted(order) == list(range(len(board.points))) for order in orders)


def test_both_cameras_and_their_mounting_come_out_of_painted_views(rig: Rig, thermal: Painter) -> None:
    rgb = Painter(rig.rgb)
    sightings = []
    for seed, pose in enumerate(poses(10, CHESSBOARD)):
        seen = thermal.paint(CHESSBOARD, pose, (120, 170, 90), seed=seed)
        also = rgb.paint(CHESSBOARD, in_rgb(rig, pose), seed=100 + seed)
        sightings.append(Sighting(CHESSBOARD.find(seen), CHESSBOARD.find(also)))
    fit = find_rig(CHESSBOARD, sightings, rig.thermal.size, rig.rgb.size)
    assert fit.baseline_m == pytest.approx(np.linalg.norm(rig.translation), abs=1e-3)
    assert fit.turn_deg == pytest.approx(2.96, abs=0.5)
    assert fit.residual_px < 0.3
    assert _apart_px(fit.at(DISTANCE_M), rig) < 0.6


@pytest.mark.parametrize("board", [CHESSBOARD, SQUARE, CIRCLES])
def test_a_camera_that_begins_at_another_corner_and_some_wrong_views_do_no_harm(rig: Rig, board: Board) -> None:
    sightings = _sightings(board, rig, 20)
    turn = board.turns()[-1]
    turned = [replace(each, thermal=each.thermal[turn]) if index % 2 else each for index, each in enumerate(sightings)]
    moved = [
        replace(each, thermal=each.thermal + 6.0) if index in (4, 9) else each for index, each in enumerate(turned)
    ]
    fit = find_rig(board, moved, rig.thermal.size, rig.rgb.size)
    assert fit.pairs == 18
    assert _apart_px(fit.at(DISTANCE_M), rig) < 0.3


def test_a_board_in_the_hand_counts_where_it_is_still(rig: Rig) -> None:
    still = _sightings(CHESSBOARD, rig, 12)
    random = np.random.default_rng(0)
    held = []
    for before, after in pairwise(still):
        held += [before, before]
        # on its way the two cameras see it at different moments
        way = [0.5 * (one + other) for one, other in ((before.thermal, after.thermal), (before.rgb, after.rgb))]
        held.append(Sighting(way[0] + random.uniform(-8, 8, 2), way[1]))
    fit = find_rig(CHESSBOARD, held, rig.thermal.size, rig.rgb.size)
    assert fit.residual_px < 0.3
    assert _apart_px(fit.at(DISTANCE_M), rig) < 0.6


def test_views_of_one_camera_alone_tell_its_lens(rig: Rig) -> None:
    sightings = _sightings(CHESSBOARD, rig, 20)
    partly = [replace(each, rgb=None) if index % 2 else each for index, each in enumerate(sightings)]
    partly = [replace(each, thermal=None) if index == 2 else each for index, each in enumerate(partly)]
    assert find_rig(CHESSBOARD, partly, rig.thermal.size, rig.rgb.size).pairs == 9


def test_views_that_tell_too_little_are_refused(rig: Rig) -> None:
    sizes = rig.thermal.size, rig.rgb.size
    views = _sightings(CHESSBOARD, rig, 20)
    with pytest.raises(NotFoundError, match=r"at 5 different place.s. or tilt.s., of at least 8"):
        find_rig(CHESSBOARD, views[:5] * 4, *sizes)
    with pytest.raises(NotFoundError, match=r"The RGB camera saw the whole board .8x6 points. at 0 different"):
        find_rig(CHESSBOARD, [replace(each, rgb=None) for each in views], *sizes)
    apart = [replace(each, **{("rgb" if index % 2 else "thermal"): None}) for index, each in enumerate(views)]
    with pytest.raises(NotFoundError, match="Both cameras saw the board at 0 different"):
        find_rig(CHESSBOARD, apart, *sizes)
    flat = _sightings(CHESSBOARD, rig, 20, tilt_deg=5.0)
    with pytest.raises(NotFoundError, match=r"thermal camera's focal length is known to .*% only; tilt the board"):
        find_rig(CHESSBOARD, flat, *sizes)
    small = _sightings(replace(CHESSBOARD, spacing_m=0.01), rig, 20, reach=0.5)
    with pytest.raises(NotFoundError, match=r"was seen in .*% of the width"):
        find_rig(CHESSBOARD, small, *sizes)


def test_cameras_of_different_moments_are_refused(rig: Rig) -> None:
    random = np.random.default_rng(0)
    late = [replace(each, thermal=each.thermal + random.uniform(-9, 9, 2)) for each in _sightings(CHESSBOARD, rig, 20)]
    with pytest.raises(NotFoundError, match="hold it still"):
        find_rig(CHESSBOARD, late, rig.thermal.size, rig.rgb.size)


@pytest.mark.parametrize(
    ("pattern", "columns", "spacing_m", "said"),
    [
        ("chess", 8, 0.04, "pattern is 'chess'; give one of chessboard, circles, acircles"),
        ("chessboard", 2, 0.04, "A board of 2x6 points has too few"),
        ("chessboard", 8, 0.0, "distance of the board's points is 0 m"),
    ],
)
def test_a_board_that_is_none_is_refused(pattern: str, columns: int, spacing_m: float, said: str) -> None:
    with pytest.raises(AlignmentError, match=said):
        Board(pattern, columns, 6, spacing_m)


def _sightings(board: Board, rig: Rig, count: int, tilt_deg: float = 35.0, reach: float = 1.0) -> list[Sighting]:
    """As detectors would tell them, to a tenth of a pixel."""
    random = np.random.default_rng(5)
    found = []
    for turn, place in poses(count, board, tilt_deg=tilt_deg):
        pose = turn, place * (reach, reach, 1.0)
        seen = points_in(board, rig.thermal, pose), points_in(board, rig.rgb, in_rgb(rig, pose))
        found.append(Sighting(*(points + random.normal(0, 0.1, points.shape) for points in seen)))
    return found


def _apart_px(found: Calibrated, rig: Rig) -> float:
    """Root mean square distance of where thermal is taken from, to where it ought to be, thermal pixels."""
    truth = Calibrated(
        thermal=rig.thermal,
        rgb=rig.rgb,
        rotation=tuple(map(tuple, rig.rotation.tolist())),
        translation=tuple(rig.translation.tolist()),
        distance_m=found.distance_m,
    )
    ramp = np.tile(np.arange(rig.thermal.size.width, dtype=np.float32), (rig.thermal.size.height, 1))
    down = np.tile(np.arange(rig.thermal.size.height, dtype=np.float32)[:, None], (1, rig.thermal.size.width))
    maps = [AlignmentMap(each, rig.thermal.size, rig.rgb.size) for each in (found, truth)]
    both = (maps[0].weight == 255) & (maps[1].weight == 255)
    return _rms(np.stack([(maps[0].place(each) - maps[1].place(each))[both] for each in (ramp, down)], axis=-1))


def _rms(difference: np.ndarray) -> float:
    return float(np.sqrt((difference**2).sum(axis=-1).mean()))
