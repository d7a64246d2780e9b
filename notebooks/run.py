"""Run the notebooks in order, in a folder of their own: `python notebooks/run.py --out demo`.

They run in the interpreter that runs this file, whatever kernels the machine knows. The folder receives the
executed copies and all that the notebooks write. Exit status: 0 all ran, 1 a cell failed (its error is
printed), 2 wrong usage.
"""

import argparse
import os
import re
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from traitlets import default

NOTEBOOKS = sorted(Path(__file__).resolve().parent.glob("[0-9]*.ipynb"))
ANSI = re.compile(r"\x1b\[[0-9;]*m")  # colours of a traceback


def main(arguments: list[str] | None = None) -> int:
    """Run the notebooks; returns the exit status."""
    parser = argparse.ArgumentParser(description="Run the notebooks top to bottom.", allow_abbrev=False)
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="where everything is written")
    parser.add_argument("--kernel", metavar="NAME", help="an installed kernel (default: this very interpreter)")
    known = {path.stem: path for path in NOTEBOOKS}
    parser.add_argument("names", nargs="*", metavar="NOTEBOOK", help=f"only these: {', '.join(known)}")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.names if name not in known]:
        parser.error(f"no notebook {unknown[0]!r}; there are {', '.join(known)}")
    chosen = [known[name] for name in options.names or known]
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    for own in ("VAELAB_SOUNDS", "VAELAB_TAPE"):
        if os.environ.get(own):
            os.environ[own] = os.path.abspath(os.environ[own])  # the kernels run in another folder
    sounds = os.environ.get("VAELAB_SOUNDS")
    print(f"{len(chosen)} notebooks on {sounds or 'the built-in sounds'}, into {out}", flush=True)
    with tempfile.TemporaryDirectory(prefix="vaelab-compiled-") as compiled:
        # What one notebook compiles, the next need not compile again; gone afterwards, since it is machine code.
        os.environ["JAX_COMPILATION_CACHE_DIR"] = compiled
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
        failed = not all(ran(path, out, options.kernel) for path in chosen)
    if failed:
        return 1
    print(report(out, chosen))
    return 0


def ran(path: Path, out: Path, kernel: str | None) -> bool:
    """Run one notebook, and print its name and its seconds, or its error."""
    print(f"  {path.stem:<14}", end="", flush=True)
    start = time.monotonic()
    try:
        execute(path, out, kernel)
    except (CellExecutionError, DeadKernelError, NoSuchKernel) as error:
        print(f"failed after {time.monotonic() - start:.1f} s", flush=True)
        print(f"{path.name}: {ANSI.sub('', str(error)).strip()}", file=sys.stderr)
        return False
    print(f"{time.monotonic() - start:7.1f} s", flush=True)
    return True


class ThisInterpreter(AsyncKernelManager):
    """Starts kernels in the interpreter that runs this file: where none is found by name, that is the default."""

    @default("kernel_spec_manager")
    def _no_named_kernels(self) -> KernelSpecManager:
        return KernelSpecManager(parent=self, kernel_dirs=[])


def execute(path: Path, out: Path, kernel: str | None = None) -> None:
    """Run one notebook in `out` and keep the executed copy there, also of one that fails."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=None,
        kernel_name=kernel or "python3",
        kernel_manager_class=AsyncKernelManager if kernel else ThisInterpreter,
        extra_arguments=["--log-level=ERROR"],  # else some versions warn that local sockets are not encrypted
        resources={"metadata": {"path": str(out)}},
    )
    try:
        client.execute()
    finally:
        nbformat.write(notebook, out / path.name)


def report(out: Path, executed: list[Path]) -> str:
    """Print the paths of all outputs."""
    sounds = sorted((out / "generated").glob("*.wav"))
    return "\n".join(
        [
            f"new sounds  {len(sounds)} WAV files in {out / 'generated'}",
            f"map         {out / 'map.png'}" if (out / "map.png").exists() else "map         none (03_latent_map)",
            f"notebooks   executed copies in {out}: {', '.join(path.name for path in executed)}",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
