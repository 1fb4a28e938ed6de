import mir_eval
import numpy as np
import pytest
from made_music import make_music

from tabhero_hf.audio import estimate_tempo_map, load_audio
from tabhero_hf.audio.beats import track_beats
from tabhero_hf.audio.onsets import attack_lag, onset_strength
from tabhero_hf.charts import Difficulty, Instrument, TempoMap, read_song
from tabhero_hf.data.composition import compose_song
from tabhero_hf.data.made_songs import render_training_song

RATE = 22050


def plucks(times, seconds):
    """Decaying tones at these times, over faint noise."""
    samples = np.random.default_rng(0).normal(0, 1e-3, round(seconds * RATE))
    for time in times:
        start = round(time * RATE)
        since = np.arange(len(samples[start : start + RATE // 3])) / RATE
        samples[start : start + RATE // 3] += 0.5 * np.sin(2 * np.pi * 330 * since) * np.exp(-8 * since)
    return samples.astype(np.float32)


@pytest.mark.parametrize(
    ("bpm", "first"),
    [(84.0, 0.0), (84.0, 2.9), (97.3, 0.31), (120.0, 0.0), (120.0, 0.02), (137.21, 2.9), (188.0, 0.0), (188.0, 0.31)],
)
def test_beats_fall_on_quarter_ticks(bpm, first):
    beats = np.arange(first, 39.5, 60 / bpm)
    tempo_map = estimate_tempo_map(plucks(beats, 40), RATE)
    assert tempo_map.resolution == 480
    assert tempo_map.tempos[-1][1] == pytest.approx(bpm, abs=0.02)
    beats = beats[beats > tempo_map.seconds(480) - 0.1]
    ticks = tempo_map.ticks(beats)
    on_beat = tempo_map.seconds(np.rint(ticks / 480) * 480)
    assert np.abs(on_beat - beats).max() < 0.008


def test_tempo_map_is_what_a_chart_file_holds():
    tempo_map = estimate_tempo_map(plucks(np.arange(0.4, 20, 0.437), 20), RATE)
    assert all(bpm == round(bpm, 3) for _, bpm in tempo_map.tempos)
    assert tempo_map.tempos[0][0] == 0
    assert 60 / 1.5 < tempo_map.tempos[0][1] < 190 * 2


def test_busier_rhythm_keeps_its_beat():
    eighths = np.arange(0.2, 39, 60 / 128 / 2)
    keep = np.random.default_rng(1).random(len(eighths)) < 0.7
    keep[::2] = True
    tempo_map = estimate_tempo_map(plucks(eighths[keep], 40), RATE)
    assert tempo_map.tempos[-1][1] == pytest.approx(128, abs=0.02)


@pytest.mark.parametrize("samples", [np.zeros(0), np.zeros(RATE * 30), np.ones(RATE * 3), np.full(RATE * 9, 1e-6)])
def test_silence_and_scraps_are_120_bpm(samples):
    assert estimate_tempo_map(samples.astype(np.float32), RATE, 192) == TempoMap(192)


@pytest.mark.parametrize("rate", [16000, 22050, 44100])
def test_onset_strength_does_not_lag(rate):
    times = np.arange(0.5, 59, 0.613)
    samples = np.interp(np.arange(60 * rate) / rate, np.arange(60 * RATE) / RATE, plucks(times, 60))
    at, strength = onset_strength(samples, rate)
    assert at.shape == strength.shape
    peaks = [at[near][strength[near].argmax()] for near in (np.abs(at - time) < 0.1 for time in times)]
    assert np.abs(np.array(peaks) - times).max() < 0.008


@pytest.mark.parametrize("rate", [16000, 22050, 44100])
@pytest.mark.parametrize("lag", [-0.012, 0.0, 0.007])
def test_attacks_tell_how_late_times_are(rate, lag):
    rng = np.random.default_rng(0)
    times = np.arange(0.5, 29, 0.5)
    samples = rng.normal(0, 1e-3, 30 * rate)
    for time in times + lag:
        start, since = round(time * rate), np.arange(rate // 5) / rate
        samples[start : start + len(since)] += rng.normal(0, 0.3, len(since)) * np.exp(-30 * since)
    assert attack_lag(samples, rate, times) == pytest.approx(lag, abs=0.0015)


def test_nothing_tells_no_lag():
    for samples in (np.zeros(20 * RATE), np.random.default_rng(0).normal(0, 0.1, 20 * RATE)):
        assert attack_lag(samples, RATE, np.arange(1, 19, 0.25)) == 0
    assert attack_lag(np.ones(RATE), RATE, np.zeros(0)) == 0
    assert attack_lag(np.ones(100), RATE, np.arange(3.0)) == 0


def test_demo_chart_agrees_with_its_audio(demo_song):
    onsets = np.array([note[0] for note in read_song(demo_song).chart.to_seconds(Instrument.LEAD, Difficulty.EXPERT)])
    at, strength = onset_strength(load_audio(demo_song), RATE)
    lags = np.arange(-0.1, 0.1, 0.001)
    strengths = np.array([np.interp(onsets + lag, at, strength).mean() for lag in lags])
    assert abs(lags[strengths.argmax()]) < 0.005
    assert strengths.max() > 2 * np.median(strengths)


def test_the_demo_has_one_tempo_up_to_its_end(demo_song):
    """Its last six seconds, where little is played, fit another one as well. That of its chart is half as fast."""
    tracked = track_beats(load_audio(demo_song), RATE)
    assert tracked.tempo_map.tempos == ((0, 190.0),)


def beats_of(tracked, seconds, every=1):
    """Seconds of the audio at which every so many quarter notes of a tracked song begin."""
    ticks = np.arange(0, 60 * len(tracked.confidence), every) * tracked.tempo_map.resolution
    times = tracked.tempo_map.seconds(ticks) + tracked.offset
    return times[(times >= 0) & (times < seconds)]


MADE = {
    "constant": {"tempo": lambda t: 97.3},
    "faster and faster": {"tempo": lambda t: 90 + t},
    "slower and slower": {"tempo": lambda t: 170 - t},
    "human drift": {"tempo": lambda t: 120 + 4 * np.sin(t / 8)},
    "jump": {"tempo": lambda t: 100 if t < 20 else 140},
    "jumps": {"tempo": lambda t: 180 if t < 16 else 120 if t < 30 else 150},
    "3/4": {"tempo": lambda t: 132, "meter": (3,)},
    "5/4": {"tempo": lambda t: 118, "meter": (5,)},
    "7/4": {"tempo": lambda t: 150, "meter": (7,)},
    "a 3/4 measure now and then": {"tempo": lambda t: 126, "meter": (4, 4, 4, 3)},
    "swing": {"tempo": lambda t: 150, "swing": 0.6},
    "shuffle": {"tempo": lambda t: 120, "swing": 2 / 3},
    "slow shuffle": {"tempo": lambda t: 85, "swing": 2 / 3},
}

MARKERS = {"faster and faster": 15, "slower and slower": 15, "human drift": 12, "jump": 2, "jumps": 3}


@pytest.mark.parametrize("name", MADE)
def test_beats_of_made_music_are_found(name):
    music = make_music(**MADE[name], seed=1)
    tracked = track_beats(music.samples, RATE)
    assert mir_eval.beat.f_measure(music.beats, beats_of(tracked, music.beats[-1] + 0.05)) >= 0.95
    assert np.median(tracked.confidence) > 0.9
    assert len(tracked.tempo_map.tempos) <= MARKERS.get(name, 1)
    if MADE[name].get("meter") != (4, 4, 4, 3):
        numerator = tracked.tempo_map.meters[0][1]
        measures = beats_of(tracked, music.beats[-1] + 0.05, numerator)
        assert numerator == MADE[name].get("meter", (4,))[0]
        assert mir_eval.beat.f_measure(music.downbeats, measures) >= 0.9


@pytest.mark.parametrize(
    "seed",
    [
        pytest.param(40_004, id="riffs of sixteenths in threes, 137 BPM"),
        pytest.param(40_019, id="and at 121 BPM"),
        pytest.param(40_022, id="a shuffle whose thirds before the beat are struck, 160 BPM"),
        pytest.param(40_024, id="and at 194 BPM"),
    ],
)
def test_threes_and_thirds_are_told_apart_and_a_shuffle_begins_on_its_beat(seed):
    """Three sixteenths are no beat, and of a shuffle's thirds the one is that most else is struck on."""
    assert beat_f_measure(seed) >= 0.95


@pytest.mark.slow
def test_beats_of_many_made_songs_are_found_in_their_mixes():
    scores = [beat_f_measure(seed) for seed in range(41_000, 41_040)]
    print(f"beat F1 {np.mean(scores):.3f}, over 0.95 in {np.sum(np.array(scores) > 0.95)} of {len(scores)}")
    assert np.mean(scores) >= 0.84


def beat_f_measure(seed: int) -> float:
    """Of the beats found in the mix of a made song of a minute."""
    song, tempo_map = render_training_song(seed, 60.0), compose_song(seed, 60.0).tempo_map
    audio = song.part + song.backing
    beats = tempo_map.seconds(np.arange(400) * tempo_map.resolution)
    beats = beats[beats < len(audio) / RATE]
    return mir_eval.beat.f_measure(beats, beats_of(track_beats(audio, RATE), beats[-1] + 0.05))


def test_noise_has_no_beat_to_be_sure_of():
    tracked = track_beats(np.random.default_rng(0).normal(0, 0.1, 20 * RATE).astype(np.float32), RATE)
    assert np.median(tracked.confidence) < 0.4


def test_a_measure_that_is_given_does_not_make_backbeats_another_meter():
    clicks = np.zeros(30 * RATE, np.float32)
    noise = np.random.default_rng(0).normal(0, 0.5, 400).astype(np.float32)
    for beat in range(1, 60):
        start = round(beat * RATE / 2)
        clicks[start : start + 400] += noise * (1 if beat % 2 else 0.2)  # claps on the second and fourth
    tracked = track_beats(clicks, RATE, bpm=120.0, offset=0.0)
    assert tracked.tempo_map.meters == ((0, 4, 4),)


def test_a_beat_that_is_given_is_kept():
    music = make_music(lambda t: 97.3).samples
    for bpm, offset in ((97.3, 0.8), (50.0, 1.0), (None, 0.55)):
        tracked = track_beats(music, RATE, bpm=bpm, offset=offset)
        ((_, tempo),) = tracked.tempo_map.tempos
        assert tempo == pytest.approx(bpm or 97.3, abs=0.02)
        measures = beats_of(tracked, 40, tracked.tempo_map.meters[0][1])
        assert tracked.offset <= 0 and np.abs(measures - offset).min() < 1e-3
        assert tracked.tempo_map.meters == ((0, 4, 4),)
    silent = track_beats(np.zeros(20 * RATE), RATE, bpm=60.0, offset=9.0)
    assert (silent.offset, silent.tempo_map.tempos) == (-3.0, ((0, 60.0),))
    scrap = track_beats(music[: round(4.2 * RATE)], RATE, bpm=20.0, offset=1.5)  # one beat long
    assert scrap.tempo_map.tempos == ((0, 20.0),)
    for given in ({"bpm": 5.0}, {"offset": np.nan}):
        with pytest.raises(ValueError, match="BPM|seconds"):
            track_beats(music, RATE, **given)


REAL = {
    "muldjord": ("armygeddon", "chaos_god", "internal_degeneration", "mutilated_mime"),
    "sectoid": ("Escape from chaosland", "Feelings", "Metal madness", "War of freedom"),
}
QUICK = ("mutilated_mime", "Feelings")
LATE = {"Escape from chaosland": 0.030, "Feelings": 0.030, "War of freedom": 0.045}


@pytest.mark.parametrize(
    ("artist", "name"),
    [
        pytest.param(artist, name, marks=() if name in QUICK else pytest.mark.slow)
        for artist, names in REAL.items()
        for name in names
    ],
)
def test_tempos_of_real_songs(real_songs, artist, name):
    folder = real_songs / artist / name
    chart = read_song(folder).chart
    audio = load_audio(folder)
    tracked = track_beats(audio, RATE)
    assert tracked.tempo_map.tempos == ((0, round(chart.tempo_map.tempos[0][1], 2)),)
    beats = chart.tempo_map.ticks(beats_of(tracked, len(audio) / RATE) - chart.offset) / chart.tempo_map.resolution
    late = np.abs(beats - np.rint(beats)).max() * 60 / chart.tempo_map.tempos[0][1]
    # The charts of sectoid come 20 to 40 ms before their music; that of "Metal madness" has its off-beats for beats.
    assert late < {"muldjord": 0.005}.get(artist, LATE.get(name, np.inf))
