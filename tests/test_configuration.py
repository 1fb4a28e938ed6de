import pytest

from tabhero_hf import TabHeroConfig, TabHeroForConditionalGeneration


@pytest.mark.parametrize(("size", "millions"), [("tiny", 6.1), ("small", 13.5), ("base", 34.3), ("large", 100.4)])
def test_named_sizes_have_the_stated_parameters(size, millions):
    config = TabHeroConfig.from_size(size, onset_head=False, onset_pointer=False, fret_pointer=False)
    import torch

    with torch.device("meta"):
        model = TabHeroForConditionalGeneration(config)
    assert model.num_parameters() / 1e6 == pytest.approx(millions, abs=0.05)


def test_unknown_size_names_the_known_ones():
    with pytest.raises(ValueError, match="'huge'.*tiny, small, base, large"):
        TabHeroConfig.from_size("huge")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"hidden_size": 100, "encoder_hidden_size": 64, "num_attention_heads": 8},
            r"`hidden_size` \(100\) must be a multiple",
        ),
        ({"hidden_size": 24, "num_attention_heads": 8}, "`head_dim` must be even"),
        ({"encoder_hidden_size": 60}, "multiple of 8"),
        ({"downsample_factor": 3}, "must be 2, 4 or 8"),
        ({"num_key_value_heads": 3}, "`num_key_value_heads`"),
        ({"hidden_size": 0, "encoder_hidden_size": 64}, "`hidden_size` must be positive"),
        ({"num_attention_heads": 0}, "`num_attention_heads` must be positive"),
        ({"num_hidden_layers": 0}, "`num_hidden_layers` must be positive"),
        ({"encoder_layers": -1}, "`encoder_layers` must not be negative"),
        ({"encoder_layers": 1, "encoder_hidden_size": 72}, "when the encoder has attention layers"),
        ({"onset_head": False}, "`onset_pointer` needs `onset_head`"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(fields, message):
    with pytest.raises(Exception, match=message):
        TabHeroConfig(**fields)


def test_round_trip_through_a_folder(tmp_path):
    config = TabHeroConfig.from_size("small", encoder_layers=2, downsample_factor=8, dropout=0.1)
    config.save_pretrained(tmp_path)
    assert TabHeroConfig.from_pretrained(tmp_path).to_dict() == config.to_dict()
