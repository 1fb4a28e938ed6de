"""
Tab Hero listens to a song and writes a chart that people play in Clone Hero.

Importing this package is cheap: its names are loaded when they are first used, and its classes are added to the Auto
classes and pipelines of transformers when those are.
"""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from . import _registration

if TYPE_CHECKING:
    from .configuration_tabhero import TabHeroConfig
    from .feature_extraction_tabhero import TabHeroFeatureExtractor
    from .generation_tabhero import (
        TabHeroEndLogitsProcessor,
        TabHeroGrammarLogitsProcessor,
        TabHeroToldNotesLogitsProcessor,
    )
    from .modeling_tabhero import TabHeroForConditionalGeneration, TabHeroModel, TabHeroPreTrainedModel
    from .pipeline import AudioToChartPipeline
    from .processing_tabhero import TabHeroProcessor
    from .tokenization_tabhero import TabHeroTokenizer

__version__ = "0.1.0"

_MODULES = {
    "AudioToChartPipeline": "pipeline",
    "TabHeroConfig": "configuration_tabhero",
    "TabHeroFeatureExtractor": "feature_extraction_tabhero",
    "TabHeroForConditionalGeneration": "modeling_tabhero",
    "TabHeroEndLogitsProcessor": "generation_tabhero",
    "TabHeroGrammarLogitsProcessor": "generation_tabhero",
    "TabHeroModel": "modeling_tabhero",
    "TabHeroPreTrainedModel": "modeling_tabhero",
    "TabHeroProcessor": "processing_tabhero",
    "TabHeroTokenizer": "tokenization_tabhero",
    "TabHeroToldNotesLogitsProcessor": "generation_tabhero",
}

__all__ = [
    "AudioToChartPipeline",
    "TabHeroConfig",
    "TabHeroEndLogitsProcessor",
    "TabHeroFeatureExtractor",
    "TabHeroForConditionalGeneration",
    "TabHeroGrammarLogitsProcessor",
    "TabHeroModel",
    "TabHeroPreTrainedModel",
    "TabHeroProcessor",
    "TabHeroTokenizer",
    "TabHeroToldNotesLogitsProcessor",
    "bundled_checkpoint",
]


def bundled_checkpoint(name: str = "tiny") -> str:
    """
    The folder of a checkpoint that ships with this package, for any `from_pretrained`.

    Raises:
        ValueError: no checkpoint of that name ships.
    """
    folder = Path(__file__).parent / "checkpoints"
    if not (folder / name / "config.json").is_file():
        known = ", ".join(sorted(path.parent.name for path in folder.glob("*/config.json")))
        raise ValueError(f"no checkpoint {name!r} ships with tabhero_hf; there is: {known}")
    return str(folder / name)


def __getattr__(name: str):
    if name in _MODULES:
        return getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


_registration.register()
