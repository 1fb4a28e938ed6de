"""What a song sounds like: its samples, and its beats."""

from .beats import estimate_tempo_map
from .loading import AudioError, audio_duration, load_audio
from .transcoding import to_ogg

__all__ = ["AudioError", "audio_duration", "estimate_tempo_map", "load_audio", "to_ogg"]
