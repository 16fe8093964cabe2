"""YAML with the line of everything, and a list of all that is wrong with it.

Texts stay as they are written: YAML alone would read `02:00` as the number 120, and `no` as false.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

import yaml

from suite.errors import SuiteError

T = TypeVar("T")
_NULL = "tag:yaml.org,2002:null"


@dataclass(frozen=True, order=True)
class Problem:
    """What is wrong in a line; lines count from 1."""

    line: int
    message: str


def error(path: Path, problems: Iterable[Problem]) -> SuiteError:
    """All that is wrong with the file, in the order of lines: `FILE:LINE: message`."""
    return SuiteError(*(f"{path}:{problem.line}: {problem.message}" for problem in sorted(set(problems))))


class Value:
    """A value of the document. What is wrong with it goes to the list of problems, and reading goes on."""

    def __init__(self, node: yaml.Node, line: int, path: tuple[str, ...], problems: list[Problem]) -> None:
        self._node = node
        self._path = path
        self._problems = problems
        self.line = line

    @property
    def is_list(self) -> bool:
        return isinstance(self._node, yaml.SequenceNode)

    def wrong(self, message: str) -> None:
        where = ".".join(part for part in self._path[-2:] if part)
        self._problems.append(Problem(self.line, f"{where}: {message}" if where else message))

    def text(self, parse: Callable[[str], T], default: T) -> T:
        """What `parse` makes of the text. If it raises a ValueError, which says what is wanted: the default."""
        if not isinstance(self._node, yaml.ScalarNode):
            self.wrong("must be a single value")
            return default
        try:
            return parse(self._node.value)
        except ValueError as error:
            self.wrong(f"{error}, is {self._node.value[:60]!r}")
            return default

    def key(self, parse: Callable[[str], T], default: T) -> T:
        """What `parse` makes of the key that this is the value of; if it raises a ValueError: the default."""
        try:
            return parse(self._path[-1])
        except ValueError as error:
            self.wrong(str(error))
            return default

    def items(self) -> "list[Value]":
        """The items of a list."""
        if not isinstance(self._node, yaml.SequenceNode):
            self.wrong("must be a list")
            return []
        return [Value(item, item.start_mark.line + 1, self._path, self._problems) for item in self._node.value]

    def fields(self, known: Collection[str] | None = None) -> "dict[str, Value]":
        """The values by their keys, none if there is nothing. With `known`, any other key is wrong."""
        if not isinstance(self._node, yaml.MappingNode):
            if self._node.tag != _NULL:
                self.wrong("must have keys and values")
            return {}
        found: dict[str, Value] = {}
        for key, node in self._node.value:
            self._add(key, node, known, found)
        return found

    def _add(self, key: yaml.Node, node: yaml.Node, known: Collection[str] | None, found: "dict[str, Value]") -> None:
        name = str(key.value) if isinstance(key, yaml.ScalarNode) else ""
        value = Value(node, key.start_mark.line + 1, (*self._path, name), self._problems)
        if not name:
            value.wrong("a key must be a single value")
        elif name in found:
            value.wrong(f"is there already, in line {found[name].line}")
        elif known is not None and name not in known:
            value.wrong(f"there is no such key{hint(name, known)}")
        else:
            found[name] = value


def hint(name: str, known: Collection[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known)}"


def parse(text: str, problems: list[Problem]) -> Value | None:
    """The document, or None if it is no YAML, or empty: that is a problem then."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problems.append(Problem(mark.line + 1 if mark else 1, f"is no YAML: {error.problem or error.context}"))
        return None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        problems.append(Problem(line, f"is no YAML: the character {text[error.position]!r} is not allowed"))
        return None
    if node is None:
        problems.append(Problem(1, "is empty"))
        return None
    return Value(node, node.start_mark.line + 1, (), problems)
