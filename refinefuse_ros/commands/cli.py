# Copyright 2026 refinefuse_ros contributors. SPDX-License-Identifier: Apache-2.0
"""The `refinefuse` command. Each verb's work is in a module of its own, imported only when the verb is used."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from refinefuse_ros import __version__
from refinefuse_ros.engine.factory import BACKENDS, PRECISIONS, EngineRequest
from refinefuse_ros.errors import UserError
from refinefuse_ros.image.frame import ImageSize

if TYPE_CHECKING:
    from refinefuse_ros.evaluation.verdict import Gallery, Verdict

DEMO_S = 20.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns 0 on success, 1 when it failed, 130 when interrupted. Wrong usage exits with 2."""
    options = _parse(arguments)
    options.command = shlex.join(["refinefuse", *(sys.argv[1:] if arguments is None else arguments)])
    try:
        options.run(options)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        sentence = f"{error.filename}: {error.strerror}." if error.filename and error.strerror else str(error)
        print(f"error: {sentence}", file=sys.stderr)
        return 1
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if options.run is _train and all("=" in text and not text.startswith("-") for text in rest):
        options.overrides += rest  # argparse looks for them only before the first option
    elif rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="refinefuse", description="Thermal-RGB video fusion with RefineFuse.")
    parser.add_argument("--version", action="version", version=f"refinefuse {__version__}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)

    demo = _verb(verbs, "demo", _demo, "run cameras, fusion node and recorder live over DDS")
    played = demo.add_mutually_exclusive_group()
    played.add_argument(
        "--source",
        default="synthetic",
        help="synthetic, or a folder with thermal/ and rgb/ (default: %(default)s)",
    )
    played.add_argument("--bag", type=Path, help="a recording, in its own time")
    _add_bag_topics(demo)
    demo.add_argument("--seconds", type=_positive, help="how long to stream (default: 20, a recording to its end)")
    demo.add_argument("--rate", type=_positive, help="pairs per second of a source (default: its own)")
    demo.add_argument(
        "--runs",
        type=_count,
        help="play the recording so often, from memory; of 3 and more the best and the worst do not count",
    )
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
    _add_steady(fuse)
    _add_json(fuse)
    _add_engine(fuse)

    evaluate = _verb(
        verbs, "evaluate", _evaluate, "measure fused results by the seven metrics, coarse gradients and flicker"
    )
    evaluate.add_argument("--thermal", type=Path, help="thermal image, folder or video")
    evaluate.add_argument("--rgb", type=Path, help="RGB image, folder or video")
    evaluate.add_argument("--fused", type=Path, help="fused results to measure, instead of or beside a model's")
    evaluate.add_argument("--bag", type=Path, help="a recording to pair, fuse and measure, instead of files")
    _add_bag_topics(evaluate)
    evaluate.add_argument("--fused-topic", help="images that were fused live, to compare with (default: guessed)")
    evaluate.add_argument(
        "--slop-ms", type=_positive, help="largest distance of a pair's stamps in the recording (default: the node's)"
    )
    evaluate.add_argument(
        "--thermal-hold-ms",
        type=_positive,
        help="how long a thermal frame serves further RGB frames (default: the node's)",
    )
    evaluate.add_argument("--video", type=Path, help="also write the first model's fused video to this .mp4")
    evaluate.add_argument("--fused-bag", type=Path, help="also write the first model's fused images to this bag")
    evaluate.add_argument("--output", type=Path, help="also write the result to this JSON file")
    evaluate.add_argument("--report", type=Path, help="also write the result as a page to look at, to this HTML file")
    evaluate.add_argument("--gate", type=Path, help="fail when a number is worse than this YAML file allows")
    place = evaluate.add_mutually_exclusive_group()
    place.add_argument("--workers", type=_count, help="processes to work in (default: one per core; on a GPU, one)")
    place.add_argument("--scheduler", help="address of a dask scheduler whose workers are used instead")
    _add_steady(evaluate)
    _add_json(evaluate)
    _add_engine(evaluate, several_models=True)

    play = _verb(verbs, "play", _play, "publish a thermal and an RGB source, or a recording, as two camera topics")
    play.add_argument("--thermal", type=Path, help="thermal image, folder or video")
    play.add_argument("--rgb", type=Path, help="RGB image, folder or video")
    play.add_argument("--bag", type=Path, help="a recording, with its own stamps")
    _add_bag_topics(play)
    play.add_argument(
        "--rate", type=_positive, help="pairs per second; for a recording, its speed (default: the source's own)"
    )
    play.add_argument("--loop", action="store_true", help="start over at the end")
    play.add_argument("--clock", action="store_true", help="publish /clock from the recording")
    play.add_argument("--start", type=float, default=0.0, help="seconds of the recording to skip")
    play.add_argument("--duration", type=_positive, help="seconds of the recording to play (default: all)")

    record = _verb(
        verbs, "record", _record, "record the running cameras, fusion and diagnostics; or make a bag of files"
    )
    record.add_argument("--output", type=Path, required=True, help="the bag's folder")
    record.add_argument("--storage", default="mcap", choices=("mcap", "sqlite3"), help="default: %(default)s")
    record.add_argument("--seconds", type=_positive, help="how long (default: until Ctrl-C, a source to its end)")
    live = record.add_argument_group("live, without a source", "raw or compressed, as it is published")
    for name in ("thermal", "rgb", "fused"):
        live.add_argument(f"--{name}-topic", help=f"image topic (default: {name}/image_raw)")
    source = record.add_argument_group("from files, or the synthetic street")
    source.add_argument("--source", help="synthetic, or a folder with thermal/ and rgb/")
    source.add_argument("--thermal", type=Path, help="thermal image, folder or video")
    source.add_argument("--rgb", type=Path, help="RGB image, folder or video")
    source.add_argument("--rgb-encoding", choices=("bgr8", "bayer_rggb8", "jpeg"), help="default: bgr8")
    source.add_argument("--thermal-rate", type=_positive, help="thermal frames per second (default: the source's rate)")
    _add_json(record)

    export = _verb(verbs, "export", _export, "export a model for another machine and compare it with torch")
    export.add_argument("--model", default=EngineRequest.model, help="base, nano or a path (default: %(default)s)")
    export.add_argument("--format", required=True, choices=("onnx", "openvino", "tensorrt", "torch-tensorrt"))
    export.add_argument(
        "--precision",
        default="auto",
        choices=("auto", "fp32", "fp16", "int8"),
        help="auto is fp32 for onnx and openvino, fp16 for the others, int8 for a plan of an int8 graph"
        " (default: %(default)s)",
    )
    export.add_argument(
        "--size",
        type=_size,
        metavar="WIDTHxHEIGHT",
        help="of the images (default: any for onnx and openvino, else 640x480)",
    )
    export.add_argument(
        "--output",
        type=Path,
        help="an .onnx or .xml file (default: the model's name, in this folder);"
        " for compiled engines a folder (default: the engine cache)",
    )
    export.add_argument("--compute-capability", help="of the GPU to build a TensorRT plan for, such as 8.9")
    export.add_argument(
        "--calibration",
        type=Path,
        metavar="FOLDER",
        help="with thermal/ and rgb/: pairs for the ranges of int8 (default: the synthetic street)",
    )
    export.add_argument(
        "--pairs",
        type=Path,
        metavar="FOLDER",
        help="with thermal/ and rgb/: pairs to compare with torch on (default: the synthetic street)",
    )
    _add_json(export)

    bench = _verb(verbs, "bench", _bench, "time the available backends side by side on the same images")
    bench.add_argument(
        "--model",
        action="append",
        help=f"base, nano or a path, such as that of an int8 export; can be repeated (default: {EngineRequest.model})",
    )
    bench.add_argument(
        "--backend", action="append", choices=tuple(BACKENDS), help="only this one; can be repeated (default: all)"
    )
    bench.add_argument(
        "--precision", action="append", choices=PRECISIONS[1:], help="only this one; can be repeated (default: all)"
    )
    bench.add_argument(
        "--size", type=_size, default=ImageSize(640, 480), metavar="WIDTHxHEIGHT", help="default: %(default)s"
    )
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


def _add_steady(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--steady", action="store_true", help="average a video's noise where neither camera changes")


def _add_json(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--json", action="store_true", help="print the result as one JSON object, and nothing else")


def _add_engine(verb: argparse.ArgumentParser, several_models: bool = False) -> None:
    defaults = EngineRequest()
    if several_models:
        verb.add_argument(
            "--model", action="append", help=f"base, nano or a path; can be repeated (default: {defaults.model})"
        )
    else:
        verb.add_argument("--model", default=defaults.model, help="base, nano or a path (default: %(default)s)")
    verb.add_argument("--backend", default=defaults.backend, choices=("auto", *BACKENDS), help="default: %(default)s")
    verb.add_argument("--precision", default=defaults.precision, choices=PRECISIONS, help="default: %(default)s")
    verb.add_argument(
        "--device",
        default=defaults.device,
        help="as the backend calls it, such as CPU or cuda:1 (default: %(default)s)",
    )


def _add_bag_topics(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--thermal-topic", help="the recording's thermal image topic (default: guessed)")
    verb.add_argument("--rgb-topic", help="the recording's RGB image topic (default: guessed)")


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


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 100:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 1 to 100")
    return int(text)


def _size(text: str) -> ImageSize:
    try:
        return ImageSize.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _demo(options: argparse.Namespace) -> None:
    from refinefuse_ros.commands.demo.running import cast_of_bag, cast_of_source, run_demo

    if options.bag:
        _refuse(options, "a recording", "rate")
        cast = cast_of_bag(
            options.bag,
            options.output,
            thermal_topic=options.thermal_topic,
            rgb_topic=options.rgb_topic,
            seconds=options.seconds,
            runs=options.runs or 1,
        )
    else:
        _refuse(options, "a source", "thermal_topic", "rgb_topic", "runs")
        cast = cast_of_source(options.source, options.seconds or DEMO_S, options.rate)
    report = run_demo(cast, output=options.output, request=_engine_request(options), quiet=options.json)
    if options.json:
        print(json.dumps(report, indent=2))


def _fuse(options: argparse.Namespace) -> None:
    from refinefuse_ros.offline import fuse_files

    result = fuse_files(
        options.thermal,
        options.rgb,
        options.output,
        _engine_request(options),
        steady=options.steady,
        quiet=options.json,
    )
    if options.json:
        print(json.dumps(result.to_dict(), indent=2))


def _evaluate(options: argparse.Namespace) -> None:
    from refinefuse_ros.evaluation.gate import load_gate
    from refinefuse_ros.evaluation.report import require_report, write_report
    from refinefuse_ros.evaluation.table import print_verdict

    # What can go wrong with these is said before the work, which may take long.
    gate = load_gate(options.gate) if options.gate else None
    if options.report:
        require_report()
    verdict, gallery = _verdict(options)
    if options.output:
        verdict.write_json(options.output)
    if options.report:
        write_report(verdict, gallery, options.report)
    if options.json:
        print(verdict.to_json())
    else:
        print_verdict(verdict)
    violations = gate.violations(verdict) if gate else []
    for sentence in violations:
        print(sentence, file=sys.stderr)
    if violations:
        raise UserError(f"{options.gate} allows less than was measured in {len(violations)} point(s), named above.")


def _verdict(options: argparse.Namespace) -> tuple[Verdict, Gallery]:
    """What the options of `evaluate` say is scored."""
    from refinefuse_ros.evaluation.work.workers import Parallelism

    models = options.model or ([] if options.fused else [EngineRequest.model])
    shared = {
        "requests": [EngineRequest(model, options.backend, options.precision, options.device) for model in models],
        "where": Parallelism(options.workers, options.scheduler),
        "steady": options.steady,
        "command": options.command,
        "quiet": options.json,
    }
    if not options.bag:
        from refinefuse_ros.evaluation.files import evaluate_files

        _require_both(options, "--bag")
        _refuse(options, "files", "thermal_topic", "rgb_topic", "fused_topic", "slop_ms", "thermal_hold_ms")
        _refuse(options, "files", "video", "fused_bag")
        return evaluate_files(options.thermal, options.rgb, fused=options.fused, **shared)
    from refinefuse_ros.evaluation.bag_scoring import evaluate_bag
    from refinefuse_ros.evaluation.fused_outputs import FusedFiles
    from refinefuse_ros.stream.synchronizer import SyncConfig

    _refuse(options, "a recording", "thermal", "rgb", "fused")
    sync = {name: value for name in ("slop_ms", "thermal_hold_ms") if (value := getattr(options, name))}
    return evaluate_bag(
        options.bag,
        thermal_topic=options.thermal_topic,
        rgb_topic=options.rgb_topic,
        fused_topic=options.fused_topic,
        sync=SyncConfig(**sync),
        fused_files=FusedFiles(options.video, options.fused_bag),
        **shared,
    )


def _require_both(options: argparse.Namespace, alternative: str) -> None:
    if not (options.thermal and options.rgb):
        raise UserError(f"Two cameras are needed: give --thermal and --rgb, or {alternative}.")


def _refuse(options: argparse.Namespace, mode: str, *names: str) -> None:
    """Raises UserError for an option that says nothing in this mode."""
    for name in names:
        if getattr(options, name) is not None:
            raise UserError(f"--{name.replace('_', '-')} is not for {mode}; leave it out.")


def _play(options: argparse.Namespace) -> None:
    from refinefuse_ros.commands.demo.running import node_command, run_foreground

    if options.bag:
        given = {
            "thermal_topic": options.thermal_topic,
            "rgb_topic": options.rgb_topic,
            "rate": options.rate,
            "duration_s": options.duration,
        }
        parameters = {"bag": str(options.bag), "start_s": options.start, "clock": options.clock, "exit_at_end": True}
        node = "bag_player"
    else:
        _require_both(options, "--bag")
        given = {"rate_hz": options.rate}
        parameters = {"thermal": str(options.thermal), "rgb": str(options.rgb)}
        node = "camera_player"
    parameters |= {"loop": options.loop} | {name: value for name, value in given.items() if value is not None}
    run_foreground(node_command(node, parameters))


def _record(options: argparse.Namespace) -> None:
    if options.thermal or options.rgb or options.source:
        _record_source(options)
    else:
        _record_live(options)


def _record_live(options: argparse.Namespace) -> None:
    from refinefuse_ros.commands.demo.running import node_command, run_foreground

    _refuse(options, "a live recording, one without --source", "rgb_encoding", "thermal_rate")
    given = {
        "seconds": options.seconds,
        "thermal_topic": options.thermal_topic,
        "rgb_topic": options.rgb_topic,
        "fused_topic": options.fused_topic,
    }
    parameters = {"output": str(options.output), "storage": options.storage, "json": options.json}
    parameters |= {name: value for name, value in given.items() if value is not None}
    run_foreground(node_command("bag_recorder", parameters), interruptible=False)


def _record_source(options: argparse.Namespace) -> None:
    from refinefuse_ros.image.sources import SyntheticPairs, open_folder, open_pairs
    from refinefuse_ros.recordings.making import write_bag

    _refuse(options, "a recording of a source", "thermal_topic", "rgb_topic", "fused_topic")
    if options.thermal or options.rgb:
        _require_both(options, "--source")
        source = open_pairs(options.thermal, options.rgb)
    elif options.source == "synthetic":
        source = SyntheticPairs(ImageSize(640, 480))
    else:
        source = open_folder(Path(options.source))
    written = write_bag(
        source,
        options.output,
        storage=options.storage,
        rgb_encoding=options.rgb_encoding or "bgr8",
        seconds=options.seconds,
        thermal_rate_hz=options.thermal_rate,
    )
    print(
        json.dumps(written.to_dict(), indent=2)
        if options.json
        else f"recorded {source.description} to {options.output}"
    )


def _export(options: argparse.Namespace) -> None:
    from refinefuse_ros.commands.export.exporting import export_model

    report = export_model(
        options.model,
        options.format,
        options.precision,
        options.size,
        options.output,
        options.compute_capability,
        calibration=options.calibration,
        pairs=options.pairs,
    )
    print(json.dumps(report.to_dict(), indent=2) if options.json else report)


def _bench(options: argparse.Namespace) -> None:
    from refinefuse_ros.commands.bench.measuring import run_bench

    report = run_bench(
        options.model or EngineRequest.model,
        options.backend,
        options.size,
        options.frames,
        precisions=options.precision,
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
    if result is None:  # the first process of a distributed run speaks for all
        return
    if options.json:
        print(json.dumps(result.to_dict(), indent=2))
    elif result.weights is not None:
        print(f"trained {result.steps} steps; wrote {result.weights} and {result.graph}")


def _doctor(options: argparse.Namespace) -> None:
    from refinefuse_ros.commands.doctor import examine, to_dict

    findings = []
    for finding in examine():
        findings.append(finding)
        if not options.json:
            print(finding, flush=True)
    result = to_dict(findings)
    if options.json:
        print(json.dumps(result, indent=2))
    if not result["runs"]:
        raise UserError("The node will not run here; mend what is marked broken.")


if __name__ == "__main__":
    sys.exit(main())
