"""What a person can mend: told in a line each, without a traceback."""

from collections.abc import Sequence


class SuiteError(Exception):
    """The suite cannot do what it was asked for; one text per problem."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems: Sequence[str] = problems
