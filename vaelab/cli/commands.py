"""The actions behind the commands of `vaelab`; each imports what it needs when it runs."""

import inspect
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

KNOBS = {
    "model": ("latent_dim",),
    "train": ("batch_size", "beta", "label_weight", "learning_rate"),
}  # that `train` has options for


def make_dataset(options) -> None:
    """Folders, sound fonts and tapes to a dataset."""
    from vaelab import data, files
    from vaelab.datasets import manifest

    if not options.data_dir and not options.tape:
        raise data.DatasetError("make-dataset: expected --data-dir or --tape, found neither")
    with _telling_warnings():
        dataset = data.dataset_of_tapes(
            options.tape,
            options.dataset_name,
            data_dirs=options.data_dir,
            **{**_slicing(options), **_keywords(data.make_dataset, options)},
        )
    print(dataset.report())
    if dataset.skipped:
        print(f"  all skipped files: {files.from_home(options.home) / dataset.name / manifest.SKIPPED}")


def train(options) -> None:
    """A dataset to a model."""
    from vaelab import files, training
    from vaelab.models import devices
    from vaelab.ui import plots

    if options.join:
        devices.join(*options.join)
    logdir = files.from_home(options.logdir)

    def draw(evaluation: training.Evaluation) -> None:
        pictures = {"training": plots.training_curves(evaluation.history)}
        for name, names in evaluation.model.config.labels:
            pictures[f"confusion_{name}"] = plots.confusion(evaluation.confusion, names)
        for name, picture in pictures.items():
            with files.replacing(logdir / f"{name}.png") as temporary:
                picture.savefig(temporary)

    training.train(
        logdir,
        options.dataset,
        _config(options, logdir),
        seed=options.seed,
        num_steps=options.num_steps,
        home=options.home,
        on_evaluation=draw,
    )
    print(f"the best model is {logdir / 'best.safetensors'}")


def _config(options, logdir: Path) -> Any:
    """The config of a run with the knobs that a file and options set; None where they set none."""
    import dataclasses

    from vaelab import training
    from vaelab.config import Config

    before = training.config_in(logdir)
    config = Config.from_file(options.config, before) if options.config else before or Config()
    knobs = {
        part: {name: value for name in names if (value := getattr(options, name, None)) is not None}
        for part, names in KNOBS.items()
    }
    if not (options.config or any(knobs.values())):
        return None
    return dataclasses.replace(
        config, **{part: dataclasses.replace(getattr(config, part), **values) for part, values in knobs.items()}
    )


def generate(options) -> None:
    """New sounds."""
    from vaelab import audio

    audio.check_format(options.out_file, getattr(options, "bits", 16))
    from vaelab.play import outputs

    tool = _tool(options.model)
    settings = _keywords(tool.generate, options)
    if not settings.get("audio_files"):
        settings["audio_files"] = None
    sounds = tool.generate(**settings)
    sounds = sounds if isinstance(sounds, list) else [sounds]
    paths = ", ".join(map(str, outputs(options.out_file, len(sounds))))
    print(f"wrote {len(sounds)} of {sounds[0].seconds:.2f} s: {paths}")


def regenerate(options) -> None:
    """A written sound again."""
    from vaelab import audio
    from vaelab.models import devices
    from vaelab.play import regenerate

    recipe = audio.Recipe(audio.read_recipe(options.file)).absolute(os.path.dirname(options.file))
    audio.check_writable(options.out_file, options.bits, audio.sources_of(recipe), overwrite=options.overwrite)
    devices.cache_where_possible()
    with _telling_warnings():
        sound = regenerate(
            options.file,
            options.model,
            phase=False if options.no_phase else None,
            library_dir=options.library_dir,
        )
    path = sound.save(options.out_file, bits=options.bits, overwrite=options.overwrite)
    print(f"wrote {sound.seconds:.2f} s: {path}")


