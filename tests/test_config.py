"""Config: the knobs travel through JSON, and a bad one is refused by name."""

import dataclasses
import json

import pytest

from vaelab.config import AudioConfig, Config, ConfigError, ModelConfig, TrainConfig

LABELS = (("class", ("kick", "snare")),)


@pytest.mark.parametrize(
    "config",
    [AudioConfig(), AudioConfig.samplevae(), ModelConfig(labels=LABELS), TrainConfig(), Config()],
    ids=["audio", "samplevae", "model", "train", "all"],
)
def test_json_round_trip(config):
    text = json.dumps(config.to_dict())
    assert type(config).from_dict(json.loads(text)) == config
    assert hash(config) == hash(type(config).from_dict(json.loads(text)))


def test_frames():
    assert AudioConfig.samplevae().frames == 125
    assert AudioConfig().frames == 172
    assert AudioConfig(sample_rate=11025, clip_seconds=0.731, n_fft=510, hop_length=101, n_mels=40).frames == 79


@pytest.mark.parametrize(
    ("cls", "overrides", "names"),
    [
        (AudioConfig, {"sample_rat": 1}, "unknown sample_rat; valid keys: sample_rate"),
        (AudioConfig, {"sample_rate": "44100"}, "sample_rate: expected an integer, found '44100'"),
        (AudioConfig, {"n_fft": True}, "n_fft: expected an integer"),
        (AudioConfig, {"clip_seconds": float("nan")}, "clip_seconds"),
        (AudioConfig, {"clip_seconds": 0.001}, "clip_seconds"),
        (AudioConfig, {"hop_length": 4096}, "hop_length"),
        (AudioConfig, {"fmax": 30000}, "fmax"),
        (AudioConfig, {"n_mels": 0}, "n_mels"),
        (AudioConfig, {"top_db": -1}, "top_db"),
        (TrainConfig, {"follow": "kl"}, "follow: expected one of loss, audible_db, found 'kl'"),
        (TrainConfig, {"vary": 1.5}, "vary: expected 0 to 1, found 1.5"),
        (
            ModelConfig,
            {"likelihood": "gauss"},
            "likelihood: expected one of laplace, censored, cross_entropy, found 'gauss'",
        ),
        (ModelConfig, {"timbre": "fine"}, "timbre: expected one of detailed, plain, found 'fine'"),
        (ModelConfig, {"latent_dim": 0}, "latent_dim"),
        (ModelConfig, {"flow_offset": "a lot"}, "flow_offset: expected a number"),
        (ModelConfig, {"labels": [["class", ["one"]]]}, "labels"),
        (ModelConfig, {"labels": [["class", ["one", "one"]]]}, "labels"),
        (ModelConfig, {"labels": [["a", ["x", "y"]], ["b", ["x", "y"]]]}, "labels"),
        (ModelConfig, {"labels": "kick"}, "labels"),
        (ModelConfig, {"flow_offset": -9}, "flow_offset"),
        (TrainConfig, {"decay": 1.0}, "decay"),
        (TrainConfig, {"learning_rate": 0}, "learning_rate"),
        (TrainConfig, {"batch_size": 2.5}, "batch_size: expected an integer"),
        (Config, {"optimiser": {}}, "unknown optimiser; valid keys: audio, model, train"),
        (Config, {"train": [1]}, "TrainConfig: expected a JSON object"),
    ],
)
def test_bad_knobs_are_named(cls, overrides, names):
    with pytest.raises(ConfigError, match=names.replace("(", r"\(")):
        cls.from_dict(overrides)


@pytest.mark.parametrize("labels", [[], [("a", ("x", "y"))], (["a", ("x", "y")],), (("a", ["x", "y"]),)], ids=str)
def test_lists_are_no_labels(labels):
    """A config is hashable, as jitted functions need it."""
    with pytest.raises(ConfigError, match="labels: expected nothing, or one pair of a name and at least two distinct"):
        ModelConfig(labels=labels)


@pytest.mark.parametrize("text", ["", "[1, 2]", "{'audio': 1}", '{"audio": {"hop": 1}}'])
def test_bad_files_are_named(tmp_path, text):
    path = tmp_path / "knobs.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"knobs\.json|hop"):
        Config.from_file(path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.json"):
        Config.from_file(tmp_path / "nowhere.json")


def test_overrides_only(tmp_path):
    path = tmp_path / "knobs.json"
    path.write_text('{"model": {"latent_dim": 3}}')
    expected = dataclasses.replace(Config(), model=ModelConfig(latent_dim=3))
    assert Config.from_file(path) == expected
