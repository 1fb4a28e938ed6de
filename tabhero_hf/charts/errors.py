"""The one error that reading and writing charts raises."""

from __future__ import annotations

import os


class ChartError(ValueError):
    """A chart, or a file of one, is not what it has to be.

    Args:
        reason: what is wrong, in one phrase.
        file: the file it was found in, if it came from one.
        position: where in the file, such as ``"line 12"`` or ``"track 2, tick 768"``.

    The message is ``"{file}, {position}: {reason}"`` without the parts that are not known; all three are attributes.
    """

    def __init__(
        self, reason: str, *, file: str | os.PathLike[str] | None = None, position: str | None = None
    ) -> None:
        self.reason = reason
        self.file = None if file is None else os.fspath(file)
        self.position = position
        where = ", ".join(part for part in (self.file, position) if part)
        super().__init__(f"{where}: {reason}" if where else reason)

    def located(self, file: str | os.PathLike[str], position: str | None = None) -> ChartError:
        """The same error with the place it lacked when it was raised."""
        return ChartError(self.reason, file=self.file or file, position=self.position or position)