def transcode_tape(options) -> None:
    """The segments of a recording, played by other sounds."""
    from vaelab import audio
    from vaelab.datasets import segments
    from vaelab.text import printable, timecode

    cut = segments.read(options.folder)
    sources = [cut.path, *(Path(options.folder) / part.path for part in cut.segments if part.path)]
    audio.check_writable(options.out_file, options.bits, sources, overwrite=options.overwrite)
    from vaelab.play import transcode

    tool = _tool(options.model, options.library_dir, home=options.home)
    settings = _keywords(transcode.transcode, options)
    sound = transcode.transcode(tool, relatives=options.library_dir is not None, progress=True, **settings)
    path = sound.save(options.out_file, bits=options.bits, overwrite=options.overwrite)
    start = sound.recipe["start"]
    print(
        f"wrote {sound.seconds:.2f} s: {path}\n  {len(sound.recipe['played'])} of {len(cut.segments)} segments of "
        f"{printable(cut.path)}, from {timecode(start)} to {timecode(start + sound.seconds)} of {timecode(cut.seconds)}"
    )


def find_similar(options) -> None:
    """The sounds of a folder nearest to one."""
    from vaelab.cli import tables

    how = {"library_hop_seconds": options.hop_seconds, "home": options.home, "progress": not options.json}
    tool = _tool(options.model, options.library_dir, **how)
    target = options.files if len(options.files) > 1 or options.weights else options.files[0]
    similar = tool.find_similar(target, **_keywords(tool.find_similar, options))
    rows = [
        {"file": str(path), "onset_s": float(onset), "distance": float(distance)}
        for path, onset, distance in zip(*similar, strict=True)
    ]
    print(tables.as_json(rows) if options.json else tables.as_text(rows))


def classify(options) -> None:
    """Classes of sounds, and how well the model knows them."""
    from vaelab import audio
    from vaelab.cli import tables
    from vaelab.text import printable

    if options.out_file:
        tables.check_csv(options.out_file)
        audio.check_free(options.out_file, overwrite=options.overwrite)
    tool = _tool(options.model)
    rows = tables.classes(tool, options.files)
    if options.out_file:
        rows = list(rows)
        print(f"wrote {tables.write_csv(options.out_file, rows)}: {len(rows)} sounds")
    if options.json or not options.out_file:
        print(tables.as_json(rows) if options.json else tables.as_text(rows))
    if not options.json:
        print(f"classes: {', '.join(map(printable, tool.class_names))}")


def tell_state(options) -> None:
    """Print the state of the installation."""
    from vaelab.cli import doctor

    state = doctor.examine(options.home)
    print(doctor.as_json(state) if options.json else doctor.as_text(state))


def synth(options) -> None:
    """Built-in sounds."""
    from vaelab.audio import synth

    root = synth.write_dataset(options.out_dir, options.per_class, seed=options.seed, overwrite=options.overwrite)
    print(f"wrote {root}")


def unpack(options) -> None:
    """A sound font to a folder of sounds."""
    from vaelab.datasets import unpacking

    print(unpacking.unpack(**_keywords(unpacking.unpack, options)).report(options.out_dir))


def _tool(*arguments: Any, **settings: Any) -> Any:
    """A `SoundSampleTool`; what it compiles is stored for the next command."""
    from vaelab.models import devices
    from vaelab.play import SoundSampleTool

    devices.cache_where_possible()
    return SoundSampleTool(*arguments, **settings)


def _keywords(function: Callable, options) -> dict[str, Any]:
    """The options that are parameters of a function."""
    return {name: value for name, value in vars(options).items() if name in inspect.signature(function).parameters}


def _slicing(options) -> dict[str, Any]:
    """Config, metadata and what to drop, as those take them that cut tapes."""
    import dataclasses

    from vaelab import config, slicing
    from vaelab.datasets import cutting, segments

    if (preset := options.preset or "one_shots") not in slicing.PRESETS:
        raise config.ConfigError(f"preset: expected one of {', '.join(slicing.PRESETS)}, found {preset!r}")
    names = ("sensitivity", "hop_seconds", "window_seconds")
    knobs = {name: value for name in names if (value := getattr(options, name, None)) is not None}
    if "window_seconds" in knobs and not knobs.get("hop_seconds"):
        raise config.ConfigError("--window-seconds: expected --hop-seconds above 0 beside it, found none")
    return {
        "config": dataclasses.replace(slicing.PRESETS[preset], **knobs),
        "metadata": segments.metadata(options.metadata),
        "drop": cutting.Drop(options.drop_silence, options.drop_duplicates),
        "overwrite": options.overwrite,
    }


