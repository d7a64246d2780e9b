"""The `vaelab` command: a thin skin on the library.

Exit status: 0 done, 1 the work failed (one line on stderr says why), 2 wrong usage.
"""

import argparse
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from vaelab import VaelabError
from vaelab.cli import commands as actions
from vaelab.cli.arguments import Command


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    options = parser().parse_args(arguments)
    os.environ["JAX_ENABLE_X64"] = "0"  # models compute in float32, whatever other programs want
    asked = threading.Event()
    if arguments is None:  # in a process of its own, where warnings are for people
        warnings.formatwarning = lambda message, *_, **__: f"vaelab: {message}\n"
    try:
        with _interruptible(asked, own_process=arguments is None):
            options.run(options)
    except (Exception, KeyboardInterrupt) as error:
        # An import that is broken off raises whatever it likes.
        if asked.is_set() or isinstance(error, KeyboardInterrupt):
            print(STOPPED, file=sys.stderr)
            if arguments is None and not _has_workers():
                _leave()
        elif isinstance(error, VaelabError | OSError):
            print(f"vaelab: {_in_flags(str(error), options.command)}", file=sys.stderr)
        else:
            raise
        return 1
    return 0


def _has_workers() -> bool:
    """True if there are processes that joblib ends and sweeps up after when this one ends."""
    pools = sys.modules.get("joblib.externals.loky.reusable_executor")
    return getattr(pools, "_executor", None) is not None


def _leave() -> None:
    """End the command's own process as it is: half an import does not survive the interpreter's own end."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(1)


def _is_importing(frame: FrameType | None) -> bool:
    """True if a frame was entered, at whatever remove, by an import."""
    while frame is not None and frame.f_code.co_filename != IMPORTER:
        frame = frame.f_back
    return frame is not None


@contextmanager
def _interruptible(asked: threading.Event, own_process: bool) -> Iterator[None]:
    """Let Ctrl-C set an event beside raising KeyboardInterrupt; then nothing is printed of what breaks on the way.

    An exception that is lost, as in a callback, is raised again after `AGAIN_S`. While a command in its own process
    imports, nothing is raised: extension modules that are half imported may abort. It ends there and then.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    timers: list[threading.Timer] = []

    def interrupt(_: int, frame: FrameType | None) -> None:
        asked.set()
        if own_process and _is_importing(frame) and not _has_workers():
            os.write(2, f"{STOPPED}\n".encode())  # a print may be what is interrupted
            os._exit(1)
        sys.unraisablehook = sys.excepthook = lambda *_: None  # extension modules print by the second
        timers.append(threading.Timer(AGAIN_S, os.kill, (os.getpid(), signal.SIGINT)))
        timers[-1].daemon = True
        timers[-1].start()
        raise KeyboardInterrupt

    hooks = sys.unraisablehook, sys.excepthook
    previous = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()
        signal.signal(signal.SIGINT, previous)
        sys.unraisablehook, sys.excepthook = hooks


def _in_flags(text: str, command: Command) -> str:
    """An error of the library as the command's user knows it: options in place of Python's keywords."""
    for keywords, flags in FLAGS.items():
        text = re.sub(keywords, flags, text)
    name, colon, rest = text.partition(":")
    flag = command.flag(name.replace(" ", "_"))
    return f"{flag}{colon}{rest}" if flag and colon else text


def parser() -> argparse.ArgumentParser:
    """The command line, without any heavy import."""
    top = argparse.ArgumentParser(
        prog="vaelab", description="Turn a folder of sounds into a latent space you can play.", allow_abbrev=False
    )
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND", parser_class=Command)
    for name, (add_options, run, text) in COMMANDS.items():
        command = commands.add_parser(name, help=text, allow_abbrev=False)
        command.set_defaults(run=run, command=command)
        add_options(command)
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


def _make_dataset_options(command) -> None:
    command.add_argument(
        "--data-dir", nargs="+", default=[], metavar="DIR", help="searched with sub-folders; or a sound font (.sf2)"
    )
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
    _home_option(command)
    _slicing_options(command)


