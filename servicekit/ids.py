"""Identifiers made by the server."""

import random
import string
import uuid

_ALPHABET = string.ascii_lowercase + string.digits
_LENGTH = 10


class Ids:
    """Draws identifiers from the randomness it is given. The database proves them unique: redraw on a collision."""

    def __init__(self, source: random.Random | None = None) -> None:
        self._random = source if source is not None else random.SystemRandom()

    def new(self, prefix: str) -> str:
        """A resource id such as `pol-3k9x0a7b2c`: the prefix, a dash and 10 lower-case letters or digits."""
        return f"{prefix}-{''.join(self._random.choices(_ALPHABET, k=_LENGTH))}"

    def uid(self) -> str:
        """A UUID of version 4 in canonical text."""
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))
