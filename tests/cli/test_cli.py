"""The command: what is documented works, a mistake is one line on stderr and an exit status."""

import contextlib
import inspect
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import soundfile

from vaelab import SoundSampleTool, audio, cli
from vaelab.audio import built_in_tape
from vaelab.cli import command_line
from vaelab.models import devices


@pytest.fixture(scope="module")
def folder(tmp_path_factory, sounds, tiny):
    """A working folder with a dataset, a config and a model trained for some steps, all made by the command."""
    folder = tmp_path_factory.mktemp("work here")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        (folder / "tiny.json").write_text(json.dumps(tiny.to_dict()))
        command = ["make-dataset", "--data-dir", str(sounds / "kick"), str(sounds / "clap"), "--dataset-name", "Two"]
        assert cli.main(command) == 0
        command = ["train", "--logdir", "model_Two", "--dataset", "Two", "--config", "tiny.json"]
        assert cli.main([*command, "--num-steps", "5"]) == 0
    return folder


@pytest.fixture
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)
    return folder


def run(capsys, *arguments):
    status = cli.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_training_leaves_model_and_pictures(here):
    names = {path.name for path in (here / "model_Two").iterdir()}
    expected = {"best.safetensors", "state-00000005.safetensors", "metrics.jsonl", "run.json", "training.png"}
    assert expected <= names


def test_training_goes_on_without_naming_the_dataset(here, capsys):
    status, out, _ = run(capsys, "train", "--logdir", "model_Two", "--num-steps", 7)
    assert status == 0
    assert "best.safetensors" in out
    assert (here / "model_Two" / "state-00000007.safetensors").exists()


def test_generate_random(here, capsys):
    status, out, _ = run(capsys, "generate", "--model", "model_Two", "--out-file", "generated.wav")
    assert status == 0
    assert "seed " in out
    assert soundfile.info("generated.wav").frames == 4000


def test_generate_a_weighted_mix(here, capsys, sounds):
    files = sorted((sounds / "kick").iterdir())[:2]
    command = ["generate", "--model", "model_Two", *files, "--weights", 1, -2, "--variance", 0.1, "--seed", 3]
    status, _, _ = run(capsys, *command, "--out-file", "g.wav")
    assert status == 0
    recipe = audio.read_recipe("g.wav")
    assert recipe["weights"] == [1, -2]
    assert (recipe["variance"], recipe["seed"]) == (0.1, 3)
    command = ["generate", "--model", "model_Two", *files, "--weights", 1, -1, "--no-normalize-weights"]
    assert run(capsys, *command, "--out-file", "h.flac")[0] == 0


def test_generate_in_stereo(here, capsys, sounds):
    (path,) = sorted((sounds / "kick").iterdir())[:1]
    samples, rate = soundfile.read(path)
    soundfile.write("stereo.wav", samples[:, None] * [1, -0.5], rate)
    command = ["generate", "--model", "model_Two", "stereo.wav", "--channels", "source", "--out-file", "s.wav"]
    assert run(capsys, *command)[0] == 0
    assert soundfile.info("s.wav").channels == 2
    assert run(capsys, *command, "--no-phase")[0] == 1
    with pytest.raises(SystemExit) as stop:
        run(capsys, *command[:-3], "left", *command[-2:])
    assert stop.value.code == 2


def test_generate_offers_every_setting_of_the_tool():
    command = """generate a.wav --model m --out-file x.wav --weights 1 --no-normalize-weights --variance 1 --spread 1
        --temperature 1 --prior normal --count 1 --offsets 0
        --no-phase --detail 1 --channels source --label kick --refine 1 --seconds 1 --bits 16 --seed 1 --overwrite"""
    options = vars(cli.parser().parse_args(command.split()))
    settings = inspect.signature(SoundSampleTool.generate).parameters
    assert options.keys() - {"model", "run", "command"} == settings.keys() - {"self", "directions"}
    fewest = vars(cli.parser().parse_args(command.split()[:6]))
    assert fewest.keys() - {"model", "run", "command"} == {"audio_files", "out_file"}


def test_classes_come_from_folders(here, capsys, sounds):
    status, out, _ = run(capsys, "make-dataset", "--data-dir", sounds, "--dataset-name", "Ten", "--classes")
    assert status == 0
    assert "10 classes" in out
    assert "60 scanned = 60 used + 0 skipped" in out


