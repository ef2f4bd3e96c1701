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

"""Packaging for colcon (ament_python) and for pip: one file serves both."""

from glob import glob

from setuptools import find_packages, setup

PACKAGE = "refinefuse_ros"
VERSION = "0.1.0"  # the same in package.xml and refinefuse_ros/__init__.py; a test compares them

# What a running node needs: no torch, and no ROS packages (a ROS install brings those; elsewhere the extra `ros`).
RUNTIME = [
    "numpy>=1.23,<3",
    "opencv-python-headless>=4.6,<5",  # 5.x renumbered the type constants that cv_bridge and bags rely on
    "openvino>=2025.0,<2027",
    "PyYAML>=6.0,<7",
    "rich>=13,<16",
    "av>=12,<19",
    "rosbags>=0.11,<0.12",
]
ROS = [
    "ros-jazzy-rclpy>=7.1,<8",
    "ros-jazzy-sensor-msgs>=5.3,<6",
    "ros-jazzy-diagnostic-msgs>=5.3,<6",
    "ros-jazzy-rosgraph-msgs>=2.0,<3",
    "ros-jazzy-rmw-fastrtps-cpp>=8.4,<9",
]
# Below 2.14: 2.13.0 is the newest release the engines and the exporter were checked with.
TORCH = ["torch>=2.8,<2.14", "safetensors>=0.4,<1"]
EXPORT = [*TORCH, "onnx>=1.16,<2", "onnxscript>=0.5,<1"]
INT8 = [*EXPORT, "nncf>=3.4,<4", "onnxruntime>=1.20,<2"]
TRAIN = [*EXPORT, "lightning>=2.4,<3", "tensorboard>=2.14,<3"]
REPORT = ["jinja2>=3.1,<4", "plotly>=5.24,<8"]
DETECT = ["pycocotools>=2.0.8,<3"]
VIEW = ["rerun-sdk>=0.30,<0.42"]
CLUSTER = ["dask>=2024.1", "distributed>=2024.1"]
# TensorRT itself comes with JetPack or from NVIDIA; TensorRT for RTX is on pip and builds plans without a GPU.
TENSORRT = ["onnx>=1.16,<2"]
TENSORRT_RTX = [
    *TENSORRT,
    'tensorrt-rtx-cu12-bindings>=1.7,<1.8; platform_machine == "x86_64"',
    'tensorrt-rtx-cu12-libs>=1.7,<1.8; platform_machine == "x86_64"',
]
TEST = [
    "pytest>=8,<10",
    "pytest-timeout>=2.3,<3",
    "pytest-xdist>=3.6,<4",
    "hypothesis>=6.100,<7",
]
# What `make test-gpu` runs with; torch_tensorrt comes from NVIDIA and is tested where it is installed.
GPU = [*INT8, *TENSORRT_RTX, *TEST]
DEV = [
    *ROS,
    *TRAIN,
    *INT8,
    *TENSORRT_RTX,
    *REPORT,
    *DETECT,
    *VIEW,
    *CLUSTER,
    *TEST,
    "playwright>=1.40,<2",  # drives the Chromium of the machine; it brings none
    "ruff>=0.16,<0.18",
]

setup(
    name=PACKAGE,
    version=VERSION,
    description="Thermal-RGB video fusion for ROS 2: RefineFuse at frame rate, with timing diagnostics",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=[PACKAGE, f"{PACKAGE}.*"]),
    package_data={f"{PACKAGE}.evaluation.report": ["templates/*"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
        (f"share/{PACKAGE}/launch", glob("launch/*.launch.py")),
        (f"share/{PACKAGE}/config", [path for path in glob("config/*") if "." in path]),
        (f"share/{PACKAGE}/config/train", glob("config/train/*.yaml")),
        (f"share/{PACKAGE}/models", [path for path in glob("models/*") if not path.endswith(".md")]),
    ],
    install_requires=RUNTIME,
    extras_require={
        "ros": ROS,
        "export": EXPORT,
        "int8": INT8,
        "train": TRAIN,
        "report": REPORT,
        "detect": DETECT,
        "view": VIEW,
        "cluster": CLUSTER,
        "tensorrt": TENSORRT,
        "tensorrt-rtx": TENSORRT_RTX,
        "test": TEST,  # colcon runs pytest where this extra names it
        "gpu": GPU,
        "dev": DEV,
    },
    zip_safe=True,
    entry_points={
        "console_scripts": [
            "refinefuse = refinefuse_ros.commands.cli:main",
            "fusion_node = refinefuse_ros.nodes.programs:fusion_node",
            "camera_player = refinefuse_ros.nodes.programs:camera_player",
            "faulty_camera = refinefuse_ros.nodes.programs:faulty_camera",
            "bag_player = refinefuse_ros.nodes.programs:bag_player",
            "bag_recorder = refinefuse_ros.nodes.programs:bag_recorder",
            "recorder = refinefuse_ros.nodes.programs:recorder",
            "viewer = refinefuse_ros.nodes.programs:viewer",
        ]
    },
)