def _train_options(command) -> None:
    command.add_argument("--logdir", required=True, help="folder of the model")
    command.add_argument("--dataset", metavar="NAME", help="needed for a new model")
    command.add_argument("--num-steps", type=_positive, metavar="N", help="total step to stop at (default: by itself)")
    command.add_argument("--config", metavar="FILE.json", help="overrides of the knobs; the options below win")
    command.add_argument("--batch-size", type=_positive, metavar="N", help="sounds per step (default 16)")
    command.add_argument("--beta", type=float, metavar="B", help="weight of the KL term (default 1)")
    command.add_argument("--learning-rate", type=float, metavar="R", help="after warm-up (default 0.0005)")
    command.add_argument(
        "--label-weight", type=float, metavar="W", help="bring classes together on the map, beside timbre (default 0)"
    )
    command.add_argument("--latent-dim", type=_positive, metavar="N", help="size of the latent space (default 256)")
    _home_option(command)
    command.add_argument("--seed", type=_natural, default=0, help="of a new model (default 0)")
    command.add_argument(
        "--join",
        nargs=3,
        metavar=("ADDRESS:PORT", "HOSTS", "HOST"),
        help="train on several hosts that see the same folders: where host 0 listens, how many, which this is (from 0)",
    )


def _generate_options(command) -> None:
    command.argument_default = argparse.SUPPRESS  # the defaults are those of `SoundSampleTool.generate`
    command.add_argument("audio_files", nargs="*", metavar="FILE", help="sounds to mix; none: random")
    command.add_argument("--model", required=True, help="logdir, model file, or name of a shipped model")
    command.add_argument("--out-file", required=True, help=".wav, .flac or .aiff")
    command.add_argument("--weights", nargs="+", type=float, metavar="W", help="one a file (default: the mean)")
    command.add_argument(
        "--no-normalize-weights", action="store_false", dest="normalize_weights", help="plain vector arithmetic"
    )
    command.add_argument("--variance", type=float, help="of noise added to the embedding")
    command.add_argument("--spread", type=float, help="scale of draws from the posterior")
    command.add_argument("--temperature", type=float, help="of random sounds")
    command.add_argument(
        "--prior", choices=("sounds", "normal"), help="of random sounds: about training sounds, or N(0, I)"
    )
    command.add_argument("--label", metavar="CLASS", help="of random sounds: about training sounds of this class")
    command.add_argument("--count", type=_positive, help="how many (files are numbered)")
    command.add_argument(
        "--offsets", nargs="+", type=float, metavar="S", help="start in each file, seconds (default: as in similar)"
    )
    command.add_argument(
        "--no-phase", action="store_false", dest="phase", help="find a phase instead of taking the sources'"
    )
    command.add_argument("--detail", type=float, metavar="D", help="0 to 1: detail of the files kept (default 1)")
    command.add_argument("--channels", choices=("mono", "source"), help="source: two where a file has two")
    command.add_argument("--refine", type=_natural, metavar="N", help="gradient steps on each embedding")
    command.add_argument("--seconds", type=float, help="length (default: one clip)")
    command.add_argument("--bits", type=int, choices=(16, 24, 32), help="of the file; 32 is float")
    command.add_argument("--seed", type=_natural)
    _overwrite_option(command)


def _regenerate_options(command) -> None:
    command.add_argument("file", metavar="FILE", help="a sound that generate wrote")
    command.add_argument("--out-file", required=True, help=".wav, .flac or .aiff")
    command.add_argument("--model", help="logdir, model file, or name (default: the one in the recipe)")
    command.add_argument(
        "--no-phase", action="store_true", help="without the sources' phase, detail and channels, if they are gone"
    )
    command.add_argument("--library-dir", metavar="DIR", help="also look here for sources that were moved or renamed")
    command.add_argument("--bits", type=int, choices=(16, 24, 32), default=16, help="of the file; 32 is float")
    _overwrite_option(command)


def _transcode_options(command) -> None:
    command.add_argument("folder", metavar="DIR", help="the segments of a tape, as `vaelab slice` writes them")
    command.add_argument("--model", required=True, help="logdir, model file, or name of a shipped model")
    command.add_argument("--out-file", required=True, help=".wav, .flac or .aiff")
    command.add_argument("--start", type=float, default=0.0, metavar="S", help="on the tape, seconds (default 0)")
    command.add_argument("--seconds", type=float, metavar="S", help="to play (default: to the end of the tape)")
    command.add_argument(
        "--detail", type=float, default=0.5, metavar="D", help="0 to 1, of the segments' own (default 0.5)"
    )
    command.add_argument("--library-dir", metavar="DIR", help="play the nearest sounds of this folder instead")
    _home_option(command)
    command.add_argument("--bits", type=int, choices=(16, 24, 32), default=16, help="of the file; 32 is float")
    _overwrite_option(command)


def _home_option(command) -> None:
    command.add_argument("--home", metavar="DIR", default="datasets", help="where datasets live (default: datasets)")


