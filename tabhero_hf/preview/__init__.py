"""Shows what a chart looks like when it is played: as a web page that scrolls with the audio, and as pictures."""

from .page import write_preview
from .picture import write_pictures

__all__ = ["write_pictures", "write_preview"]
