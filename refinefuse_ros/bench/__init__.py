# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""`refinefuse bench`: every backend and precision that this machine can run, on the same inputs, in one run."""

from refinefuse_ros.bench.report import BenchReport
from refinefuse_ros.bench.run import run_bench

__all__ = ["BenchReport", "run_bench"]
