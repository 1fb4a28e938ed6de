"""Charts for property tests: all that the formats hold, in the form in which a reader gives it."""

from hypothesis import strategies as st

from tabhero_hf.charts import Chart, Difficulty, Event, Instrument, Kind, Note, Phrase, TempoMap, Track

names = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=12).map("n{}".format)
"""Texts that no format takes for anything else."""


@st.composite
def phrase_lists(draw, shortest=1):
    """Ascending phrases that do not overlap, some of them adjacent."""
    phrases, tick = [], 0
    for gap, length in draw(st.lists(st.tuples(st.integers(0, 500), st.integers(shortest, 500)), max_size=3)):
        phrases.append(Phrase(tick + gap, length))
        tick += gap + length
    return tuple(phrases)


@st.composite
def tracks(draw, instrument, difficulty, phrases, shortest_sustain=1):
    """A track; sustains are none or at least so many ticks long, and end before the next note of their lane."""
    ticks, tick = [], draw(st.integers(0, 400))
    for step in draw(st.lists(st.integers(1, 300), max_size=20)):
        ticks.append(tick)
        tick += step
    ticks.append(tick)
    lanes = [tuple(sorted(draw(st.sets(st.sampled_from(instrument.lanes), min_size=1)))) for _ in ticks]
    notes = []
    for i, tick in enumerate(ticks):
        sustains = []
        for lane in lanes[i]:
            room = min(
                (later for later, struck in zip(ticks[i + 1 :], lanes[i + 1 :]) if lane in struck), default=9999
            )
            longest = room - tick
            held = longest >= shortest_sustain and draw(st.booleans())
            sustains.append(draw(st.integers(shortest_sustain, longest)) if held else 0)
        notes.append(Note(tick, lanes[i], max(sustains), draw(st.sampled_from(Kind)), tuple(sustains)))
    return Track(instrument, difficulty, tuple(notes), *phrases)


@st.composite
def charts(draw, for_midi=False):
    """A chart; with ``for_midi`` one that ``.mid`` holds too."""
    resolution = draw(st.integers(96, 960))
    keys = draw(st.sets(st.tuples(st.sampled_from(Instrument), st.sampled_from(Difficulty)), max_size=4))
    # Whole microseconds per quarter note and whole thousandths of a BPM, both.
    bpm = st.integers(5_000, 240_000).map(lambda thousandths: thousandths / 1000)
    tempos = draw(st.dictionaries(st.integers(0, 9999), bpm, max_size=5))
    meters = draw(st.dictionaries(st.integers(0, 9999), st.sampled_from([(4, 4), (7, 8), (3, 2), (1, 1)]), max_size=3))
    # Where a .mid has one phrase for all difficulties of an instrument, a .chart has one for each.
    shared = {i: (draw(phrase_lists()), draw(phrase_lists())) for i in sorted({i for i, _ in keys})}
    texts = st.lists(st.tuples(st.integers(0, 9999), names), max_size=3, unique_by=lambda event: event[0])
    texts = texts.map(lambda events: tuple(Event(*event) for event in sorted(events)))
    metadata = {} if for_midi else draw(st.dictionaries(st.sampled_from(["name", "artist", "year", "charter"]), names))
    charted = {}
    for instrument, difficulty in sorted(keys):
        own = (draw(phrase_lists()), draw(phrase_lists()))
        phrases = shared[instrument] if for_midi else own
        shortest = resolution // 3 + 2 if for_midi else 1
        charted[instrument, difficulty] = draw(tracks(instrument, difficulty, phrases, shortest))
    return Chart(
        TempoMap(
            resolution,
            tuple(tempos.items()),
            tuple((tick, *meter) for tick, meter in meters.items()),
        ),
        charted,
        sections=draw(texts),
        lyrics=draw(texts),
        lyric_phrases=draw(phrase_lists()),
        events=tuple(event for event in draw(texts)),
        end_ticks=tuple(draw(st.lists(st.integers(0, 99_999), max_size=2).map(sorted))),
        metadata=metadata,
        offset=0.0 if for_midi else draw(st.integers(-5000, 5000)) / 1000,
    )
