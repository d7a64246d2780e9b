"""The map's coordinates: kept beside the library's index, drawn anew when anything differs, damage named."""

import jax
import numpy as np
import pytest

from vaelab import checkpoint, latent, layout
from vaelab import model as models
from vaelab.tool import SoundSampleTool


@pytest.fixture
def drawn(monkeypatch):
    """The parameters of each map that was drawn; in place of UMAP, which is slow, the embeddings' first axes."""
    asked = []

    def draw(embeddings, *how):
        asked.append((len(embeddings), *how))
        return np.ascontiguousarray(embeddings[:, :2])

    monkeypatch.setattr(latent, "umap_map", draw)
    return asked


@pytest.fixture
def opened(tiny, sounds, tmp_path):
    """Opens the library of some sounds, by the model of a seed."""

    def opened(kind="kick", seed=0):
        model = models.create(tiny.model, tiny.audio, jax.random.key(seed))
        checkpoint.save_model(tmp_path / "m.safetensors", model, {})
        tool = SoundSampleTool(tmp_path / "m.safetensors", sounds / kind, home=tmp_path / "home", progress=False)
        return tool.library

    return opened


def kept(library):
    return sorted(library.place.parent.glob("*.map-*"))


def test_a_map_is_drawn_once(opened, drawn, capsys):
    first = layout.of(opened())
    assert "laying out 6 sounds" in capsys.readouterr().out
    library = opened()
    np.testing.assert_array_equal(layout.of(library), first)
    assert "laying out" not in capsys.readouterr().out
    assert drawn == [(6, 0, 15, 0.1)]
    assert [path.parent for path in kept(library)] == [library.place.parent]


def test_other_parameters_have_a_map_of_their_own(opened, drawn):
    library = opened()
    for how in ({}, {"seed": 1}, {"neighbors": 5}, {"min_dist": 0.5}) * 2:
        layout.of(library, **how)
    assert drawn == [(6, 0, 15, 0.1), (6, 1, 15, 0.1), (6, 0, 5, 0.1), (6, 0, 15, 0.5)]
    assert len(kept(library)) == 4


def test_nothing_stale_is_shown(opened, drawn, monkeypatch):
    """Another model, or another version of UMAP: the new map takes the place of the old one."""
    old, new = layout.of(opened()), layout.of(opened(seed=1))
    assert not np.array_equal(old, new)
    library = opened(seed=1)
    np.testing.assert_array_equal(layout.of(library), library.embeddings[:, :2])
    assert len(drawn) == 2
    monkeypatch.setattr(layout, "version", lambda _: "another")
    layout.of(library)
    assert len(drawn) == 3
    assert len(kept(library)) == 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda body: body[:-1],
        lambda body: body[:-5] + bytes([body[-5] ^ 1]) + body[-4:],
        lambda body: b"",
        lambda body: body[:9],
    ],
    ids=["cut", "flipped", "empty", "head"],
)
def test_a_damaged_map_is_named_and_drawn_anew(opened, drawn, damage):
    library = opened()
    first = layout.of(library)
    (path,) = kept(library)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.warns(UserWarning, match=rf"{path.name}: expected the coordinates of a map, .* is drawn anew"):
        np.testing.assert_array_equal(layout.of(library), first)
    np.testing.assert_array_equal(layout.of(library), first)
    assert len(drawn) == 2


def test_a_map_that_cannot_be_kept_is_told(opened, drawn, monkeypatch):
    monkeypatch.setattr(layout, "save", lambda *_: (_ for _ in ()).throw(OSError("read-only")))
    with pytest.warns(UserWarning, match="read-only; the map is not kept"):
        assert layout.of(opened()).shape == (6, 2)
