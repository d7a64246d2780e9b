"""The map's coordinates: kept beside the library's index, drawn anew when anything differs, damage named."""

import jax
import numpy as np
import pytest

from vaelab import model as models
from vaelab.library import LibraryError, evened, umap_map
from vaelab.models import checkpoint
from vaelab.play import SoundSampleTool


@pytest.fixture
def drawn(monkeypatch):
    """The parameters of each map that was drawn; in place of UMAP, which is slow, the embeddings' first axes."""
    asked = []

    def draw(embeddings, *how):
        asked.append((len(embeddings), *how))
        return np.ascontiguousarray(embeddings[:, :2])

    monkeypatch.setattr(umap_map, "fit_umap", draw)
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
    first = umap_map.map_coordinates(opened())
    assert "laying out 6 sounds" in capsys.readouterr().out
    library = opened()
    np.testing.assert_array_equal(umap_map.map_coordinates(library), first)
    assert "laying out" not in capsys.readouterr().out
    assert drawn == [(6, 0, 15, 0.1)]
    assert [path.parent for path in kept(library)] == [library.place.parent]


def test_other_parameters_have_a_map_of_their_own(opened, drawn):
    library = opened()
    for how in ({}, {"seed": 1}, {"neighbors": 5}, {"min_dist": 0.5}) * 2:
        umap_map.map_coordinates(library, **how)
    assert drawn == [(6, 0, 15, 0.1), (6, 1, 15, 0.1), (6, 0, 5, 0.1), (6, 0, 15, 0.5)]
    assert len(kept(library)) == 4


def test_nothing_stale_is_shown(opened, drawn, monkeypatch):
    """Another model, or another version of UMAP: the new map takes the place of the old one."""
    old, new = umap_map.map_coordinates(opened()), umap_map.map_coordinates(opened(seed=1))
    assert not np.array_equal(old, new)
    library = opened(seed=1)
    np.testing.assert_array_equal(umap_map.map_coordinates(library, even=0), library.embeddings[:, :2])
    np.testing.assert_array_equal(umap_map.map_coordinates(library), evened(library.embeddings[:, :2]))
    assert len(drawn) == 2
    monkeypatch.setattr(umap_map, "version", lambda _: "another")
    umap_map.map_coordinates(library)
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
    first = umap_map.map_coordinates(library)
    (path,) = kept(library)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.warns(UserWarning, match=rf"{path.name}: expected the coordinates of a map, .* is drawn anew"):
        np.testing.assert_array_equal(umap_map.map_coordinates(library), first)
    np.testing.assert_array_equal(umap_map.map_coordinates(library), first)
    assert len(drawn) == 2


def test_a_map_that_cannot_be_kept_is_told(opened, drawn, monkeypatch):
    monkeypatch.setattr(umap_map, "save", lambda *_: (_ for _ in ()).throw(OSError("read-only")))
    with pytest.warns(UserWarning, match="read-only; the map is not kept"):
        assert umap_map.map_coordinates(opened()).shape == (6, 2)


def test_the_map_is_repeatable_and_keeps_groups_together():
    pytest.importorskip("umap")
    rng = np.random.default_rng(0)
    embeddings = np.concatenate([rng.normal(size=(25, 8)), rng.normal(size=(25, 8)) + 12])
    first = umap_map.fit_umap(embeddings, seed=1)
    assert first.shape == (50, 2)
    np.testing.assert_array_equal(first, umap_map.fit_umap(embeddings, seed=1))
    centres = first[:25].mean(axis=0), first[25:].mean(axis=0)
    own = np.linalg.norm(first[:25] - centres[0], axis=1)
    other = np.linalg.norm(first[:25] - centres[1], axis=1)
    assert (own < other).all()


def test_a_map_fitted_on_some_takes_in_the_others():
    pytest.importorskip("umap")
    rng = np.random.default_rng(0)
    embeddings = np.concatenate([rng.normal(size=(40, 8)), rng.normal(size=(40, 8)) + 12])
    laid = umap_map.fit_umap(embeddings, seed=1, fitted=50)
    assert laid.shape == (80, 2)
    centres = laid[:40].mean(axis=0), laid[40:].mean(axis=0)
    assert (np.linalg.norm(laid[:40] - centres[0], axis=1) < np.linalg.norm(laid[:40] - centres[1], axis=1)).all()


def test_between_points_of_a_map():
    coordinates = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 9.0], [50.0, 50.0]])
    embeddings = np.array([[1.0, 0.0], [0.0, 1.0], [5.0, 5.0], [100.0, -100.0]])
    z, near = umap_map.latent_at(coordinates, embeddings, [0.5, 0.0], count=2)
    assert near.tolist() == [0, 1]
    np.testing.assert_allclose(z, [0.75, 0.25], atol=1e-6)
    z, near = umap_map.latent_at(coordinates, embeddings, [0.0, 9.0], count=3)
    np.testing.assert_allclose(z, [5, 5], atol=1e-4)
    assert near[0] == 2
    _, near = umap_map.latent_at(coordinates, embeddings, [0.5, 0.0])
    assert len(near) == 4


def test_the_map_of_very_few_sounds():
    pytest.importorskip("umap")
    assert umap_map.fit_umap(np.random.default_rng(0).normal(size=(5, 8))).shape == (5, 2)
    with pytest.raises(LibraryError, match="expected at least 4 sounds, found 3"):
        umap_map.fit_umap(np.zeros((3, 8)))
