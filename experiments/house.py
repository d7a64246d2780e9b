"""Figures of the code itself: `python -m experiments.house`, or beside those of a commit with `--against REV`.

Sizes, names, docstrings, the time of an import in a new process, and the graph of folders: who imports whom, how often.
All is read from the syntax trees; `tests/test_package.py` takes the graph from here.
"""

import argparse
import ast
import io
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from experiments.common import tables

COMMAND = "python -m experiments.house"
ROOT = Path(__file__).parents[1]
# Each row may import from the rows below it only. A name is a folder of the package, or a module at its top.
ROWS = {
    "vaelab": [
        {"cli", "workspace"},
        {"widgets"},
        {"ui"},
        {"sharing"},
        {"play", "training"},
        {"models"},
        {"library"},
        {"data"},
        {"datasets"},
        {"model"},
        {"networks"},
        {"flows"},
        {"pca"},
        {"slicing"},
        {"onsets"},
        {"audio"},
        {"texture"},
        {"spectral"},
        {"config", "files", "numba_cache", "progress", "tensorfile", "text"},
    ],
    "experiments": [
        {"house"},
        {"release", "quality", "speed"},
        {"common"},
    ],
}
EMPTY = {"found", "made", "kept", "known", "heard", "told", "said", "there", "one", "of"}  # as names say nothing
QUESTIONS = ("What", "How", "Where", "Whether", "Which", "Who", "When")
TIMED = {"vaelab": ("vaelab", "vaelab.cli")}
IMPORTS = 3  # of each module; the fastest counts
CLOCK = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"

Arrows = Counter[tuple[str, str]]


def modules(package: Path) -> list[Path]:
    """The modules of a package but for its own `__init__`."""
    return sorted(path for path in package.rglob("*.py") if path != package / "__init__.py")


def place(package: Path, path: Path) -> str:
    """The folder of a module, or its own name at the top."""
    first, *rest = path.relative_to(package).parts
    return first if rest else path.stem


def imports(path: Path, package: str = "vaelab") -> list[tuple[str, str | None]]:
    """(folder or top module, module or name within it) of each import of a package in a file."""
    pairs: list[tuple[str, str | None]] = []
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.ImportFrom):
            root, *inside = (node.module or "").split(".")
            if node.level:
                raise ValueError(f"{path}:{node.lineno}: expected an absolute import, found a relative one")
            if root == package and inside:
                pairs += [(inside[0], inside[1] if inside[1:] else alias.name) for alias in node.names]
            elif root == package:
                pairs += [(alias.name, None) for alias in node.names if alias.name != "VaelabError"]
        elif isinstance(node, ast.Import):
            dotted = [alias.name.split(".") for alias in node.names]
            pairs += [
                (parts[1], parts[2] if parts[2:] else None) for parts in dotted if parts[0] == package and parts[1:]
            ]
    return pairs


def arrows(package: Path) -> Arrows:
    """The number of imports from each place of a package to each other."""
    places = {place(package, path) for path in modules(package)}
    pairs = [(place(package, path), end) for path in modules(package) for end, _ in imports(path, package.name)]
    return Counter((start, end) for start, end in pairs if start != end and end in places)


def upward(graph: Arrows, rows: Sequence[set[str]]) -> list[tuple[str, str]]:
    """Arrows between places of the rows that do not run down."""
    row = _row_numbers(rows)
    return sorted((start, end) for start, end in graph if {start, end} <= row.keys() and row[start] >= row[end])


def circular(graph: Arrows) -> list[str]:
    """Places on a circle of arrows, or between two circles."""
    left = set(graph)
    while True:
        starts, ends = {start for start, _ in left}, {end for _, end in left}
        inner = {(start, end) for start, end in left if start in ends and end in starts}
        if inner == left:
            return sorted({start for start, _ in left})
        left = inner


def verdict(graph: Arrows, rows: Sequence[set[str]]) -> str:
    """The graph's judgement in words."""
    faults = {
        "upward arrow": [f"{start} -> {end}" for start, end in upward(graph, rows)],
        "circle": circular(graph),
        "place without a row": sorted({name for arrow in graph for name in arrow} - _row_numbers(rows).keys()),
    }
    if not any(faults.values()):
        return "no upward arrow, no circle"
    return "; ".join(f"{fault}: {', '.join(names)}" for fault, names in faults.items() if names)