@contextmanager
def _telling_warnings() -> Iterator[None]:
    """Say warnings, such as that of a tape that breaks off, as mistakes are said."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    for warning in caught:
        print(f"vaelab: {warning.message}", file=sys.stderr)


def slice_tape(options) -> None:
    """A recording to segments."""
    from vaelab import files
    from vaelab.datasets import cutting, segments
    from vaelab.ui import plots

    settings = {**_slicing(options), "references": options.references, "labels": options.labels}
    with _telling_warnings():
        cut, recording = cutting.cut_tape(options.tape, options.out_dir, **settings)
    print(segments.report(cut, options.out_dir))
    if not options.no_picture:
        with files.replacing(Path(options.out_dir) / "slices.png") as temporary:
            plots.tape(recording, [(segment.start, segment.end) for segment in cut.segments]).savefig(
                temporary, dpi=100
            )


def save_kit(options) -> None:
    """Sounds as a drum kit."""
    from vaelab.datasets import kits
    from vaelab.text import printable

    sounds = [kits.read_sound(path) for path in options.files]
    names = [Path(path).stem for path in options.files]
    folder = kits.save_kit(options.out_dir, sounds, names, title=options.title, bits=options.bits)
    print(f"saved {len(sounds)} sounds as a kit: {printable(folder)}")


def draw_map(options) -> None:
    """A picture of a library."""
    from vaelab import audio, files
    from vaelab.library import umap_map
    from vaelab.ui import plots

    if Path(options.out_file).suffix.lower() not in (".png", ".pdf", ".svg"):
        raise OSError(f"{options.out_file}: expected a name in .png, .pdf or .svg")
    audio.check_free(options.out_file, overwrite=options.overwrite)
    library = _tool(options.model, library_dir=options.library_dir, home=options.home).library
    coordinates = umap_map.map_coordinates(library, seed=options.seed, neighbors=options.neighbors)
    folders = [os.path.relpath(path.parent, options.library_dir) for path in library.files]
    picture = plots.latent_map(coordinates, [None if folder == "." else folder for folder in folders])
    with files.replacing(files.from_home(options.out_file)) as temporary:
        picture.savefig(temporary, dpi=150, format=Path(options.out_file).suffix[1:].lower())
    print(f"drew {len(coordinates)} sounds: {options.out_file}")


def share(options) -> None:
    """A library and its model as a page that plays offline."""
    from vaelab import sharing

    sharing.check(options.out_file, options.sounds, options.megabytes, overwrite=options.overwrite)
    tool = _tool(options.model, library_dir=options.library_dir, home=options.home)
    sounds = options.sounds
    if sounds is None and sys.stdin and sys.stdin.isatty() and (count := sharing.recordings(tool)):
        sounds = "real" if _agrees(count) else "made"
    settings = {name: value for name, value in _keywords(sharing.share, options).items() if name != "sounds"}
    print(sharing.share(tool, options.out_file, sounds=sounds, **settings).report())


def _agrees(count: int) -> bool:
    """Ask a person on a terminal whether recordings may be in a page; the end of the input is no."""
    question = f"{count} sounds are recordings, which everybody who has the page can copy. Put them in? [y/N] "
    try:
        return input(question).strip().lower() in ("y", "yes")
    except EOFError:
        return False


def open_app(options) -> None:
    """Mixer and map as a web page."""
    from vaelab.cli.app import serve

    folder = options.out_dir
    serve(
        options.model,
        options.files,
        options.library_dir,
        folder,
        options.port,
        not options.no_browser,
        instrument=options.instrument,
    )
