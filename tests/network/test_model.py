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

"""The network has the article's size, takes any image size, and its ablations are configuration."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from refinefuse_ros.network.model import RefineFuse, RefineFuseConfig, fuse_any_size
from refinefuse_ros.network.variants import VARIANTS, build

SMALL = RefineFuseConfig(encoder=(4, 4, 6, 8), head=(4,), grids=(4, 2))
NANO_LIKE = RefineFuseConfig(encoder=(4, 6, 8), head=(4,), grids=(4,), unshuffle=2, output="blend")


def parameters(model: RefineFuse) -> int:
    return sum(tensor.numel() for tensor in model.parameters())


def multiply_adds(model: RefineFuse, side: int) -> float:
    planes = torch.rand(2, 1, 1, side, side)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model(planes[0], planes[1])
    return counter.get_total_flops() / 2


def test_base_has_the_articles_number_of_parameters():
    assert parameters(build("base")) == pytest.approx(2.21e6, rel=0.02)


@pytest.mark.parametrize(("side", "published"), [(256, 12.73e9), (512, 48.11e9)])
def test_base_has_the_articles_number_of_multiply_adds(side: int, published: float):
    assert multiply_adds(build("base").eval(), side) == pytest.approx(published, rel=0.02)


def test_nano_is_small():
    assert parameters(build("nano")) < 0.5e6
    assert multiply_adds(build("nano").eval(), 256) < 0.35e9


@pytest.mark.parametrize("config", [SMALL, NANO_LIKE], ids=["image", "blend"])
@settings(max_examples=10, deadline=None)
@given(height=st.integers(32, 75), width=st.integers(32, 75))
def test_any_size_keeps_its_shape_and_range(config: RefineFuseConfig, height: int, width: int):
    model = build(config).eval()
    with torch.inference_mode():
        fused = fuse_any_size(model, torch.rand(1, 1, height, width), torch.rand(1, 1, height, width))
    assert fused.shape == (1, 1, height, width)
    assert fused.min() >= 0.0
    assert fused.max() <= 1.0


def test_padding_repeats_the_edge_at_the_bottom_and_the_right():
    model = build(SMALL).eval()
    planes = torch.rand(2, 1, 1, 37, 42)
    rows, columns = torch.arange(40).clamp(max=36), torch.arange(48).clamp(max=41)
    padded = planes[..., rows, :][..., columns]
    with torch.inference_mode():
        torch.testing.assert_close(fuse_any_size(model, *planes), model(*padded)[..., :37, :42])


def test_too_small_and_unequal_images_are_refused_with_a_sentence():
    model = build(SMALL)
    with pytest.raises(ValueError, match="64x31"):
        fuse_any_size(model, torch.rand(1, 1, 31, 64), torch.rand(1, 1, 31, 64))
    with pytest.raises(ValueError, match="same shape"):
        fuse_any_size(model, torch.rand(1, 1, 32, 64), torch.rand(1, 1, 64, 32))


@pytest.mark.parametrize("levels", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("switch", ["sfim", "psim", "fim"])
def test_every_ablation_runs(levels: int, switch: str):
    shallow = min(2, levels)
    config = RefineFuseConfig(encoder=(4,) * levels, head=(4,), grids=(2,) * (levels - shallow), shallow_levels=shallow)
    model = build(replace(config, **{switch: False})).eval()
    with torch.inference_mode():
        assert fuse_any_size(model, torch.rand(1, 1, 48, 33), torch.rand(1, 1, 48, 33)).shape[-2:] == (48, 33)


@pytest.mark.parametrize("switch", ["sfim", "psim", "fim"])
def test_each_switch_changes_what_the_network_computes(switch: str):
    planes = torch.rand(2, 1, 1, 32, 32)

    def fused(config: RefineFuseConfig) -> torch.Tensor:
        torch.manual_seed(1)
        with torch.inference_mode():
            return build(config).eval()(*planes)

    assert not torch.equal(fused(SMALL), fused(replace(SMALL, **{switch: False})))


@pytest.mark.parametrize("config", [SMALL, NANO_LIKE], ids=["image", "blend"])
def test_every_parameter_learns(config: RefineFuseConfig):
    torch.manual_seed(0)
    model = build(config)
    (model(torch.rand(2, 1, 32, 32), torch.rand(2, 1, 32, 32)) - 0.3).square().mean().backward()
    assert [name for name, tensor in model.named_parameters() if tensor.grad is None] == []


def test_blend_stays_between_sources_that_agree():
    """Where both sources are equal and the residual is off, every weight gives the same pixel back."""
    model = build(NANO_LIKE).eval()
    last = model.head[-1]
    torch.nn.init.zeros_(last.weight[4:])
    torch.nn.init.zeros_(last.bias[4:])
    plane = torch.rand(1, 1, 32, 48)
    with torch.inference_mode():
        torch.testing.assert_close(model(plane, plane), plane)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"grids": (4,)}, "grids has 1"),
        ({"shallow_levels": 0}, "shallow_levels is 0"),
        ({"output": "jpeg"}, "'jpeg'"),
        ({"head": (0,)}, "below 1"),
    ],
)
def test_a_wrong_configuration_is_refused_with_its_value(wrong: dict[str, object], said: str):
    with pytest.raises(ValueError, match=said):
        replace(SMALL, **wrong)


def test_unknown_variants_are_refused_by_name():
    with pytest.raises(ValueError, match=r"'huge'.*base, nano"):
        build("huge")
    assert (VARIANTS["base"].size_multiple, VARIANTS["nano"].size_multiple) == (8, 16)
