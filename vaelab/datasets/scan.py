"""Scan folders for sounds, with content hash, label and pack; files that are no sounds are given with a reason."""

import os
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import joblib

from vaelab import audio
from vaelab.audio import workers
from vaelab.datasets import hydrogen, scan_cache
from vaelab.progress import progress_bar

LABELS = ("folder", "hydrogen-instrument", "hydrogen-kit")
APPLE_DOUBLE = b"\0\5\x16\7"  # the first bytes of `._NAME`, beside NAME on disks that are not macOS's own
SYSTEM_FOLDERS = ("__MACOSX", "@eaDir")  # of archives made by macOS, and of Synology's disk stations
LEADS_NOWHERE = "expected a file, found a link that leads nowhere"
EXAMINED_TOGETHER = 64  # files per message to a worker


@dataclass(frozen=True, slots=True)
class ScannedSound:
    """A sound."""

    root: int  # index of its root
    path: str  # relative to it, with forward slashes
    facts: audio.Facts  # its content
    label: str | None  # class name, or None
    pack: str  # name of the folder that its like stays together with


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something that is not used, and why."""

    root: int
    path: str
    reason: str


def scan(
    roots: Sequence[Path], labels: str | None, cache: scan_cache.Seen, progress: bool = True
) -> Iterator[ScannedSound | Skipped]:
    """Everything below some folders that is a sound, or looks like one.

    Args:
        roots: Absolute folders.
        labels: One of `LABELS`, or None.
        cache: From an earlier scan, of which files that did not change are not read again; takes this scan's contents.
        progress: Show a bar.
    """
    names: list[tuple[int, str]] = []
    for root, folder in enumerate(roots):
        for path, reason in candidates(folder):
            if reason is None:
                names.append((root, path))
            else:
                yield Skipped(root, path, reason)
    kits = _Kits(roots)
    examined = _examined(roots, names, cache)
    bar = progress_bar(examined, show=progress, desc="reading", unit="file", total=len(names))
    for (root, path), (facts, reason) in zip(names, bar, strict=True):
        if facts is None:
            yield Skipped(root, path, reason)
        else:
            yield ScannedSound(root, path, facts, *kits.label_and_pack(root, path, labels))
    yield from kits.refused


def _examined(
    roots: Sequence[Path], names: Sequence[tuple[int, str]], cache: scan_cache.Seen
) -> Iterator[tuple[audio.Facts | None, str | None]]:
    """Facts, or the reason why there are none, of each file; only those that are new or changed are read."""
    places = [(os.fsdecode(roots[root]), path) for root, path in names]
    marks = [scan_cache.mark(os.path.join(*place)) for place in places]
    cached = [cache.recall(*place, mark) for place, mark in zip(places, marks, strict=True)]
    paths = [(os.path.join(*place),) for place, content in zip(places, cached, strict=True) if content is None]
    # Small sets go in small parts, so that every worker gets some.
    chunk = max(1, min(EXAMINED_TOGETHER, len(paths) // (4 * joblib.cpu_count())))
    fresh = workers.outcomes(audio.examine, paths, audio.AudioError, chunk)
    for place, mark, content in zip(places, marks, cached, strict=True):
        facts, reason = next(fresh) if content is None else (audio.Facts(*content), None)
        if content is None and facts is not None:
            cache.remember(*place, mark, facts)
        yield facts, reason


def candidates(root: Path) -> Iterator[tuple[str, str | None]]:
    """Each thing below a folder with a sound's name: its relative path, and the reason if it cannot be used.

    Links are followed wherever they lead; those to folders once each, and never to what is searched anyway or to a
    folder around it, so that there are no circles. These are named, whatever they are called, and so are folders that
    cannot be listed. What systems leave beside sounds under their names, such as `._kick.wav`, is not named.
    """
    waiting, searched = [""], [Path(os.path.realpath(root))]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(os.path.join(root, folder)) as listing:
                inside = sorted(listing, key=lambda item: item.name)
        except OSError as error:
            yield folder or ".", f"expected a folder, found none that can be listed: {error.strerror}"
            continue
        folders = []
        for item in inside:
            path = f"{folder}/{item.name}" if folder else item.name
            if _is_left_by_system(item):
                continue
            sounding = item.name.lower().endswith(audio.EXTENSIONS)
            if item.is_symlink() and os.path.isdir(item.path):
                target = Path(os.path.realpath(item.path))
                if any(target.is_relative_to(other) or other.is_relative_to(target) for other in searched):
                    yield path, "expected a file, found a link to a folder that is searched anyway, or around it"
                else:
                    searched.append(target)
                    folders.append(path)
            elif item.is_symlink():
                if sounding:
                    yield path, None if os.path.exists(item.path) else LEADS_NOWHERE
            elif item.is_dir(follow_symlinks=False):
                folders.append(path)
                if sounding:
                    yield path, "expected a file, found a folder of that name; sounds in it are scanned"
            elif sounding:
                yield path, None
        waiting.extend(reversed(folders))


def _is_left_by_system(item: os.DirEntry) -> bool:
    """True of what an operating system puts beside sounds under their names: no sound, and nobody's file."""
    if item.name in SYSTEM_FOLDERS:
        return item.is_dir(follow_symlinks=False)
    if not item.name.startswith("._") or not item.is_file(follow_symlinks=False):
        return False
    try:
        with open(item.path, "rb") as file:
            return file.read(len(APPLE_DOUBLE)) == APPLE_DOUBLE
    except OSError:
        return False  # the scan says why it cannot be read


class _Kits:
    """The drum kits around sounds: labels and packs."""

    def __init__(self, roots: Sequence[Path]):
        self.roots = roots
        self.refused: list[Skipped] = []
        self._kits: dict[tuple[int, str], hydrogen.Kit | None] = {}

    def label_and_pack(self, root: int, path: str, labels: str | None) -> tuple[str | None, str]:
        """The label of a sound under a choice of `LABELS`, and the pack it belongs to."""
        folders = path.split("/")[:-1]
        top = os.fsdecode(self.roots[root])
        if labels == "folder":
            pack = folders[1:2] or folders[:1]
            return _readable(folders[0]) if folders else None, "/".join(pack) or top
        pack = "/".join((top, *folders[:1]))
        if labels is None:
            return None, pack
        where, kit = self._around(root, folders)
        if kit is None:
            return None, pack
        label = kit.name if labels == "hydrogen-kit" else kit.drum_class(path.removeprefix(f"{where}/"))
        return label, f"{top}/{where}"

    def _around(self, root: int, folders: Sequence[str]) -> tuple[str, hydrogen.Kit | None]:
        """The nearest folder around that holds a drumkit.xml, and the kit."""
        for depth in range(len(folders), -1, -1):
            where = "/".join(folders[:depth])
            if (root, where) not in self._kits:
                self._kits[root, where] = self._read(root, where)
            if kit := self._kits[root, where]:
                return where, kit
        return "", None

    def _read(self, root: int, where: str) -> hydrogen.Kit | None:
        path = os.path.join(self.roots[root], where, hydrogen.FILE_NAME)
        try:
            return hydrogen.read_kit(path) if os.path.lexists(path) else None
        except hydrogen.KitError as error:
            self.refused.append(Skipped(root, f"{where}/{hydrogen.FILE_NAME}".lstrip("/"), str(error)))
            return None


def _readable(name: str) -> str:
    """A folder's name as a class name: text that can be shown, and the same however its accents are stored."""
    return unicodedata.normalize("NFC", os.fsencode(name).decode("utf-8", "backslashreplace"))