def test_built_in_sounds(here, capsys):
    status, out, _ = run(capsys, "synth", "--out-dir", "built in", "--per-class", 1)
    assert status == 0
    assert "built in" in out
    assert len(list((here / "built in").rglob("*.wav"))) >= 10


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["make-dataset", "--data-dir", "nowhere", "--dataset-name", "X"], "nowhere: expected a folder of sounds"),
        (["make-dataset", "--data-dir", "empty", "--dataset-name", "X"], "expected at least 2 different sounds"),
        (["make-dataset", "--data-dir", "single", "--dataset-name", "X"], "expected at least 2 different sounds"),
        (["make-dataset", "--data-dir", ".", "--dataset-name", "../X"], "--dataset-name: expected a plain folder name"),
        (
            ["make-dataset", "--data-dir", ".", "--dataset-name", "X", "--train-ratio", "2"],
            "--train-ratio: expected a share",
        ),
        (["train", "--logdir", "m"], "m: holds no run to resume; name a dataset"),
        (["train", "--logdir", "m", "--dataset", "Nope"], "no dataset 'Nope': looked for datasets/Nope/manifest.json"),
        (["train", "--logdir", "m", "--dataset", "Two", "--config", "bad.json"], "unknown latent; valid keys"),
        (["train", "--logdir", "m", "--dataset", "Two", "--config", "no.json"], "no.json: expected a JSON file"),
        (["generate", "--model", "nope", "--out-file", "x.wav"], "no model 'nope': looked for the file nope"),
        (["generate", "--model", "model_Two", "--out-file", "x.mp3"], "x.mp3: expected a name ending in"),
        (["generate", "--model", "model_Two", "a.wav", "--out-file", "x.wav"], "a.wav: expected a sound file"),
        (["generate", "--model", "bad.json", "--out-file", "x.wav"], "bad.json: expected a vaelab checkpoint"),
        (
            ["generate", "--model", "model_Two", "--bits", "32", "--out-file", "x.flac"],
            "expected 16, 24 bits for .flac",
        ),
        (["generate", "--model", "model_Two", "--seconds", "1e6", "--out-file", "x.wav"], "seconds: expected"),
        (
            ["generate", "--model", "model_Two", "--offsets", "-1", "--out-file", "x.wav", "single/a.wav"],
            "offsets: expec",
        ),
        (["regenerate", "single/a.wav", "--out-file", "x.wav"], "a.wav: expected a recipe, found none"),
        (["generate", "--model", "model_Two", "--variance", "-1", "--out-file", "x.wav", "single/a.wav"], "variance"),
    ],
)
def test_a_mistake_is_one_clear_line(here, capsys, sounds, command, message):
    (here / "empty").mkdir(exist_ok=True)
    (here / "single").mkdir(exist_ok=True)
    (here / "single" / "a.wav").write_bytes(next((sounds / "kick").iterdir()).read_bytes())
    (here / "bad.json").write_text('{"model": {"latent": 1}}')
    status, _, err = run(capsys, *command)
    assert status == 1
    (said,) = [line for line in err.splitlines() if not line.startswith("reading") and line]  # besides a bar
    assert said.startswith("vaelab: ")
    assert message in said
    assert not (here / "m").exists()


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["dance"],
        ["train"],
        ["train", "--logdir", "m", "--num-steps", "0"],
        ["generate", "--model", "m", "--out-file", "x.wav", "--seed", "-1"],
        ["generate", "--model", "m", "--out-file", "x.wav", "--weigths", "1"],
    ],
)
def test_wrong_usage_is_status_two(command, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(command)
    assert ended.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_help_loads_nothing_heavy():
    code = "import sys; from vaelab import cli; cli.parser().format_help(); print('jax' in sys.modules)"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == "False"


def test_a_resumed_run_takes_overrides_of_its_own_config(here, capsys):
    (here / "other.json").write_text('{"train": {"batch_size": 3}}')
    command = ["train", "--logdir", "model_Two", "--config", "other.json", "--num-steps", 1]
    status, out, _ = run(capsys, *command)
    assert status == 0
    assert "with train.batch_size 3 instead of" in out
    (here / "other.json").write_text('{"model": {"width": 12}, "train": {"batch_size": 4}}')
    status, _, err = run(capsys, "train", "--logdir", "model_Two", "--config", "other.json")
    assert status == 1
    assert "found model.width 12 instead of" in err


@pytest.fixture(scope="module")
def classes(folder, sounds):
    """A model with classes, trained to its end, as its memory of the training sounds needs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        command = ["make-dataset", "--data-dir", str(sounds), "--dataset-name", "Classes", "--classes"]
        assert cli.main(command) == 0
        command = ["train", "--logdir", "model_Classes", "--dataset", "Classes", "--config", "tiny.json"]
        assert cli.main([*command, "--num-steps", "5"]) == 0
    return folder / "model_Classes"


def test_similar(here, capsys, sounds):
    target = sorted((sounds / "kick").iterdir())[2]
    command = ["similar", target, "--model", "model_Two", "--library-dir", sounds, "--num-similar", 3]
    status, out, _ = run(capsys, *command)
    assert status == 0
    assert out.splitlines()[-4].split() == ["file", "onset_s", "distance"]
    assert out.splitlines()[-3].rsplit(maxsplit=2) == [str(target), "0.000", "0.000"]
    status, out, _ = run(capsys, *command, "--json", "--label", "clap", "--metric", "cosine")
    rows = json.loads(out)
    assert [set(row) for row in rows] == [{"file", "onset_s", "distance"}] * 3
    assert all("clap" in row["file"] for row in rows)
    status, _, err = run(capsys, *command, "--label", "dog")
    assert status == 1
    assert "label: expected one of clap" in err


def test_classify_files_and_folders(here, classes, capsys, sounds):
    status, out, _ = run(capsys, "classify", sounds / "kick", sounds / "clap" / "clap_0001.wav", "--model", classes)
    assert status == 0
    lines = out.splitlines()
    assert lines[0].split() == ["file", "class", "probability", "known", "percentile", "reason"]
    assert len(lines) == 1 + 7 + 1
    assert lines[-1].startswith("classes: clap, ")
    (here / "mixed").mkdir(exist_ok=True)
    (here / "mixed" / "bad.wav").write_bytes(b"no sound")
    (here / "elsewhere").mkdir(exist_ok=True)
    (here / "mixed" / "=cmd.wav").write_bytes((sounds / "clap" / "clap_0001.wav").read_bytes())
    status, out, _ = run(capsys, "classify", "mixed", "--model", classes, "--json")
    bad, good = sorted(json.loads(out), key=lambda row: row["class"] is not None)
    assert status == 0
    assert bad["reason"].startswith("expected a sound file")
    assert good["known"] in ("well inside", "at the edge", "unknown")
    assert sum(value for name, value in good.items() if name.startswith("p(")) == pytest.approx(1, abs=1e-5)
    (here / "mixed" / "linked").symlink_to(here / "mixed")
    status, out, _ = run(capsys, "classify", "mixed", "--model", classes)
    (here / "mixed" / "linked").unlink()
    assert status == 0
    assert re.search(r"mixed/linked .*found a link to a folder that is searched anyway", out)
    status, out, _ = run(capsys, "classify", "mixed", "--model", classes, "--out-file", "t.csv")
    lines = (here / "t.csv").read_text().splitlines()
    assert lines[0].startswith("file,class,probability,known,percentile,reason,p(clap)")
    assert len(lines) == 3


def test_a_table_computes_nothing(here, tmp_path):
    from vaelab.cli import tables

    tables.write_csv(tmp_path / "t.csv", [{"file": "=SUM(A1)", "n": -3.0}, {"file": "a\nb", "n": None}])
    assert (tmp_path / "t.csv").read_text().splitlines() == ["file,n", "'=SUM(A1),-3.0", "'a\\nb',"]


def test_classes_need_a_classifier(here, capsys, sounds):
    status, _, err = run(capsys, "classify", sounds / "kick", "--model", "model_Two")
    assert status == 1
    assert "no classifier; train one on a dataset made with `vaelab make-dataset --classes`" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "generate --model m --weigths 1 2 a.wav --out-file x.wav",
            "generate: error: unrecognized option --weigths; did you mean --weights?",
        ),
        ("generate --model m --out-fil=x.wav", "unrecognized option --out-fil; did you mean --out-file?"),
        ("train --logdirr m", "did you mean --logdir?"),
        ("similar a.wav --model m --libary-dir x", "did you mean --library-dir?"),
        ("slice t.wav --out-dir x --qqq", "vaelab slice: error: unrecognized option --qqq\n"),
    ],
)
def test_a_misspelt_option_gets_the_hint(capsys, words, message):
    with pytest.raises(SystemExit) as stop:
        run(capsys, *words.split())
    err = capsys.readouterr().err
    assert stop.value.code == 2
    assert message in err
    assert f"usage: vaelab {words.split()[0]} " in err


@pytest.mark.parametrize(
    "words",
    [
        "a.wav b.wav --weights 1 -2",
        "--weights 1 -2 a.wav b.wav",
        "--weights 1 -2 -- a.wav b.wav",
        "--offsets 0 1 --weights 1 -2 a.wav b.wav",
    ],
)
def test_files_may_follow_numbers(words):
    options = cli.parser().parse_args(["generate", "--model", "m", "--out-file", "x.wav", *words.split()])
    assert (options.audio_files, options.weights) == (["a.wav", "b.wav"], [1.0, -2.0])
    similar = cli.parser().parse_args(
        ["similar", "--model", "m", "--library-dir", "d", "--weights", "1", "2", "a", "b"]
    )
    assert (similar.files, similar.weights) == (["a", "b"], [1.0, 2.0])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--weights 1 -1 {0} {1}", "vaelab: --weights: .*, or use --no-normalize-weights for plain"),
        ("--weights 1 {0} {1}", "vaelab: --weights: expected 2"),
        ("--weights 1", "vaelab: --weights: expected none without files"),
        ("--prior normal {0}", "vaelab: --prior: expected none with files"),
        ("--detail 0.5", "vaelab: --detail: expected none without files, found 0.5"),
        ("--channels source --no-phase --detail 0 {0}", r"vaelab: --channels: .*\(with seconds or --no-phase"),
        ("--variance -1 {0}", "vaelab: --variance: expected"),
    ],
)
def test_errors_name_flags(here, capsys, sounds, words, message):
    files = sorted(map(str, (sounds / "kick").iterdir()))
    words = [word.format(*files) for word in words.split()]
    status, _, err = run(capsys, "generate", "--model", "model_Two", "--out-file", "e.wav", *words)
    assert status == 1
    assert re.match(message, err), err


def test_a_format_that_cannot_be_written_is_refused_before_any_work(here, capsys):
    for command in (["generate", "--model", "no such model"], ["generate", "--model", "no such model", "--count", "2"]):
        status, _, err = run(capsys, *command, "--out-file", "x.mp3")
        assert (status, err) == (1, "vaelab: x.mp3: expected a name ending in .wav, .flac or .aiff, found .mp3\n")


def test_folders_without_classes_are_named(here, capsys, sounds):
    command = ["make-dataset", "--dataset-name", "Flat", "--classes", "--data-dir"]
    status, out, err = run(capsys, *command, sounds / "kick")
    assert status == 0
    assert "kick: expected folders in it as classes, found sounds without any; nothing is labelled" in err
    (here / "two" / "snare").mkdir(parents=True)
    shutil.copy(sounds / "snare" / "snare_0001.wav", here / "two" / "snare")
    shutil.copytree(sounds / "tom", here / "two" / "tom")
    status, out, err = run(capsys, *command, here / "two", sounds / "kick")
    assert f"2 classes: snare 1, tom 6; unlabelled 6 ({sounds / 'kick'} 6)" in out
    assert err == ""
    for side in ("train", "Test"):
        shutil.copytree(here / "two", here / "split" / side)
    shutil.rmtree(here / "split" / "Test" / "tom")
    shutil.copy(sounds / "clap" / "clap_0001.wav", here / "split" / "Test" / "snare" / "snare_0001.wav")
    status, out, err = run(capsys, *command, here / "split")
    assert "found Test, train, which look like sides of a split; where the classes are in them, name them as" in err


def test_skipped_files_are_all_named(here, capsys, sounds):
    shutil.copytree(sounds / "tom", here / "some bad")
    for number in range(3):
        (here / "some bad" / f"bad {number}.wav").write_text("no sound")
    _, out, _ = run(capsys, "make-dataset", "--data-dir", "some bad", "--dataset-name", "Bad")
    assert "all skipped files: datasets/Bad/skipped.txt" in out
    lines = (here / "datasets" / "Bad" / "skipped.txt").read_text().splitlines()
    names = [str(here / "some bad" / f"bad {number}.wav") for number in range(3)]
    assert [line.split("\t")[0] for line in lines] == names
    assert all("\texpected a sound file" in line for line in lines)


def test_doctor(here, capsys):
    status, out, _ = run(capsys, "doctor")
    assert status == 0
    assert "libsndfile" in out
    status, out, _ = run(capsys, "doctor", "--json")
    assert {"versions", "devices", "decoders", "models", "caches", "problems"} == set(json.loads(out))


@pytest.mark.parametrize("raised", [KeyboardInterrupt, ImportError, RuntimeError], ids=lambda raised: raised.__name__)
def test_an_interrupt_is_no_traceback_whatever_an_import_makes_of_it(monkeypatch, capsys, raised):
    def broken_off(_):
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt as error:
            raise raised("numpy failed to import") from error

    monkeypatch.setitem(command_line.COMMANDS, "doctor", (lambda _: None, broken_off, ""))
    handler, hook = signal.getsignal(signal.SIGINT), sys.unraisablehook
    assert run(capsys, "doctor") == (1, "", "vaelab: stopped\n")
    assert (signal.getsignal(signal.SIGINT), sys.unraisablehook) == (handler, hook)


def test_an_interrupt_that_is_lost_comes_again(monkeypatch, capsys):
    def swallow(_):
        with contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(30)

    monkeypatch.setattr(command_line, "AGAIN_S", 0.1)
    monkeypatch.setitem(command_line.COMMANDS, "doctor", (lambda _: None, swallow, ""))
    began = time.monotonic()
    assert run(capsys, "doctor") == (1, "", "vaelab: stopped\n")
    assert time.monotonic() - began < 10


def test_what_was_not_interrupted_keeps_its_traceback(monkeypatch):
    def fail(_):
        raise ImportError("a bug")

    monkeypatch.setitem(command_line.COMMANDS, "doctor", (lambda _: None, fail, ""))
    with pytest.raises(ImportError, match="a bug"):
        cli.main(["doctor"])


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="this system does not tell what a process has loaded")
@pytest.mark.parametrize("seconds", [0.0, 0.7, 1.5])
def test_an_interrupt_during_imports_is_one_line(here, seconds):
    """From the first large import on; never a traceback, never a crash."""
    command = [sys.executable, "-m", "vaelab.cli", "train", "--logdir", "early", "--dataset", "Two"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while "_multiarray_umath" not in Path(f"/proc/{process.pid}/maps").read_text():  # numpy, the first large import
        time.sleep(0.01)
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    assert process.returncode in (0, 1)
    assert err.strip() in ("vaelab: stopped", "stopping, saving")


@pytest.fixture(scope="module")
def cut(folder):
    """Segments of a built-in tape of eight seconds, sliced by the command."""
    audio.write(folder / "tape.wav", built_in_tape.perform(8, 1, 8000, kinds=["kick", "clap"]).samples, 8000)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert cli.main(["slice", "tape.wav", "--out-dir", "cut", "--no-picture"]) == 0
    return "cut"


def test_transcode(here, cut, capsys, sounds):
    """The whole tape, also by relatives; a line says which part, and `regenerate` makes it again."""
    command = ["transcode", cut, "--model", "model_Two", "--out-file", "remembered.wav"]
    status, out, _ = run(capsys, *command)
    assert status == 0
    assert "wrote 8.00 s: remembered.wav" in out
    assert re.search(r"(\d+) of \1 segments of .*tape\.wav, from 00:00:00\.000 to 00:00:08\.000 of 00:00:08\.000", out)
    status, out, _ = run(capsys, *command, "--start", 2, "--seconds", 3, "--detail", 0.2, "--library-dir", sounds)
    assert status == 0
    assert "from 00:00:02.000 to 00:00:05.000 of 00:00:08.000" in out
    assert {part["by"] for part in audio.read_recipe("remembered.wav")["played"]} == {"relative"}
    assert run(capsys, "regenerate", "remembered.wav", "--out-file", "again.wav")[0] == 0
    assert (here / "again.wav").read_bytes() == (here / "remembered.wav").read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("transcode nowhere --model model_Two --out-file x.wav", "nowhere/tape.json: expected the segments of a tape"),
        ("transcode cut --model model_Two --out-file tape.wav", "tape.wav: expected a name that no source"),
        ("transcode cut --model model_Two --out-file x.mp3", "x.mp3: expected a name ending in"),
        ("transcode cut --model model_Two --start 900 --out-file x.wav", "expected segments as files from 00:15:00"),
        ("transcode cut --model model_Two --detail 2 --out-file x.wav", "--detail: expected a number from 0 to 1"),
    ],
)
def test_a_mistaken_transcoding_is_one_clear_line(here, cut, capsys, words, message):
    before = (here / "tape.wav").read_bytes()
    status, _, err = run(capsys, *words.split())
    assert status == 1
    assert message in err
    assert err.count("\n") == 1
    assert (here / "tape.wav").read_bytes() == before


def test_a_moved_source_is_a_line(here, capsys, sounds):
    (here / "away").mkdir()
    (here / "source.wav").write_bytes((sounds / "kick" / "kick_0001.wav").read_bytes())
    assert run(capsys, "generate", "--model", "model_Two", "source.wav", "--out-file", "moved/g.wav")[0] == 0
    shutil.move(here / "source.wav", here / "away" / "other.wav")
    command = ["regenerate", "moved/g.wav", "--out-file", "moved/again.wav"]
    status, _, err = run(capsys, *command)
    assert status == 1
    assert re.search(r"source\.wav: .* found none; put it back, .*--library-dir FOLDER names another", err)
    status, _, err = run(capsys, *command, "--library-dir", "away")
    assert status == 0
    assert re.fullmatch(r"vaelab: .*source\.wav: the source is no more there; .*other\.wav\n", err)


def test_knobs_as_options(here, capsys):
    """Those that people change most; over a file, over the run's own, and with the names of the options in errors."""
    command = ["train", "--logdir", "model_Knobs", "--dataset", "Two", "--config", "tiny.json", "--num-steps", 1]
    knobs = ["--batch-size", 3, "--beta", 0.5, "--learning-rate", 0.001, "--latent-dim", 4]
    assert run(capsys, *command, *knobs)[0] == 0
    config = json.loads((here / "model_Knobs" / "run.json").read_text())["config"]
    assert (config["train"]["batch_size"], config["train"]["beta"], config["train"]["learning_rate"]) == (3, 0.5, 0.001)
    assert config["model"]["latent_dim"] == 4
    assert config["audio"]["sample_rate"] == 8000
    again = ["train", "--logdir", "model_Knobs", "--num-steps", 2]
    status, out, _ = run(capsys, *again, "--learning-rate", 0.0005)
    assert status == 0
    assert "from step 1 on with train.learning_rate 0.0005 instead of 0.001" in out
    config = json.loads((here / "model_Knobs" / "run.json").read_text())["config"]
    assert (config["train"]["batch_size"], config["model"]["latent_dim"]) == (3, 4)
    status, _, err = run(capsys, *again, "--latent-dim", 5)
    assert status == 1
    assert "found model.latent_dim 5 instead of 4" in err
    assert run(capsys, *again)[0] == 0
    status, _, err = run(capsys, *again, "--label-weight", 2)
    assert status == 1
    assert re.match("vaelab: --label-weight: expected two classes to train on in 'Two', found fewer", err)
    status, _, err = run(capsys, *again, "--label-weight", 0, "--beta", -1)
    assert status == 1
    assert re.match(r"vaelab: .*beta.*: expected", err)


def test_a_warning_is_one_line(here):
    """As people run the command; without the place in the code that it comes from."""
    soundfile.write("silent.wav", [0.0] * 8000, 8000)
    command = ["generate", "--model", "model_Two", "silent.wav", "--out-file", "s.wav"]
    finished = subprocess.run(
        [sys.executable, "-m", "vaelab.cli", *command], capture_output=True, text=True, check=True
    )
    assert finished.stderr == "vaelab: silent.wav: expected sound from 0 s on, found silence\n"


def test_another_home(here, capsys, sounds, tmp_path, monkeypatch):
    """For every command that reads or writes datasets or libraries; ~ is the user's own."""
    monkeypatch.setenv("HOME", str(tmp_path))
    home = ["--home", "~/mine"]
    command = ["make-dataset", "--data-dir", sounds / "kick", sounds / "clap", "--dataset-name", "Other", *home]
    assert run(capsys, *command)[0] == 0
    command = ["train", "--logdir", "model_Other", "--dataset", "Other", "--config", "tiny.json", "--num-steps", 1]
    assert run(capsys, *command, *home)[0] == 0
    assert run(capsys, *command)[0] == 1
    command = ["similar", sounds / "kick" / "kick_0001.wav", "--model", "model_Two", "--library-dir", sounds / "kick"]
    assert run(capsys, *command, *home)[0] == 0
    status, out, _ = run(capsys, "doctor", *home)
    assert status == 0
    assert str(tmp_path / "mine") in out
    assert {path.name for path in (tmp_path / "mine").iterdir()} == {"Other", ".store", ".libraries"}
    assert not (here / "datasets" / "Other").exists()
    assert not (here / "~").exists()


def test_a_table_and_a_picture_replace_nothing(here, classes, capsys, sounds):
    """Of any kind: these files carry no recipe that would say whose they are."""
    for name, words in (
        ("mine.csv", ["classify", sounds / "kick", "--model", classes]),
        ("mine.png", ["map", "--model", "model_Two", "--library-dir", sounds / "kick"]),
    ):
        (here / name).write_bytes(b"mine")
        status, _, err = run(capsys, *words, "--out-file", name)
        assert status == 1
        assert re.match(rf"vaelab: {name}: expected a free name, found a file; nothing was written: .*--overwrite", err)
        assert (here / name).read_bytes() == b"mine"
    assert run(capsys, "classify", sounds / "kick", "--model", classes, "--out-file", "mine.csv", "--overwrite")[0] == 0
    assert (here / "mine.csv").read_text().startswith("file,class")


def test_a_tiny_training_says_nothing_but_its_own(tiny, tmp_path):
    """No library's warnings, such as joblib's of folders that its workers left, on the way from sounds to a model."""
    # Deprecations are no user's matter; pyparsing has some, within matplotlib, that are UserWarnings as well.
    shown = ["-W", "always::UserWarning", "-W", "ignore::DeprecationWarning"]
    vaelab, place = [sys.executable, *shown, "-m", "vaelab.cli"], ["--home", str(tmp_path / "d")]
    (tmp_path / "c.json").write_text(json.dumps(tiny.to_dict()))
    training = ["--logdir", str(tmp_path / "m"), "--dataset", "T", "--config", str(tmp_path / "c.json")]
    for command in (
        ["synth", "--out-dir", str(tmp_path / "s"), "--per-class", "2"],
        ["make-dataset", "--data-dir", str(tmp_path / "s"), "--dataset-name", "T", "--classes", *place],
        ["train", *training, "--num-steps", "10", *place],
    ):
        finished = subprocess.run([*vaelab, *command], capture_output=True, text=True, timeout=300, check=True)
        assert finished.stderr == ""


def test_a_second_command_compiles_next_to_nothing(tmp_path):
    """What JAX compiled for the first one lies in the user's cache, also what took no time; the sound is the same."""
    keeping_all = "from vaelab import cli; from vaelab.models import devices; devices.SHORTEST_S = 0; cli.main()"
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    counts = []
    for number in (1, 2):
        command = ["generate", "--model", "industrial", "--seed", "3", "--out-file", str(tmp_path / f"{number}.wav")]
        subprocess.run([sys.executable, "-c", keeping_all, *command], env=environment, check=True, timeout=300)
        counts.append(len(list((tmp_path / "cache").rglob("*-cache"))))
    assert counts[0] > 0
    assert counts[1] <= 1.1 * counts[0]
    first, second = (audio.read(tmp_path / f"{number}.wav", 8000) for number in (1, 2))
    assert first.tolist() == second.tolist()


def test_commands_share_a_cache_of_compilations(here, monkeypatch):
    """Each turns it on before it opens a model."""

    class Cached(Exception):
        pass

    def cache():
        raise Cached

    assert cli.main(["generate", "--model", "model_Two", "--out-file", "first.wav"]) == 0
    monkeypatch.setattr(devices, "cache_compilations", cache)
    model = ["--model", "model_Two"]
    for command in (
        ["generate", *model, "--out-file", "other.wav"],
        ["regenerate", "first.wav", "--out-file", "again.wav"],
        ["regenerate", "first.wav", *model, "--out-file", "again.wav"],
        ["share", *model, "--library-dir", ".", "--out-file", "page.html"],
        ["similar", "first.wav", *model, "--library-dir", "."],
        ["classify", "first.wav", *model],
        ["map", *model, "--library-dir", ".", "--out-file", "map.png"],
    ):
        with pytest.raises(Cached):
            cli.main(command)


def test_a_command_needs_no_cache(here, tmp_path):
    (tmp_path / "file").write_text("no folder")
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "file")}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    command = ["generate", "--model", "model_Two", "--out-file", str(tmp_path / "x.wav")]
    subprocess.run([sys.executable, "-m", "vaelab.cli", *command], env=environment, check=True, timeout=300)
    assert (tmp_path / "x.wav").exists()
