"""The `vaelab` command: a thin skin on the library.

Exit status: 0 done, 1 the work failed (one line on stderr says why), 2 wrong usage.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    options = parser().parse_args(arguments)
    from vaelab import app, audio, checkpoint, config, data, directions, latent, library, provenance, tool, train

    mistakes = (
        app.AppError,
        audio.AudioError,
        checkpoint.CheckpointError,
        config.ConfigError,
        data.DatasetError,
        directions.DirectionError,
        latent.LatentError,
        library.LibraryError,
        provenance.ProvenanceError,
        tool.ToolError,
        train.TrainError,
        OSError,
    )
    try:
        options.run(options)
    except mistakes as error:
        print(f"vaelab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("vaelab: stopped", file=sys.stderr)
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line, without any heavy import."""
    top = argparse.ArgumentParser(
        prog="vaelab",
        description="Turn a folder of sounds into a latent space you can play.",
        allow_abbrev=False,
    )
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_make_dataset(commands)
    _add_train(commands)
    _add_generate(commands)
    _add_map(commands)
    _add_app(commands)
    _add_regenerate(commands)
    _add_synth(commands)
    return top


def _natural(text: str) -> int:
    """A whole number of at least 0; a ValueError becomes argparse's usage message."""
    if (number := int(text)) < 0:
        raise ValueError
    return number


def _positive(text: str) -> int:
    if (number := _natural(text)) == 0:
        raise ValueError
    return number


def _add_make_dataset(commands) -> None:
    command = commands.add_parser("make-dataset", help="folders of sounds -> a dataset", allow_abbrev=False)
    command.add_argument("--data-dir", nargs="+", required=True, metavar="DIR", help="searched with sub-folders")
    command.add_argument("--dataset-name", required=True, metavar="NAME")
    command.add_argument("--classes", action="store_true", help="folders directly below DIR are class names")
    command.add_argument(
        "--labels", metavar="KIND", help="folder (as --classes), hydrogen-instrument or hydrogen-kit (of drumkit.xml)"
    )
    command.add_argument("--train-ratio", type=float, default=0.9, help="share to train on (default 0.9)")
    command.add_argument("--group-by", metavar="folder", help="keep whole packs on one side")
    command.add_argument("--hold-out", nargs="+", default=(), metavar="FOLDER", help="hold out these, not a share")
    command.add_argument("--seed", type=_natural, default=0, help="of the split (default 0)")
    command.add_argument("--fresh", action="store_true", help="split anew, forget the earlier dataset's sides")
    command.set_defaults(run=_make_dataset)


def _add_train(commands) -> None:
    command = commands.add_parser("train", help="dataset -> a model; an existing logdir is resumed", allow_abbrev=False)
    command.add_argument("--logdir", required=True, help="folder of the model")
    command.add_argument("--dataset", metavar="NAME", help="needed for a new model")
    command.add_argument("--num-steps", type=_positive, metavar="N", help="total step to stop at (default: by itself)")
    command.add_argument("--config", metavar="FILE.json", help="overrides of the knobs")
    command.add_argument("--seed", type=_natural, default=0, help="of a new model (default 0)")
    command.add_argument(
        "--join",
        nargs=3,
        metavar=("ADDRESS:PORT", "HOSTS", "HOST"),
        help="train on several hosts that see the same folders: where host 0 listens, how many, which this is (from 0)",
    )
    command.set_defaults(run=_train)


def _add_generate(commands) -> None:
    command = commands.add_parser(
        "generate", help="a model -> new sounds, random or mixed from files", allow_abbrev=False
    )
    command.add_argument("files", nargs="*", metavar="FILE", help="sounds to mix; none: random")
    command.add_argument("--model", required=True, help="logdir, model file, or name of a shipped model")
    command.add_argument("--out-file", required=True, help=".wav, .flac or .aiff")
    command.add_argument("--weights", nargs="+", type=float, metavar="W", help="one a file (default: the mean)")
    command.add_argument("--no-normalize-weights", action="store_true", help="plain vector arithmetic")
    command.add_argument("--variance", type=float, default=0.0, help="of noise added to the embedding")
    command.add_argument("--spread", type=float, default=0.0, help="scale of draws from the posterior")
    command.add_argument("--temperature", type=float, default=1.0, help="of random sounds")
    command.add_argument("--count", type=_positive, default=1, help="how many (files are numbered)")
    command.add_argument("--offsets", nargs="+", type=float, metavar="S", help="start in each file, seconds")
    command.add_argument("--no-phase", action="store_true", help="find a phase instead of taking the sources'")
    command.add_argument("--refine", type=_natural, default=0, metavar="N", help="gradient steps on each embedding")
    command.add_argument("--seconds", type=float, help="length (default: one clip)")
    command.add_argument("--bits", type=int, choices=(16, 24, 32), default=16, help="of the file; 32 is float")
    command.add_argument("--seed", type=_natural)
    command.set_defaults(run=_generate)


def _add_regenerate(commands) -> None:
    command = commands.add_parser("regenerate", help="a written sound -> the same again", allow_abbrev=False)
    command.add_argument("file", metavar="FILE", help="a sound that generate wrote")
    command.add_argument("--out-file", required=True, help=".wav, .flac or .aiff")
    command.add_argument("--model", help="logdir, model file, or name (default: the one in the recipe)")
    command.add_argument("--no-phase", action="store_true", help="without the sources, if they are gone")
    command.add_argument("--bits", type=int, choices=(16, 24, 32), default=16, help="of the file; 32 is float")
    command.set_defaults(run=_regenerate)


