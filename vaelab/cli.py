"""The `vaelab` command: a thin skin on the library.

Exit status: 0 done, 1 the work failed (one line on stderr says why), 2 wrong usage.
"""

import argparse
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    options = parser().parse_args(arguments)
    from vaelab import audio, checkpoint, config, data, directions, latent, library, provenance, segments, tool, train

    mistakes = (
        audio.AudioError,
        checkpoint.CheckpointError,
        config.ConfigError,
        data.DatasetError,
        directions.DirectionError,
        latent.LatentError,
        library.LibraryError,
        provenance.ProvenanceError,
        segments.CutError,
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
    _add_regenerate(commands)
    _add_similar(commands)
    _add_classify(commands)
    _add_synth(commands)
    _add_slice(commands)
    _add_doctor(commands)
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
    command.add_argument("--data-dir", nargs="+", default=[], metavar="DIR", help="searched with sub-folders")
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
    command.add_argument("--tape", nargs="+", default=[], metavar="TAPE", help="recordings to slice, beside or for DIR")
    _add_slicing(command)
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


def _add_similar(commands) -> None:
    command = commands.add_parser("similar", help="the sounds of a folder that are nearest to one", allow_abbrev=False)
    command.add_argument("files", nargs="+", metavar="FILE", help="a sound, or several to mix")
    command.add_argument("--model", required=True, help="logdir, model file, or name of a shipped model")
    command.add_argument("--library-dir", required=True, metavar="DIR", help="where to search, with sub-folders")
    command.add_argument("--num-similar", type=_positive, default=10, help="how many (default 10)")
    command.add_argument("--weights", nargs="+", type=float, metavar="W", help="one a file (default: the mean)")
    command.add_argument("--offset", type=float, default=0.0, help="start in the file, seconds")
    command.add_argument("--metric", choices=("euclidean", "cosine"), default="euclidean")
    command.add_argument("--folder", metavar="DIR", help="only below this folder of the library")
    command.add_argument("--label", help="only from the library's folder of this name")
    command.add_argument("--shortest", type=float, default=0.0, help="seconds")
    command.add_argument("--longest", type=float, default=float("inf"), help="seconds")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=_similar)


def _add_classify(commands) -> None:
    command = commands.add_parser(
        "classify", help="sounds, or folders of them -> classes, and how well the model knows them", allow_abbrev=False
    )
    command.add_argument("files", nargs="+", metavar="FILE", help="a sound or a folder")
    command.add_argument("--model", required=True, help="logdir, model file, or name of a shipped model")
    command.add_argument("--labels", help="which label set (default: the first)")
    command.add_argument("--out-file", metavar="FILE.csv", help="write a table there")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=_classify)


def _add_doctor(commands) -> None:
    command = commands.add_parser("doctor", help="versions, devices, decoders, caches, and what is wrong with them")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=_doctor)


def _make_dataset(options) -> None:
    from vaelab import cutting, data

    if not options.data_dir and not options.tape:
        raise data.DatasetError("make-dataset: expected --data-dir or --tape, found neither")
    with _telling_warnings():
        dataset = cutting.dataset_of_tapes(
            options.tape,
            options.dataset_name,
            options.data_dir,
            _slice_config(options),
            _metadata(options),
            _drop(options),
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


def _similar(options) -> None:
    from vaelab import tables
    from vaelab.tool import SoundSampleTool

    tool = SoundSampleTool(options.model, options.library_dir, progress=not options.json)
    target = options.files if len(options.files) > 1 or options.weights else options.files[0]
    how = ("weights", "offset", "metric", "folder", "label", "shortest", "longest")
    found = tool.find_similar(target, options.num_similar, **{name: getattr(options, name) for name in how})
    rows = [
        {"file": str(path), "onset_s": float(onset), "distance": float(distance)}
        for path, onset, distance in zip(*found, strict=True)
    ]
    print(tables.as_json(rows) if options.json else tables.as_text(rows))


def _classify(options) -> None:
    from vaelab import tables
    from vaelab.tool import SoundSampleTool

    rows = tables.classes(SoundSampleTool(options.model), options.files, options.labels)
    if options.out_file:
        rows = list(rows)
        print(f"wrote {tables.write_csv(options.out_file, rows)}: {len(rows)} sounds")
    if options.json or not options.out_file:
        print(tables.as_json(rows) if options.json else tables.as_text(rows))


def _doctor(options) -> None:
    from vaelab import doctor

    found = doctor.examine()
    print(doctor.as_json(found) if options.json else doctor.as_text(found))


def _synth(options) -> None:
    from vaelab import synth

    print(f"wrote {synth.write_dataset(options.out_dir, options.per_class, options.seed)}")


def _add_slice(commands) -> None:
    command = commands.add_parser("slice", help="a long recording -> segments with time codes", allow_abbrev=False)
    command.add_argument("tape", metavar="TAPE", help="an audio file, or a video with vaelab[video]")
    command.add_argument("--out-dir", required=True, metavar="DIR", help="of the segments; again: labels.txt counts")
    command.add_argument("--references", action="store_true", help="write time codes only, no sounds")
    command.add_argument("--labels", metavar="FILE.txt", help="cut at these Audacity labels instead")
    command.add_argument("--no-picture", action="store_true", help="leave out slices.png")
    _add_slicing(command)
    command.set_defaults(run=_slice)


def _add_slicing(command) -> None:
    command.add_argument("--preset", metavar="KIND", help="of material: one_shots (default), loops, drones, speech")
    command.add_argument("--sensitivity", type=float, metavar="S", help="0 to 1 (default 0.5): how small is an onset")
    command.add_argument("--drop-silence", action="store_true", help="leave out segments no louder than hiss")
    command.add_argument("--drop-duplicates", action="store_true", help="leave out segments much like one before")
    command.add_argument(
        "--metadata", nargs="+", default=[], metavar="KEY=VALUE", help="title=... date=... of the tape"
    )


def _slice_config(options):
    import dataclasses

    from vaelab import config, slicing

    if (name := options.preset or "one_shots") not in slicing.PRESETS:
        raise config.ConfigError(f"preset: expected one of {', '.join(slicing.PRESETS)}, found {name!r}")
    knobs = {} if options.sensitivity is None else {"sensitivity": options.sensitivity}
    return dataclasses.replace(slicing.PRESETS[name], **knobs)


def _metadata(options) -> dict[str, str]:
    from vaelab import segments

    return segments.metadata(options.metadata)


def _drop(options):
    from vaelab import cutting

    return cutting.Drop(options.drop_silence, options.drop_duplicates)


@contextmanager
def _telling_warnings() -> Iterator[None]:
    """Say warnings, such as that of a tape that breaks off, as mistakes are said."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", UserWarning)
        yield
    for warning in told:
        print(f"vaelab: {warning.message}", file=sys.stderr)


def _slice(options) -> None:
    from vaelab import cutting, files, plots, segments

    metadata, config = _metadata(options), _slice_config(options)
    with _telling_warnings():
        cut, heard = cutting.cut_tape(
            options.tape, options.out_dir, config, metadata, options.references, _drop(options), options.labels
        )
    print(segments.report(cut, options.out_dir))
    if not options.no_picture:
        with files.replacing(Path(options.out_dir) / "slices.png") as temporary:
            plots.tape(heard, [(one.start, one.end) for one in cut.segments]).savefig(temporary, dpi=100)


if __name__ == "__main__":
    sys.exit(main())
