"""The `vaelab` command. Public names: `main`, and `parser` for its options."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submodules=[], submod_attrs={"command_line": ["main", "parser"]}
)
