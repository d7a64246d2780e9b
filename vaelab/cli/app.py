"""Mixer and map, or the instrument, as a web page for people without a notebook: Voila on localhost, behind a token."""

import importlib.util
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import webbrowser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from vaelab import VaelabError

ADDRESS = "127.0.0.1"
WISHES = "VAELAB_APP"  # environment variable that tells the page's kernel what to open
START_S = 120.0
CELL = "from vaelab.cli.app import page\n\npage()"
NOTEBOOK = {
    "cells": [
        {"cell_type": "code", "execution_count": None, "id": "page", "metadata": {}, "outputs": [], "source": CELL}
    ],
    "metadata": {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}


class AppError(VaelabError):
    """The page cannot be served; the message says why and what to do."""


def serve(
    model: str | os.PathLike,
    audio_files: Sequence[str | os.PathLike] = (),
    library_dir: str | os.PathLike | None = None,
    folder: str | os.PathLike = "generated",
    port: int | None = None,
    browser: bool = True,
    *,
    instrument: bool = False,
) -> None:
    """Serve the page until it is stopped, by Ctrl-C or SIGTERM; its address, with the token, is printed.

    The page is made of `model` (a logdir, a model file, or the name of a shipped model), the mixer's first sounds, and
    a folder of sounds for the map and for similar sounds; what is made there is saved in `folder`. With `instrument`
    it is the instrument, which needs the library and takes no other sounds.

    Raises:
        AppError: The instrument without a library or with files; Voila is not installed, or does not start; or the
            library cannot be laid out.
        CheckpointError: No such model.
    """
    if instrument and (library_dir is None or audio_files):
        raise AppError("app: expected --library-dir and no FILE with --instrument: its sounds are those of the library")
    if importlib.util.find_spec("voila") is None:
        raise AppError("app: expected voila, found none; install it with: pip install 'vaelab[app]'")
    port, token = port or _free_port(), secrets.token_urlsafe(24)
    address = f"http://{ADDRESS}:{port}/?token={token}"
    print(f"starting {address}", flush=True)  # before imports, which take seconds
    from vaelab.models import pretrained

    wishes = {
        "model": str(pretrained.find(model).resolve()),
        "files": [os.path.abspath(path) for path in audio_files],
        "library": None if library_dir is None else os.path.abspath(library_dir),
        "folder": str(folder),
        "instrument": instrument,
        "place": os.getcwd(),
    }
    with _terminating(), tempfile.TemporaryDirectory(prefix="vaelab-app-") as place:
        if library_dir is not None:
            print("app: embedding the library and laying out its map ...", flush=True)
            _lay_out(wishes, Path(place) / "map.png")
        (Path(place) / "app.ipynb").write_text(json.dumps(NOTEBOOK), encoding="ascii")
        # The token goes by the environment: other users of the machine see what stands in a command line.
        environment = {**os.environ, WISHES: json.dumps(wishes), "JUPYTER_TOKEN": token}
        print("app: starting the server ...", flush=True)
        server = subprocess.Popen(_command(Path(place) / "app.ipynb", port), env=environment, cwd=place)
        try:
            _wait(server, port, address, browser)
        except KeyboardInterrupt:
            print("stopped")
        finally:
            server.terminate()
            server.wait()


@contextmanager
def _terminating() -> Iterator[None]:
    """Let SIGTERM act as Ctrl-C does: without it Voila and its kernels would outlive this process."""

    def interrupt(*_) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def page():
    """Build the page's content from the settings of `serve`: the mixer with the map of a library, or the instrument."""
    from vaelab.library import umap_map
    from vaelab.models import devices
    from vaelab.play import SoundSampleTool
    from vaelab.ui import Instrument, Mixer, SoundMap

    devices.cache_where_possible()
    wishes = json.loads(os.environ[WISHES])
    os.chdir(wishes["place"])
    tool = SoundSampleTool(wishes["model"], library_dir=wishes["library"])
    if wishes["instrument"]:
        return Instrument(tool, folder=wishes["folder"])
    mixer = Mixer(tool, wishes["files"], wishes["folder"])
    if tool.library is None:
        return mixer
    return SoundMap(tool, umap_map.map_coordinates(tool.library), mixer=mixer, folder=wishes["folder"])


def _lay_out(wishes: dict, picture: Path) -> None:
    """Embed the library and lay out its map where progress shows, and in a process that ends: the page finds both."""
    command = [sys.executable, "-m", "vaelab.cli", "map", "--out-file", str(picture)]
    if subprocess.run(
        [*command, "--model", wishes["model"], "--library-dir", wishes["library"]], check=False
    ).returncode:
        raise AppError("app: expected a library that can be laid out on a map; why it cannot stands above")


def _command(notebook: Path, port: int) -> list[str]:
    settings = [f"--Voila.ip={ADDRESS}", "--Voila.auto_token=True", "--VoilaConfiguration.show_tracebacks=True"]
    quiet = ["--no-browser", f"--port={port}", "--Voila.log_level=ERROR"]
    return [sys.executable, "-m", "voila", str(notebook), *settings, *quiet]


def _wait(server: subprocess.Popen, port: int, address: str, browser: bool) -> None:
    """Tell the address once it answers, and wait for the server's end."""
    deadline = time.monotonic() + START_S
    while not _answers(port):
        if server.poll() is not None or time.monotonic() > deadline:
            raise AppError("app: expected Voila to start, and it did not; what it said stands above")
        time.sleep(0.1)
    print(f"open {address}\nCtrl-C stops it", flush=True)
    if browser:
        webbrowser.open(address)
    if server.wait():
        raise AppError(f"app: Voila ended with status {server.returncode}; what it said stands above")


def _answers(port: int) -> bool:
    """True if the port accepts connections; asking for the page itself would start a kernel."""
    try:
        with socket.create_connection((ADDRESS, port), timeout=5):
            return True
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as free:
        free.bind((ADDRESS, 0))
        return free.getsockname()[1]
