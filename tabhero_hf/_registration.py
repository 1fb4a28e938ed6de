"""
Adds Tab Hero to the Auto classes and pipelines of transformers, once those are imported.

transformers takes seconds to import, so this package does not import it for the sake of registration alone. Each of
our modules registers its class when it is complete, and is imported behind the module of transformers that it is
looked up from. (Two steps, because the import may have begun with ours: then it is not complete yet.)
"""

import importlib

import wrapt


def register():
    """Registers what transformers has already imported now, and the rest when it is."""
    for module, hook in _REGISTER.items():
        wrapt.register_post_import_hook(hook, f"{__package__}.{module}")
    for trigger, modules in _TRIGGERS.items():
        wrapt.register_post_import_hook(lambda _, modules=modules: _import(modules), trigger)


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
