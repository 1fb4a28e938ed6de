"""Notes beside each other: which sound alike, and which of two is the higher."""

import librosa
import numpy as np
import pytest

from tabhero_hf.audio.likeness import BACK, compare_notes
from tabhero_hf.audio.note_spectra import MEDIAN_FRAMES, hear_notes, sounding_on

RATE = 22050
STEP = 0.3


def played(pitches: list[int], drums: float = 0.0, seed: int = 0) -> np.ndarray:
    """Plucked strings of these MIDI pitches, one every 0.3 s from 0.5 s on, and something struck on each of them."""
    rng = np.random.default_rng(seed)
    song = np.zeros(int((len(pitches) * STEP + 1.5) * RATE), dtype=np.float32)
    for i, pitch in enumerate(pitches):
        start, time = int((0.5 + i * STEP) * RATE), np.arange(int(STEP * RATE)) / RATE
        hertz = 440 * 2 ** ((pitch - 69) / 12)
        note = sum(np.sin(2 * np.pi * k * hertz * time + rng.uniform(0, 6)) / k for k in range(1, 12))
        hit = rng.standard_normal(len(time)) * np.exp(-time / 0.03)
        song[start : start + len(time)] += note * np.exp(-3 * time) + drums * hit
    return song


def onsets(pitches: list[int]) -> np.ndarray:
    return 0.5 + STEP * np.arange(len(pitches))


@pytest.mark.parametrize("drums", [0.0, 3.0])
def test_the_same_pitch_sounds_alike_and_a_higher_one_rises(drums):
    pitches = [40, 40, 43, 43, 45, 45, 40, 47, 52, 50, 40, 40, 55, 55, 52, 50, 47, 45, 43, 40] * 3
    (spectra,) = hear_notes(played(pitches, drums), RATE, [onsets(pitches)])
    compared = compare_notes(spectra)
    assert compared.same is None and compared.higher is None
    for back in (1, 2, 5):
        likeness, rise = (values[back - 1, back:] for values in compared[:2])
        step = np.array(pitches[back:]) - pitches[:-back]
        assert np.median(likeness[step == 0]) > 0.85 and np.median(likeness[step != 0]) < 0.7
        assert (np.sign(rise[step != 0]) == np.sign(step[step != 0])).mean() > 0.8


def test_each_chart_is_compared_for_itself():
    pitches = [40, 45, 40, 45, 52, 45, 40, 40]
    times = onsets(pitches)
    both = [
        compare_notes(each) for each in hear_notes(played(pitches), RATE, [times, times[::2], times[:0], times[:1]])
    ]
    assert [comparison.rise.shape for comparison in both] == [(BACK, 8), (BACK, 4), (BACK, 0), (BACK, 1)]
    assert both[0].likeness[1, 2] > 0.9 and both[1].likeness[0, 1] > 0.9  # of the first and third, in both
    assert not both[3].likeness.any()


def test_a_long_song_is_compared_in_blocks_as_it_is_at_once(monkeypatch):
    pitches = list(np.random.default_rng(3).integers(40, 60, 60))
    song, times = played(pitches, drums=1.0), onsets(pitches)
    (whole,) = hear_notes(song, RATE, [times])
    monkeypatch.setattr("tabhero_hf.audio.note_spectra.BLOCK_FRAMES", 50)
    (blocks,) = hear_notes(song, RATE, [times])
    np.testing.assert_allclose(blocks.notes, whole.notes, atol=1e-3)
    np.testing.assert_allclose(blocks.before, whole.before, atol=1e-3)


def test_silence_and_notes_behind_the_end_are_compared_with_nothing():
    (spectra,) = hear_notes(np.zeros(3 * RATE, np.float32), RATE, [np.array([0.5, 1.0, 9.0])])
    silent = compare_notes(spectra)
    assert not silent.likeness.any() and not silent.rise.any()
    (nothing,) = hear_notes(np.zeros(99, np.float32), RATE, [np.zeros(0)])
    assert compare_notes(nothing, np.zeros((0, 72))).same.shape == (BACK, 0)


def test_odds_of_pitches_are_those_of_what_is_likely():
    """Of a note on the first or the second pitch and one on the second: as likely the same as higher."""
    (spectra,) = hear_notes(np.zeros(2 * RATE, np.float32), RATE, [np.array([0.5, 1.0, 1.5])])
    compared = compare_notes(spectra, np.array([[0.5, 0.5, 0], [0, 1, 0], [0, 0, 1]]))
    assert compared.same[0].tolist() == pytest.approx([0, 0, np.log(1e-3)])
    assert compared.higher[0].tolist() == pytest.approx([0, np.log(0.5 / 1e-3), np.log(1 / 1e-3)])
    assert compared.higher[1].tolist() == pytest.approx([0, 0, np.log(1 / 1e-3)]) and not compared.same[2:].any()


def test_a_note_has_what_it_is_struck_into_beside_it():
    """The fifth note is heard behind its onset, and the fourth before it."""
    pitches = [40, 52, 40, 52, 45]
    (spectra,) = hear_notes(played(pitches), RATE, [onsets(pitches)])
    note, before = spectra.in_octaves(440 * 2 ** (-45 / 12), 252, 36)[4]
    assert note[(45 - 24) * 3] > 2 * before[(45 - 24) * 3] and before[(52 - 24) * 3] > 2 * note[(52 - 24) * 3]


def test_what_plays_at_the_sides_is_heard_before_a_louder_middle():
    guitar, voice = [40, 52, 40, 52, 45], [59, 57, 62, 60, 64]
    sides = played(guitar)
    middle = 2 * played(voice) + sides
    (mixed,) = hear_notes(middle, RATE, [onsets(guitar)])
    (apart,) = hear_notes(middle, RATE, [onsets(guitar)], sides)
    for note, (low, high) in enumerate(zip(guitar, voice, strict=True)):
        alone, together = (each.in_octaves(440 * 2 ** (-45 / 12), 252, 36)[note, 0] for each in (apart, mixed))
        low, high = 3 * (low - 24), 3 * (high - 24)
        assert alone[low] - alone[high] > together[low] - together[high] + 0.2
    # Where there is nothing at the sides, the middle is heard as it is.
    silent = np.zeros_like(middle)
    (heard,) = hear_notes(middle, RATE, [onsets(guitar)], silent)
    np.testing.assert_allclose(heard.notes, mixed.notes, rtol=1e-4)


def test_what_sounds_on_is_what_librosa_finds():
    waveform = played([40, 47, 45, 52], drums=1.0)
    magnitude = np.abs(librosa.stft(waveform, n_fft=2048, hop_length=256))
    magnitude[:, 40:60] = 0  # silence is neither
    expected, _ = librosa.decompose.hpss(magnitude, kernel_size=MEDIAN_FRAMES)
    np.testing.assert_array_equal(sounding_on(magnitude), expected)
