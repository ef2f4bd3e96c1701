# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The half network computes in fp16 and gives the fp32 picture; what a GPU engine cannot have is one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from refinefuse_ros.engine.artifacts import ModelFiles, find_model
from refinefuse_ros.engine.base import EngineError
from refinefuse_ros.engine.torch_half import cuda_device, load_deployable

CPU = torch.device("cpu")


def test_half_is_close_to_full_precision() -> None:
    torch.manual_seed(0)
    planes = [
        torch.nn.functional.interpolate(torch.rand(1, 1, 8, 8) * 255, scale_factor=8, mode="bicubic")
        .clamp(0, 255)
        .to(torch.uint8)
        for _ in range(2)
    ]
    with torch.inference_mode():
        full, half = (
            load_deployable(find_model("nano"), precision, CPU)[0](*planes).int() for precision in ("fp32", "fp16")
        )
    assert (full - half).abs().max() <= 2


def test_half_weights_are_half() -> None:
    network, multiple = load_deployable(find_model("nano"), "fp16", CPU)
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float16}
    assert multiple == 8


def test_precisions_and_models_that_cannot_be_had_are_sentences() -> None:
    with pytest.raises(EngineError, match="cannot run precision 'bf16'; use auto, fp32, fp16"):
        load_deployable(find_model("nano"), "bf16", CPU)
    with pytest.raises(EngineError, match="no safetensors weights beside"):
        load_deployable(ModelFiles("mine", Path("mine.onnx"), None), "fp16", CPU)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_without_a_gpu_it_says_so() -> None:
    with pytest.raises(EngineError, match="sees no GPU"):
        cuda_device("auto")


@pytest.mark.parametrize(
    ("cuda", "advice"), [(None, "install a CUDA build of it"), ("13.0", "its CUDA 13.0 may need a newer driver")]
)
def test_a_torch_that_sees_no_gpu_says_what_it_needs(
    cuda: str | None, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    with pytest.raises(EngineError, match=advice):
        cuda_device("auto")