def _add_synth(commands) -> None:
    command = commands.add_parser("synth", help="write built-in sounds, one folder a class", allow_abbrev=False)
    command.add_argument("--out-dir", required=True, metavar="DIR")
    command.add_argument("--per-class", type=_positive, default=40, help="sounds of each kind (default 40)")
    command.add_argument("--seed", type=_natural, default=0)
    command.set_defaults(run=_synth)


def _make_dataset(options) -> None:
    from vaelab.data import make_dataset

    dataset = make_dataset(
        options.data_dir,
        options.dataset_name,
        classes=options.classes,
        train_ratio=options.train_ratio,
        seed=options.seed,
        fresh=options.fresh,
        labels=options.labels,
        group_by=options.group_by,
        hold_out=options.hold_out,
    )
    print(dataset.report())


def _train(options) -> None:
    from vaelab import devices, files, plots, train
    from vaelab.config import Config

    if options.join:
        devices.join(*options.join)
    logdir = Path(options.logdir)

    def draw(evaluation: train.Evaluation) -> None:
        pictures = {"training": plots.training_curves(evaluation.history)}
        for name, names in evaluation.model.config.labels:
            pictures[f"confusion_{name}"] = plots.confusion(evaluation.confusion[name], names)
        for name, picture in pictures.items():
            with files.replacing(logdir / f"{name}.png") as temporary:
                picture.savefig(temporary)

    config = Config.from_file(options.config) if options.config else None
    train.train(logdir, options.dataset, config, options.seed, options.num_steps, on_evaluation=draw)
    print(f"the best model is {logdir / 'best.safetensors'}")


def _generate(options) -> None:
    from vaelab.tool import SoundSampleTool

    made = SoundSampleTool(options.model).generate(
        out_file=options.out_file,
        audio_files=options.files or None,
        weights=options.weights,
        normalize_weights=not options.no_normalize_weights,
        variance=options.variance,
        spread=options.spread,
        temperature=options.temperature,
        offsets=options.offsets,
        phase=not options.no_phase,
        count=options.count,
        seed=options.seed,
        refine=options.refine,
        seconds=options.seconds,
        bits=options.bits,
    )
    sounds = made if isinstance(made, list) else [made]
    print(f"wrote {len(sounds)} of {sounds[0].seconds:.2f} s: {options.out_file}")


def _regenerate(options) -> None:
    from vaelab import audio, regenerate

    audio.check_writable(options.out_file, options.bits)
    made = regenerate(options.file, options.model, False if options.no_phase else None)
    print(f"wrote {made.seconds:.2f} s: {made.save(options.out_file, options.bits)}")


def _synth(options) -> None:
    from vaelab import synth

    print(f"wrote {synth.write_dataset(options.out_dir, options.per_class, options.seed)}")


def _add_map(commands) -> None:
    command = commands.add_parser("map", help="a model and a folder of sounds -> a picture of all", allow_abbrev=False)
    command.add_argument("--model", required=True, help="logdir, model file, or name of a shipped model")
    command.add_argument("--library-dir", required=True, metavar="DIR", help="sounds, searched with sub-folders")
    command.add_argument("--out-file", required=True, help=".png, .pdf or .svg")
    command.add_argument("--neighbors", type=_positive, default=15, help="few: fine clusters, many: the large shape")
    command.add_argument("--seed", type=_natural, default=0, help="the same seed, the same map (default 0)")
    command.set_defaults(run=_map)


def _add_app(commands) -> None:
    command = commands.add_parser("app", help="mixer and map as a web page on localhost", allow_abbrev=False)
    command.add_argument("model", help="logdir, model file, or name of a shipped model")
    command.add_argument("files", nargs="*", metavar="FILE", help="the mixer's first sounds")
    command.add_argument("--library-dir", metavar="DIR", help="sounds for the map and for similar ones")
    command.add_argument("--out-dir", default="generated", metavar="DIR", help="where sounds are saved")
    command.add_argument("--port", type=_positive, help="of localhost (default: a free one)")
    command.add_argument("--no-browser", action="store_true", help="only print the address")
    command.set_defaults(run=_app)


def _map(options) -> None:
    from vaelab import files, latent, plots
    from vaelab.tool import SoundSampleTool

    if Path(options.out_file).suffix.lower() not in (".png", ".pdf", ".svg"):
        raise OSError(f"{options.out_file}: expected a name in .png, .pdf or .svg")
    library = SoundSampleTool(options.model, library_dir=options.library_dir).library
    coordinates = latent.umap_map(library.embeddings, options.seed, options.neighbors)
    folders = [os.path.relpath(path.parent, options.library_dir) for path in library.files]
    picture = plots.latent_map(coordinates, [None if folder == "." else folder for folder in folders])
    with files.replacing(Path(options.out_file)) as temporary:
        picture.savefig(temporary, dpi=150, format=Path(options.out_file).suffix[1:].lower())
    print(f"drew {len(coordinates)} sounds: {options.out_file}")


def _app(options) -> None:
    from vaelab.app import serve

    folder = options.out_dir
    serve(options.model, options.files, options.library_dir, folder, options.port, not options.no_browser)


if __name__ == "__main__":
    sys.exit(main())