def _overwrite_option(command) -> None:
    command.add_argument(
        "--overwrite", action="store_true", help="also replace files that vaelab did not write, and sources"
    )


def _synth_options(command) -> None:
    command.add_argument("--out-dir", required=True, metavar="DIR")
    command.add_argument("--per-class", type=_positive, default=40, help="sounds of each kind (default 40)")
    command.add_argument("--seed", type=_natural, default=0)
    _overwrite_option(command)


def _similar_options(command) -> None:
    command.add_argument("files", nargs="+", metavar="FILE", help="a sound, or several to mix")
    command.add_argument("--model", required=True, help="logdir, model file, or name of a shipped model")
    command.add_argument("--library-dir", required=True, metavar="DIR", help="where to search, with sub-folders")
    command.add_argument(
        "--hop-seconds", type=float, metavar="S", help="compare all windows of its files, so far apart"
    )
    command.add_argument("--num-similar", type=_positive, default=10, help="how many (default 10)")
    command.add_argument("--weights", nargs="+", type=float, metavar="W", help="one a file (default: the mean)")
    command.add_argument("--offset", type=float, help="start in the file, seconds (default: its first sound)")
    command.add_argument("--by", choices=("timbre", "embedding"), default="timbre", help="what to compare")
    command.add_argument("--metric", choices=("euclidean", "cosine"), default="euclidean")
    command.add_argument("--folder", metavar="DIR", help="only below this folder of the library")
    command.add_argument("--label", help="only from the library's folder of this name")
    command.add_argument("--shortest", type=float, default=0.0, help="seconds")
    command.add_argument("--longest", type=float, default=float("inf"), help="seconds")
    _home_option(command)
    command.add_argument("--json", action="store_true", help="print JSON")


def _classify_options(command) -> None:
    command.add_argument("files", nargs="+", metavar="FILE", help="a sound or a folder")
    command.add_argument("--model", required=True, help="logdir, model file, or name of a shipped model")
    command.add_argument("--out-file", metavar="FILE.csv", help="write a table there")
    command.add_argument("--overwrite", action="store_true", help="replace a file of that name")
    command.add_argument("--json", action="store_true", help="print JSON")


def _doctor_options(command) -> None:
    _home_option(command)
    command.add_argument("--json", action="store_true", help="print JSON")


def _slice_options(command) -> None:
    command.add_argument("tape", metavar="TAPE", help="an audio file, or a video with vaelab[video]")
    command.add_argument("--out-dir", required=True, metavar="DIR", help="of the segments; again: labels.txt counts")
    command.add_argument("--references", action="store_true", help="write time codes only, no sounds")
    command.add_argument("--labels", metavar="FILE.txt", help="cut at these Audacity labels instead")
    command.add_argument("--no-picture", action="store_true", help="leave out slices.png")
    _slicing_options(command)


def _slicing_options(command) -> None:
    command.add_argument(
        "--preset", metavar="KIND", help="of material: one_shots (default), breaks, loops, drones, speech"
    )
    command.add_argument("--sensitivity", type=float, metavar="S", help="0 to 1 (default 0.5): how small is an onset")
    for name, text in (
        ("--hop-seconds", "cut longer files into windows, so far apart"),
        ("--window-seconds", "length of these windows (default 2)"),
    ):
        command.add_argument(name, type=float, metavar="S", default=argparse.SUPPRESS, help=text)
    command.add_argument("--drop-silence", action="store_true", help="leave out segments no louder than hiss")
    command.add_argument("--drop-duplicates", action="store_true", help="leave out segments much like one before")
    command.add_argument(
        "--metadata", nargs="+", default=[], metavar="KEY=VALUE", help="title=... date=... of the tape"
    )
    _overwrite_option(command)


def _unpack_options(command) -> None:
    command.argument_default = argparse.SUPPRESS  # the defaults are those of `unpacking.unpack`
    command.add_argument("path", metavar="FONT", help="a sound font, .sf2 or .sf3")
    command.add_argument("--out-dir", required=True, metavar="DIR", help="of the sounds, one folder a preset")
    command.add_argument("--seconds", type=float, help="length of notes that loop (default 2)")
    _overwrite_option(command)


def _kit_options(command) -> None:
    command.add_argument("files", nargs="+", metavar="FILE", help="sounds, in the order of their keys")
    command.add_argument("--out-dir", required=True, metavar="DIR", help="of the kit: a new or empty folder")
    command.add_argument("--title", help="of the kit (default: the folder's name)")
    command.add_argument("--bits", type=int, choices=(16, 24, 32), default=16, help="of the files; 32 is float")


