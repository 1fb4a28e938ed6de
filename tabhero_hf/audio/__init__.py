"""What a song sounds like: its samples, and its beats."""

from .beats import Beats, estimate_tempo_map, track_beats
from .loading import AudioError, audio_duration, load_audio
from .transcoding import to_ogg

__all__ = ["AudioError", "Beats", "audio_duration", "estimate_tempo_map", "load_audio", "to_ogg", "track_beats"]
