"""Where each setting came from: a line of the file, or a variable of the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from pathlib import Path

from .lines import line_of
from .problems import KeyPath, Problem, dotted

PREFIX = "SFSYNC_"


def variable(path: KeyPath) -> str:
    """The environment variable that sets a key."""
    return PREFIX + "__".join(str(part) for part in path).upper().replace("-", "_")


@dataclass
class Origins:
    """The file with its lines, the variables that were used, and the problems found so far."""

    file: Path
    lines: Mapping[KeyPath, int] = field(default_factory=dict)
    variables: dict[KeyPath, str] = field(default_factory=dict)
    found: list[tuple[float, Problem]] = field(default_factory=list)  # each with its line
    warnings: list[Problem] = field(default_factory=list)
    told: set[KeyPath] = field(default_factory=set)  # keys that have had their problem
    explained: set[KeyPath] = field(default_factory=set)  # keys that are missing because of another problem

    def where(self, path: KeyPath) -> str:
        """The place to look at for a key."""
        name = self.variable_of(path)
        if name is not None:
            return f"environment variable {name}"
        line = line_of(self.lines, path)
        return str(self.file) if line is None else f"{self.file}, line {line}"

    def variable_of(self, path: KeyPath) -> str | None:
        """The variable that gave this key or something around it."""
        around = (path[:length] for length in range(len(path), 0, -1))
        return next((self.variables[part] for part in around if part in self.variables), None)

    def problem(self, path: KeyPath, what: str, remedy: str) -> None:
        """Note the problem of a key; the first that is found counts."""
        if path not in self.told:
            problem = Problem(self.where(path), dotted(path), what, remedy)
            line = line_of(self.lines, path) if self.variable_of(path) is None else inf
            self.found.append((line or 0, problem))
        self.told.add(path)

    def problems(self) -> list[Problem]:
        """All of them, in the file's order, then those of the environment."""
        return [problem for _, problem in sorted(self.found, key=lambda pair: pair[0])]

    def missing(self, path: KeyPath, remedy: str) -> None:
        """Note that a key is missing, unless another problem has explained why."""
        if path not in self.explained:
            self.problem(path, "is missing", remedy)

    def warning(self, path: KeyPath, what: str, remedy: str = "") -> None:
        """Note something that works but should be mended."""
        self.warnings.append(Problem(self.where(path), dotted(path), what, remedy))