def figures(package: Path) -> dict[str, float | str]:
    """Sizes, names and docstrings of a package."""
    paths = sorted(package.rglob("*.py"))
    trees = [_tree(path) for path in paths]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    top = [node for tree in trees for node in tree.body if isinstance(node, definitions)]
    bodies = {node: body_lines(node) for node in functions}
    longest = max(functions, key=bodies.__getitem__)
    names = [name.strip("_").lower() for node in nodes for name in bound(node)]
    empty = sum(name in EMPTY for name in names)
    documented = [ast.get_docstring(node) for node in nodes if isinstance(node, (ast.Module, *definitions))]
    openings = [text.split()[0].strip(",:") for text in documented if text]
    return {
        "files": len(paths),
        "lines": sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths),
        "functions": len(functions),
        "public functions and classes": sum(not node.name.startswith("_") for node in top),
        "median body, lines": float(statistics.median(bodies.values())),
        "longest body, lines": f"{bodies[longest]} ({longest.name})",
        "bindings": len(names),
        "bindings that say nothing": f"{empty} ({empty / len(names):.1%})",
        "docstrings that ask": sum(word in QUESTIONS for word in openings),
    }


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function below its docstring."""
    statements = function.body[ast.get_docstring(function) is not None :]
    return statements[-1].end_lineno - statements[0].lineno + 1 if statements else 0


def bound(node: ast.AST) -> Iterator[str]:
    """The name that a node binds, if it binds one: an assignment, an argument, a function, a class."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif isinstance(node, ast.arg):
        yield node.arg
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name


def import_seconds(root: Path, module: str) -> float:
    """Seconds that an import takes in a new process, from a checkout."""
    environment = {**os.environ, "PYTHONPATH": str(root)}
    command = [sys.executable, "-c", CLOCK.format(module)]
    runs = [
        subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=True)
        for _ in range(IMPORTS)
    ]
    return min(float(run.stdout) for run in runs)


def export(root: Path, revision: str, folder: Path) -> None:
    """Write the modules of a commit into a folder."""
    command = ["git", "archive", revision, "--", *(f":(glob){name}/**/*.py" for name in ROWS)]
    archive = subprocess.run(command, cwd=root, capture_output=True, check=False)
    if archive.returncode:
        raise ValueError(f"expected a commit, found {revision}: {archive.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(folder, filter="data")


def report(trees: dict[str, Path]) -> str:
    """The figures and the graph of each package, a column for each checkout."""
    parts = []
    for name, rows in ROWS.items():
        packages = [root / name for root in trees.values()]
        measured = [
            {
                **figures(package),
                **{f"import {module}, s": import_seconds(root, module) for module in TIMED.get(name, ())},
            }
            for package, root in zip(packages, trees.values(), strict=True)
        ]
        parts.append(tables.as_text([name, *trees], [[key, *(each[key] for each in measured)] for key in measured[0]]))
        graphs = [arrows(package) for package in packages]
        row = _row_numbers(rows)
        ends = sorted(set().union(*graphs), key=lambda arrow, row=row: [(row.get(name, -1), name) for name in arrow])
        cells = [[f"{start} -> {end}", *(graph[start, end] or None for graph in graphs)] for start, end in ends]
        parts.append(tables.as_text(["imports", *trees], cells))
        parts.append("\n".join(f"{title}: {verdict(graph, rows)}" for title, graph in zip(trees, graphs, strict=True)))
    return "\n\n".join(parts)


def _row_numbers(rows: Sequence[set[str]]) -> dict[str, int]:
    return {name: number for number, names in enumerate(rows) for name in names}


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("--against", metavar="REV", help="a commit whose figures stand beside today's")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        trees = {"now": ROOT}
        if options.against:
            try:
                export(ROOT, options.against, Path(scratch))
            except ValueError as error:
                parser.error(f"--against: {error}")
            trees = {options.against: Path(scratch), **trees}
        print(report(trees))


if __name__ == "__main__":
    main()
