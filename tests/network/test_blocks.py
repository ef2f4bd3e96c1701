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

"""Each block computes what the article says."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from refinefuse_ros.network.blocks import FIM, PSIM, SFIM, Encoder


def test_encoder_halves_at_every_level_but_the_first():
    features = Encoder(1, (3, 5, 7))(torch.rand(1, 1, 16, 24))
    assert [tuple(f.shape[1:]) for f in features] == [(3, 16, 24), (5, 8, 12), (7, 4, 6)]


def test_sfim_is_the_grouped_convolution_of_interleaved_channels():
    block, width = SFIM(5), 5
    ir, vis = torch.randn(2, 2, width, 9, 11)
    both = torch.cat((ir, vis), dim=1)
    pooled = torch.stack((both.max(dim=1).values, both.mean(dim=1)), dim=1)
    attention = torch.sigmoid(block.attention(pooled))
    ir_enhanced, vis_enhanced = ir + ir * attention[:, :1], vis + vis * attention[:, 1:]
    interleaved = torch.stack((ir_enhanced, vis_enhanced), dim=2).flatten(1, 2)
    weight = torch.cat((block.fuse_ir.weight, block.fuse_vis.weight), dim=1)
    expected = F.conv2d(interleaved, weight, block.fuse_ir.bias, padding=1, groups=width)
    torch.testing.assert_close(block(ir, vis), expected)


def test_psim_attends_to_the_whole_image():
    """A change in one corner reaches the opposite one, which convolutions alone would not allow."""
    torch.manual_seed(0)
    block = PSIM(4, grid=4).eval()
    ir, vis = torch.randn(2, 1, 4, 40, 40)
    changed = ir.clone()
    changed[..., :8, :8] += 5.0
    with torch.inference_mode():
        difference = (block(ir, vis) - block(changed, vis)).abs()
    assert difference[..., -4:, -4:].max() > 1e-6


def test_psim_takes_any_size_at_the_same_attention_cost():
    block = PSIM(4, grid=4).eval()
    for height, width in ((4, 4), (5, 9), (50, 33)):
        assert block(torch.rand(1, 4, height, width), torch.rand(1, 4, height, width)).shape == (
            1,
            4,
            height,
            width,
        )


def test_fim_weighs_the_shallow_feature_and_adds_the_deep_one():
    shallow, deep = torch.randn(2, 1, 3, 8, 8)
    expected = shallow * torch.sigmoid(deep.mean((2, 3), keepdim=True))
    expected = expected + shallow * torch.sigmoid(shallow.mean((2, 3), keepdim=True)) + deep
    torch.testing.assert_close(FIM()(shallow, deep), expected)
