"""
Adds Tab Hero to the Auto classes and pipelines of transformers, once those are imported.

transformers takes seconds to import, so this package does not import it for the sake of registration alone. Each of
our modules registers its class when it is complete, and is imported behind the module of transformers that it is
looked up from. (Two steps, because the import may have begun with ours: then it is not complete yet.)
"""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType


def register():
    """Registers what transformers has already imported now, and the rest when it is."""
    hooks = {f"{__package__}.{module}": hook for module, hook in _REGISTER.items()}
    for trigger, modules in _TRIGGERS.items():
        hooks[trigger] = lambda _, modules=modules: _import(modules)
    sys.meta_path.insert(0, _PostImportFinder(hooks))
    for name, hook in hooks.items():
        if name in sys.modules:
            hook(sys.modules[name])


class _PostImportFinder:
    """
    Calls a function with a module once that has been imported (PEP 369's idea, by a finder of PEP 451).

    The package wrapt does as much, but imports asyncio, which takes longer than all of our readers of charts.
    """

    def __init__(self, hooks: dict[str, Callable[[ModuleType], None]]):
        self.hooks = hooks
        self.searching: set[str] = set()

    def find_spec(self, name, path=None, target=None):
        if name not in self.hooks or name in self.searching:
            return None
        self.searching.add(name)  # the search below comes by here again
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self.searching.discard(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _HookedLoader(spec.loader, self.hooks[name])
        return spec


class _HookedLoader:
    def __init__(self, loader, hook: Callable[[ModuleType], None]):
        self.loader = loader
        self.hook = hook

    def __getattr__(self, name: str):
        return getattr(self.loader, name)

    def exec_module(self, module: ModuleType):
        module.__spec__.loader = module.__loader__ = self.loader
        self.loader.exec_module(module)
        self.hook(module)


def _import(modules: tuple[str, ...]):
    for module in modules:
        importlib.import_module(module, __package__)


def _config(ours):
    from transformers import AutoConfig

    ours.TabHeroConfig.register_for_auto_class()
    AutoConfig.register("tabhero", ours.TabHeroConfig, exist_ok=True)


def _tokenizer(ours):
    from transformers import AutoTokenizer

    from .configuration_tabhero import TabHeroConfig

    ours.TabHeroTokenizer.register_for_auto_class()
    AutoTokenizer.register(TabHeroConfig, ours.TabHeroTokenizer, exist_ok=True)


def _feature_extractor(ours):
    from transformers import AutoFeatureExtractor

    from .configuration_tabhero import TabHeroConfig

    ours.TabHeroFeatureExtractor.register_for_auto_class()
    AutoFeatureExtractor.register(TabHeroConfig, ours.TabHeroFeatureExtractor, exist_ok=True)


def _processor(ours):
    from transformers import AutoProcessor

    from .configuration_tabhero import TabHeroConfig

    ours.TabHeroProcessor.register_for_auto_class()
    AutoProcessor.register(TabHeroConfig, ours.TabHeroProcessor, exist_ok=True)


def _models(ours):
    from transformers import AutoModel, AutoModelForSpeechSeq2Seq

    from .configuration_tabhero import TabHeroConfig

    ours.TabHeroModel.register_for_auto_class("AutoModel")
    AutoModel.register(TabHeroConfig, ours.TabHeroModel, exist_ok=True)
    ours.TabHeroForConditionalGeneration.register_for_auto_class("AutoModelForSpeechSeq2Seq")
    AutoModelForSpeechSeq2Seq.register(TabHeroConfig, ours.TabHeroForConditionalGeneration, exist_ok=True)


def _pipeline(ours):
    from transformers import AutoModelForSpeechSeq2Seq
    from transformers.pipelines import PIPELINE_REGISTRY

    from . import bundled_checkpoint

    PIPELINE_REGISTRY.register_pipeline(
        "audio-to-chart",
        pipeline_class=ours.AudioToChartPipeline,
        pt_model=AutoModelForSpeechSeq2Seq,
        default={"model": (bundled_checkpoint(), "main")},
        type="audio",
    )


_REGISTER = {
    "configuration_tabhero": _config,
    "tokenization_tabhero": _tokenizer,
    "feature_extraction_tabhero": _feature_extractor,
    "processing_tabhero": _processor,
    "modeling_tabhero": _models,
    "pipeline": _pipeline,
}
_TRIGGERS = {
    "transformers.models.auto.configuration_auto": (".configuration_tabhero",),
    "transformers.models.auto.tokenization_auto": (".tokenization_tabhero",),
    "transformers.models.auto.feature_extraction_auto": (".feature_extraction_tabhero",),
    "transformers.models.auto.processing_auto": (".processing_tabhero",),
    # Our modelling file needs modeling_layers, which itself imports modeling_auto.
    "transformers.models.auto.modeling_auto": ("transformers.modeling_layers",),
    "transformers.modeling_layers": (".modeling_tabhero",),
    "transformers.pipelines": (".pipeline",),
}
