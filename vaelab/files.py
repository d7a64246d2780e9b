"""Files that are whole or not there: atomic replacement, and the hash that names a content."""

import errno
import hashlib
import mmap
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from vaelab import VaelabError

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None

TEMPORARY = ".writing-"  # how the names of unfinished files begin
NO_ROOM = tuple(getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG") if hasattr(errno, name))
NO_LOCKS = tuple(getattr(errno, name) for name in ("ENOLCK", "ENOTSUP", "ENOSYS", "EINVAL") if hasattr(errno, name))
_NO_MAP_TEXT = "expected a file system that maps files into memory, found one without (ENODEV): use a folder elsewhere"
_NO_ROOM_TEXT = "expected room to write, found the disk full; what was there is intact: free some space and run again"


class BusyError(VaelabError, OSError):
    """Another process writes here."""


class NoRoomError(VaelabError, OSError):
    """The disk is full; the message names the file and says that nothing was lost."""

    def __str__(self) -> str:
        return self.strerror


class NoFolderError(VaelabError, NotADirectoryError):
    """A folder is needed where a file is; the message names the file."""

    def __str__(self) -> str:
        return self.strerror


class NoMapError(VaelabError, OSError):
    """A file system from which files cannot be mapped into memory; the message says what to do."""

    def __str__(self) -> str:
        return self.strerror


def make_folder(folder: Path) -> None:
    """Make a folder and those around it, as far as they are missing.

    Raises:
        NoFolderError: A file has the name of one of them.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        place = next((path for path in (folder, *folder.parents) if os.path.lexists(path)), folder)
        raise NoFolderError(error.errno, f"{place}: expected a folder, found a file") from error


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is synced and takes the place of `path`.

    A reader sees the old file or the new one, never a part. On an error the old file stays and the
    temporary one is removed. Missing parent folders are made. The temporary name keeps the suffix, from
    which writers choose their format.

    Raises:
        NoRoomError: The disk or a quota is full.
        NoFolderError: A file has the name of a parent folder.
    """
    path = Path(path)
    temporary = None
    try:
        make_folder(path.parent)
        free = _free_name(path.parent, path.suffix)
        free.touch(exist_ok=False)  # with the rights of any new file, as some file systems let none be changed
        temporary = free
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
    except OSError as error:
        if error.errno in NO_ROOM:
            raise NoRoomError(error.errno, f"{path}: {_NO_ROOM_TEXT}") from error
        raise
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike, text: str, encoding: str = "ascii") -> Path:
    """Write a text, whole or not at all; see `replacing`."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding=encoding)
    return Path(path)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `folder`, which is not there or empty; on success it takes its place.

    On an error nothing is left. Missing parent folders are made.

    Raises:
        NoFolderError: A file has the name of a parent folder.
        OSError: The folder is not empty.
    """
    make_folder(folder.parent)
    temporary = _free_name(folder.parent)
    temporary.mkdir()
    try:
        yield temporary
        if folder.is_dir():
            folder.rmdir()
        temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


@contextmanager
def writing_in(folder: Path, sweep: Callable[[], None]) -> Iterator[None]:
    """Be one of several writers in a folder, which is made if missing.

    `sweep` is called if there is no other writer at the moment: it may remove what killed writers left.
    """
    make_folder(folder)
    with open(folder / ".lock", "ab") as lock:
        if _lock(lock, alone=True):
            sweep()
        _lock(lock, alone=False)
        yield


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Be the only writer in a folder, which is made if missing; what killed writers left unfinished goes.

    Where the system or the file system has no locks, nobody is kept out and nothing is removed.

    Raises:
        BusyError: Another process is writing there.
    """
    make_folder(folder)
    with open(folder / ".lock", "ab") as lock:
        try:
            if fcntl is not None:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for left in folder.glob(f"{TEMPORARY}*"):
                    left.unlink()
        except BlockingIOError as error:
            raise BusyError(error.errno, f"{folder}: another process is writing there") from error
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
        yield


def _lock(file: BinaryIO, alone: bool) -> bool:
    """Hold a file with others, or alone if nobody else does, until it is closed or this process ends.

    False where it is held by another, or where the system or the file system has no locks: sweeping needs one,
    writing does not.
    """
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB if alone else fcntl.LOCK_SH)
    except OSError:
        return False
    return True


@contextmanager
def regular(path: str | os.PathLike) -> Iterator[int]:
    """A descriptor of a regular file, for reading; what would hang (a FIFO, a device) is refused.

    Raises:
        OSError: Missing, not readable, or not a regular file.
    """
    try:
        # Without O_NONBLOCK opening a FIFO waits for its writer.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except ValueError as error:  # a name with a zero byte
        raise OSError(errno.EINVAL, str(error)) from error
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "it is a folder or a special file")
        yield handle
    finally:
        os.close(handle)


def mapped(path: str | os.PathLike) -> mmap.mmap:
    """A file's bytes, read when they are used. The file may be replaced, never changed, while it is mapped.

    The map is private: some file systems, as FUSE's with direct_io and some of networks, have no shared ones.

    Raises:
        OSError: Missing, not readable, not a regular file, or on a file system without maps.
        ValueError: It is empty.
    """
    with regular(path) as handle:
        if not hasattr(mmap, "MAP_PRIVATE"):  # Windows
            return mmap.mmap(handle, 0, access=mmap.ACCESS_READ)
        try:
            return mmap.mmap(handle, 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise
            raise NoMapError(error.errno, f"{path}: {_NO_MAP_TEXT}") from error


def from_home(path: str | os.PathLike) -> Path:
    """The path, with ~ at its beginning as the user's home, as in a shell."""
    text = os.fsdecode(path)
    return Path(os.path.expanduser(text) if text == "~" or text.startswith("~/") else path)


def content_hash(path: str | os.PathLike) -> str:
    """The sha256 of a file's bytes, as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def _free_name(folder: Path, suffix: str = "") -> Path:
    """A name for an unfinished file or folder, which nothing else has."""
    return folder / f"{TEMPORARY}{secrets.token_hex(8)}{suffix}"
