# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The `refinefuse` command. Each verb's work is in a module of its own, imported only when the verb is used."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from refinefuse_ros import __version__
from refinefuse_ros.engine.factory import BACKENDS, PRECISIONS, EngineRequest
from refinefuse_ros.errors import UserError
from refinefuse_ros.image.frame import ImageSize


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns 0 on success, 1 when it failed, 130 when interrupted. Wrong usage exits with 2."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="refinefuse", description="Thermal-RGB video fusion with RefineFuse.")
    parser.add_argument("--version", action="version", version=f"refinefuse {__version__}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)

    demo = _verb(verbs, "demo", _demo, "run cameras, fusion node and recorder live over DDS")
    demo.add_argument(
        "--source",
        default="synthetic",
        help="synthetic, or a folder with thermal/ and rgb/ (default: %(default)s)",
    )
    demo.add_argument("--seconds", type=_positive, default=20.0, help="how long to stream (default: %(default)g)")
    demo.add_argument("--rate", type=_positive, help="pairs per second (default: the source's own)")
    demo.add_argument(
        "--output", type=Path, default=Path("out/demo"), help="folder for the results (default: %(default)s)"
    )
    _add_json(demo)
    _add_engine(demo)

    fuse = _verb(verbs, "fuse", _fuse, "fuse an image, a folder (matched by name) or a video")
    fuse.add_argument("--thermal", type=Path, required=True, help="thermal image, folder or video")
    fuse.add_argument("--rgb", type=Path, required=True, help="RGB image, folder or video")
    fuse.add_argument(
        "--output", type=Path, required=True, help="fused image, folder or .mp4: the same kind as the input"
    )
    _add_json(fuse)
    _add_engine(fuse)

    evaluate = _verb(
        verbs, "evaluate", _evaluate, "measure fused results by the seven metrics, coarse gradients and flicker"
    )
    evaluate.add_argument("--thermal", type=Path, required=True, help="thermal image, folder or video")
    evaluate.add_argument("--rgb", type=Path, required=True, help="RGB image, folder or video")
    evaluate.add_argument("--fused", type=Path, help="fused results to measure, instead of fusing with a model")
    evaluate.add_argument("--output", type=Path, help="also write the result to this JSON file")
    _add_json(evaluate)
    _add_engine(evaluate)

    play = _verb(verbs, "play", _play, "publish a thermal and an RGB source as two camera topics")
    play.add_argument("--thermal", type=Path, required=True, help="thermal image, folder or video")
    play.add_argument("--rgb", type=Path, required=True, help="RGB image, folder or video")
    play.add_argument("--rate", type=_positive, help="pairs per second (default: the source's own)")
    play.add_argument("--loop", action="store_true", help="start over at the end")

    bench = _verb(verbs, "bench", _bench, "time the available backends side by side on the same images")
    bench.add_argument("--model", default=EngineRequest.model, help="base, nano or a path (default: %(default)s)")
    bench.add_argument("--backend", action="append", choices=tuple(BACKENDS), help="only this one; can be repeated")
    bench.add_argument("--size", type=_size, default=ImageSize(640, 480), help="default: %(default)s")
    bench.add_argument("--frames", type=int, default=100, help="frames of each backend (default: %(default)s)")
    bench.add_argument(
        "--throughput", action="store_true", help="also search the highest rate with < 5 %% missed frames"
    )
    bench.add_argument("--output", type=Path, help="also write the report to this .md or .json file")
    _add_json(bench)

    train = _verb(verbs, "train", _train, "train a network and export it; stopped runs go on with resume=auto")
    train.add_argument("config", type=Path, help="settings of the run, such as config/train/nano.yaml")
    train.add_argument(
        "overrides", nargs="*", metavar="KEY=VALUE", help="such as data.root=FOLDER trainer.max_epochs=2"
    )
    train.add_argument("--dry-run", action="store_true", help="two steps of everything, leaving nothing")
    _add_json(train)

    doctor = _verb(verbs, "doctor", _doctor, "say what is installed, what will be used, what would go wrong")
    _add_json(doctor)
    return parser


def _verb(verbs: argparse._SubParsersAction, name: str, run, summary: str) -> argparse.ArgumentParser:
    verb = verbs.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
    verb.set_defaults(run=run)
    return verb


def _add_json(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--json", action="store_true", help="print the result as one JSON object, and nothing else")


def _add_engine(verb: argparse.ArgumentParser) -> None:
    defaults = EngineRequest()
    verb.add_argument("--model", default=defaults.model, help="base, nano or a path (default: %(default)s)")
    verb.add_argument("--backend", default=defaults.backend, choices=("auto", *BACKENDS), help="default: %(default)s")
    verb.add_argument("--precision", default=defaults.precision, choices=PRECISIONS, help="default: %(default)s")
    verb.add_argument("--device", default=defaults.device, help="default: %(default)s")


def _engine_request(options: argparse.Namespace) -> EngineRequest:
    return EngineRequest(options.model, options.backend, options.precision, options.device)


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"'{text}' is not a positive number")
    return value


def _size(text: str) -> ImageSize:
    try:
        return ImageSize.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _demo(options: argparse.Namespace) -> None:
    from refinefuse_ros.demo import run_demo

    report = run_demo(
        source=options.source,
        seconds=options.seconds,
        rate_hz=options.rate,
        output=options.output,
        request=_engine_request(options),
        quiet=options.json,
    )
    if options.json:
        print(json.dumps(report, indent=2))


def _fuse(options: argparse.Namespace) -> None:
    from refinefuse_ros.offline import fuse_files

    result = fuse_files(options.thermal, options.rgb, options.output, _engine_request(options), quiet=options.json)
    if options.json:
        print(json.dumps(result.to_dict(), indent=2))


def _evaluate(options: argparse.Namespace) -> None:
    from refinefuse_ros.evaluation.files import evaluate_pairs

    request = None if options.fused else _engine_request(options)
    card = evaluate_pairs(options.thermal, options.rgb, fused=options.fused, request=request, quiet=options.json)
    if options.output:
        card.write_json(options.output)
    if options.json:
        print(json.dumps(card.to_dict(), indent=2))


def _play(options: argparse.Namespace) -> None:
    from refinefuse_ros.demo import node_command, run_foreground

    parameters = {"thermal": str(options.thermal), "rgb": str(options.rgb), "loop": options.loop}
    if options.rate:
        parameters["rate_hz"] = options.rate
    run_foreground(node_command("camera_player", parameters))


def _bench(options: argparse.Namespace) -> None:
    from refinefuse_ros.bench import run_bench

    report = run_bench(
        options.model,
        options.backend,
        options.size,
        options.frames,
        throughput=options.throughput,
        output=options.output,
        quiet=options.json,
    )
    print(json.dumps(report.to_dict(), indent=2) if options.json else report.to_markdown())


def _train(options: argparse.Namespace) -> None:
    try:
        from refinefuse_ros.training.trainer import train
    except ImportError as error:
        raise UserError(f"Training needs {error.name}, which is not installed; install the extra train.") from error

    result = train(options.config, options.overrides, dry_run=options.dry_run, quiet=options.json)
    if options.json:
        print(json.dumps(result.to_dict(), indent=2))
    elif result.weights is not None:
        print(f"trained {result.steps} steps; wrote {result.weights} and {result.graph}")


def _doctor(options: argparse.Namespace) -> None:
    from refinefuse_ros.doctor import examine, print_findings, to_dict

    findings = examine()
    result = to_dict(findings)
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        print_findings(findings)
    if not result["runs"]:
        raise UserError("The node will not run here; mend what is marked broken.")


if __name__ == "__main__":
    sys.exit(main())
