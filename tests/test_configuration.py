import pytest

from tabhero_hf import TabHeroConfig, TabHeroForConditionalGeneration


@pytest.mark.parametrize(
    ("size", "heads", "original", "stated"),
    [("tiny", 8, 6.1, 5.4), ("small", 6, 13.5, 12.3), ("base", 8, 34.3, 30.2), ("large", 12, 100.4, 87.5)],
)
def test_named_sizes_have_the_stated_parameters(size, heads, original, stated):
    import torch

    def millions(**fields) -> float:
        with torch.device("meta"):
            return TabHeroForConditionalGeneration(TabHeroConfig.from_size(size, **fields)).num_parameters() / 1e6

    assert millions() == pytest.approx(stated, abs=0.05)
    bare = {"onset_head": False, "onset_pointer": False, "fret_pointer": False}
    assert millions(**bare, num_key_value_heads=heads) == pytest.approx(original, abs=0.05)


def test_other_heads_of_a_named_size_have_keys_and_values_of_their_own():
    assert TabHeroConfig.from_size("base", num_attention_heads=4).num_key_value_heads == 4
    assert TabHeroConfig.from_size("base", num_attention_heads=4, num_key_value_heads=1).num_key_value_heads == 1


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
        ({"fret_encoder": True, "fret_pointer": False}, "`fret_encoder` needs `fret_pointer`"),
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