def _map_options(command) -> None:
    command.add_argument("--model", required=True, help="logdir, model file, or name of a shipped model")
    command.add_argument("--library-dir", required=True, metavar="DIR", help="sounds, searched with sub-folders")
    command.add_argument("--out-file", required=True, help=".png, .pdf or .svg")
    command.add_argument("--neighbors", type=_positive, default=15, help="few: fine clusters, many: the large shape")
    command.add_argument("--seed", type=_natural, default=0, help="the same seed, the same map (default 0)")
    _home_option(command)
    command.add_argument("--overwrite", action="store_true", help="replace a file of that name")


def _share_options(command) -> None:
    command.add_argument("--model", required=True, help="logdir, model file, or name of a shipped model")
    command.add_argument("--library-dir", required=True, metavar="DIR", help="sounds, searched with sub-folders")
    command.add_argument("--out", "--out-file", required=True, dest="out_file", metavar="FILE.html", help="the page")
    command.add_argument("--megabytes", type=float, default=10.0, metavar="MB", help="its largest size (default 10)")
    command.add_argument(
        "--sounds",
        choices=("real", "made", "none"),
        help="in the page: all; built-in and generated ones; none (default: all, asking first if there are recordings)",
    )
    command.add_argument("--title", help="of the page (default: the folder's name)")
    command.add_argument("--seed", type=_natural, default=0, help="of the map (default 0)")
    _home_option(command)
    command.add_argument("--overwrite", action="store_true", help="replace a file of that name")


def _app_options(command) -> None:
    command.add_argument("model", help="logdir, model file, or name of a shipped model")
    command.add_argument("files", nargs="*", metavar="FILE", help="the mixer's first sounds")
    command.add_argument("--library-dir", metavar="DIR", help="sounds for the map and for similar ones")
    command.add_argument("--out-dir", default="generated", metavar="DIR", help="where sounds are saved")
    command.add_argument("--port", type=_positive, help="of localhost (default: a free one)")
    command.add_argument("--instrument", action="store_true", help="map, mix, sound and pads on one surface")
    command.add_argument("--no-browser", action="store_true", help="only print the address")


STOPPED = "vaelab: stopped"
IMPORTER = "<frozen importlib._bootstrap>"  # file of the frames that an import enters
AGAIN_S = 2.0
FLAGS = {  # Python's keywords in errors, and the options that they are here
    r"normalize_weights=False": "--no-normalize-weights",
    r"\bphase=False": "--no-phase",
    r"overwrite=True": "--overwrite",
    r"\bsounds='(\w+)'": r"--sounds \1",
    r"open the tool with library_dir=FOLDER": "only SoundSampleTool can open one",
    r"\blibrary_hop_seconds\b": "--hop-seconds",
    r"\blibrary_dir=FOLDER": "--library-dir FOLDER",
    r"\bname the right one with model=": "name the right one with --model",
    r"audio_files, after out_file": "front of --out-file",
    r"\baudio_files\b": "files",
}
COMMANDS = {
    "make-dataset": (_make_dataset_options, actions.make_dataset, "folders of sounds -> a dataset"),
    "train": (_train_options, actions.train, "dataset -> a model; an existing logdir is resumed"),
    "generate": (_generate_options, actions.generate, "a model -> new sounds, random or mixed from files"),
    "map": (_map_options, actions.draw_map, "a model and a folder of sounds -> a picture of all"),
    "share": (_share_options, actions.share, "a model and a folder of sounds -> a page that plays offline"),
    "app": (_app_options, actions.open_app, "mixer and map as a web page on localhost"),
    "regenerate": (_regenerate_options, actions.regenerate, "a written sound -> the same again"),
    "similar": (_similar_options, actions.find_similar, "the sounds of a folder that are nearest to one"),
    "classify": (
        _classify_options,
        actions.classify,
        "sounds, or folders of them -> classes, and how well the model knows them",
    ),
    "synth": (_synth_options, actions.synth, "write built-in sounds, one folder a class"),
    "unpack": (_unpack_options, actions.unpack, "a sound font -> its sounds, one folder a preset"),
    "kit": (_kit_options, actions.save_kit, "sounds -> a drum kit for Hydrogen and samplers (.sfz)"),
    "slice": (_slice_options, actions.slice_tape, "a long recording -> segments with time codes"),
    "transcode": (_transcode_options, actions.transcode_tape, "the segments of a recording -> played by other sounds"),
    "doctor": (_doctor_options, actions.tell_state, "versions, devices, decoders, caches, and what is wrong with them"),
}
