"""Parsing a command's words: hints for misspelt options, and files that follow a list of numbers."""

import argparse
import difflib
from collections.abc import Sequence
from typing import Any

FILES = "--files"  # ends a list of numbers; put there by the parser, not by people


class Command(argparse.ArgumentParser):
    """A command that names the option that was meant, and takes files behind `--weights 1 2`."""

    def __init__(self, **settings: Any):
        """As argparse does."""
        super().__init__(**settings)
        self.add_argument(FILES, action=_Nothing, nargs=0, default=argparse.SUPPRESS, help=argparse.SUPPRESS)

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:
        """As argparse does, after a look at the options' names."""
        words = list(args or ())
        self._check_names(words)
        return super().parse_known_args(self._files_apart(words), namespace)

    def flag(self, name: str) -> str | None:
        """The option that sets something of a name, as it is written."""
        options = (option for option in self._actions if option.dest == name and option.option_strings)
        return next((option.option_strings[-1] for option in options), None)

    def _check_names(self, words: Sequence[str]) -> None:
        names = [name for name in self._option_string_actions if name != FILES]
        for word in words:
            if word == "--":
                return
            name = word.split("=")[0]
            if name.startswith("--") and name not in self._option_string_actions:
                close = difflib.get_close_matches(name, names, 1)
                self.error(f"unrecognized option {name}" + (f"; did you mean {close[0]}?" if close else ""))

    def _files_apart(self, words: Sequence[str]) -> list[str]:
        """The words, with `FILES` where a list of numbers ends and other words follow."""
        apart, in_numbers = [], False
        for word in words:
            option = self._option_string_actions.get(word)
            if option is not None:
                in_numbers = option.nargs == "+" and option.type is float
            elif in_numbers and not _is_number(word):
                apart.append(FILES)
                in_numbers = False
            apart.append(word)
        return apart


class _Nothing(argparse.Action):
    def __call__(self, *_: Any, **__: Any) -> None:
        pass


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
