import re
import statistics
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from made_songs import EXPERT, LEAD, made_audio, made_chart

from tabhero_hf.audio import AudioError
from tabhero_hf.charts import Chart, Difficulty, Event, Instrument, Note, Phrase, Song, TempoMap, Track, read_song
from tabhero_hf.preview import write_preview

HARD, GHL_LEAD = Difficulty.HARD, Instrument.GHL_LEAD
SYNC = 0.02
ATTACKS = ["</script><script>attacked = 1</script>", "<img src=x onerror=attacked=1>", "<!--<script>", "\udcff&lt;"]


@pytest.fixture
def show(browser, tmp_path):
    """Opens a song's preview; what it asks for and what goes wrong are its `requests` and `errors`."""
    pages = []

    def open_preview(song: Song, change=lambda html: html, script: str = ""):
        path = write_preview(song, tmp_path / "preview.html")
        path.write_text(change(path.read_text("utf-8")), "utf-8")
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        pages.append(page)
        page.requests, page.errors = [], []
        page.on("request", lambda request: page.requests.append(request.url))
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on("console", lambda message: page.errors.append(message.text) if message.type == "error" else None)
        page.add_init_script(script)
        page.goto(path.as_uri())
        return page

    yield open_preview
    errors = [error for page in pages for error in page.errors]
    for page in pages:
        page.close()
    assert errors == []


def song_of(chart: Chart, *stems: Path, **metadata: str) -> Song:
    return Song(chart, metadata, list(stems))


def wait_for(page, condition: str, argument=None) -> None:
    # Playwright's own wait_for_function polls with eval(), which the page forbids.
    for _ in range(1000):
        if page.evaluate(condition, argument):
            return
        page.wait_for_timeout(20)
    pytest.fail(f"never came true: {condition}")


def seek(page, seconds: float) -> None:
    page.evaluate("seconds => { tabhero.seek(seconds); tabhero.draw(); }", seconds)


def time_of(page) -> float:
    return page.evaluate("tabhero.time")


def colored_pixels(page, color: tuple[int, int, int]) -> int:
    """How many pixels of the row at the strike line have nearly this colour."""
    script = """([red, green, blue]) => {
        const canvas = document.getElementById("highway");
        const y = tabhero.strikeY * canvas.height / canvas.clientHeight;
        const pixels = canvas.getContext("2d").getImageData(0, y, canvas.width, 1).data;
        let count = 0;
        for (let i = 0; i < pixels.length; i += 4) {
            const apart = [pixels[i] - red, pixels[i + 1] - green, pixels[i + 2] - blue].map(Math.abs);
            count += Math.max(...apart) < 30;
        }
        return count;
    }"""
    return page.evaluate(script, color)


def test_the_page_asks_for_nothing_but_itself(show, demo_song, tmp_path):
    page = show(read_song(demo_song))
    page.keyboard.press("Space")
    wait_for(page, "tabhero.time > 0.3")
    others = [url for url in page.requests if not url.startswith(("data:", "blob:"))]
    assert others == [(tmp_path / "preview.html").as_uri()]
    refused = page.evaluate("fetch('data:text/plain,a').then(() => 'fetched', () => 'refused')")
    assert refused == "refused"
    page.errors.clear()  # of the refusal


def test_notes_are_on_the_strike_line_when_they_sound(show, demo_song):
    song = read_song(demo_song)
    page = show(song)
    notes = song.chart.to_seconds(LEAD, EXPERT)
    for index in (3, len(notes) // 2, len(notes) - 1):
        seconds, lanes, *_ = notes[index]
        seek(page, seconds)
        assert page.evaluate("tabhero.audio.currentTime") == pytest.approx(seconds, abs=1e-3)
        drawn = {note["index"]: note["y"] for note in page.evaluate("tabhero.frame.notes")}
        strike = page.evaluate("tabhero.strikeY")
        early, late = (page.evaluate("s => tabhero.project(s)", seconds + apart) for apart in (SYNC, -SYNC))
        assert early < strike < late
        assert early < drawn[index] < late
        assert page.evaluate("i => tabhero.track.lanes[i]", index) == list(lanes)
        assert page.evaluate("i => tabhero.noteY(i)", index) == pytest.approx(strike, abs=0.5)


def test_the_picture_follows_the_audio_as_it_plays(show, demo_song):
    page = show(read_song(demo_song))
    page.keyboard.press("Space")
    wait_for(page, "tabhero.audio.currentTime > 0.2")
    script = """() => new Promise((resolve) => {
        const apart = [];
        const look = () => {
            apart.push(tabhero.frame.time - tabhero.audio.currentTime);
            if (apart.length < 30) requestAnimationFrame(look); else resolve(apart);
        };
        requestAnimationFrame(look);
    })"""
    assert abs(statistics.median(page.evaluate(script))) < SYNC


@pytest.mark.parametrize("stems", [("song",), ("guitar", "song")])
def test_the_audio_in_the_page_sounds_when_the_notes_are_drawn(show, tmp_path, stems):
    chart = made_chart(seconds=6, offset=0.25)
    rate = 22050
    files = []
    for i, stem in enumerate(stems):
        samples = np.zeros(7 * rate)
        for seconds, *_ in chart.to_seconds(LEAD, EXPERT)[i :: len(stems)]:
            samples[round(seconds * rate) :][:50] = 0.8 * (-1) ** np.arange(50)
        files.append(tmp_path / f"{stem}.wav")
        soundfile.write(files[-1], samples, rate)
    page = show(song_of(chart, *files))
    # The loudest sample within 80 ms of each note.
    script = """async () => {
        const bytes = Uint8Array.from(atob(document.getElementById("ogg").textContent), (c) => c.charCodeAt(0));
        const decoded = await new OfflineAudioContext(1, 1, 44100).decodeAudioData(bytes.buffer);
        const samples = decoded.getChannelData(0);
        return Array.from(tabhero.track.times, (time) => {
            const first = Math.round((time - 0.08) * 44100);
            const part = samples.subarray(first, first + 7056).map(Math.abs);
            return (first + part.indexOf(Math.max(...part))) / 44100 - time;
        });
    }"""
    apart = page.evaluate(script)
    assert len(apart) == len(chart.tracks[LEAD, EXPERT].notes)
    assert max(map(abs, apart)) < 0.005


def test_gems_have_their_lanes_color_on_the_strike_line(show):
    notes = (Note(960, (0,)), Note(1920, (4,)), Note(2880, (6,)))
    page = show(song_of(Chart(TempoMap(480), {(LEAD, EXPERT): Track(LEAD, EXPERT, notes)})))
    green, orange, purple = (46, 204, 90), (255, 146, 36), (176, 92, 255)
    for seconds, color, others in ((1, green, orange), (2, orange, green), (3, purple, green)):
        seek(page, seconds)
        # A fret alone has a thin outline of its colour.
        assert colored_pixels(page, color) > 40
        assert colored_pixels(page, others) < 20


@pytest.fixture
def many_tracks(tmp_path) -> Song:
    """10 s of Expert and Hard lead and of Expert six-fret lead, with two sections, to 11 s of noise."""
    chart = made_chart((LEAD, HARD), (LEAD, EXPERT), seconds=10)
    six_fret = Track(GHL_LEAD, EXPERT, (Note(960, (0, 5)), Note(1920, (3,))))
    sections = (Event(960, "Verse"), Event(1920, "Chorus"))
    chart = replace(chart, tracks={**chart.tracks, (GHL_LEAD, EXPERT): six_fret}, sections=sections)
    return song_of(chart, made_audio(tmp_path / "audio", "song", 1, 11.0), name="A song")


def test_all_keys_work(show, many_tracks):
    page = show(many_tracks)

    def shown():
        return page.evaluate("[tabhero.track.instrument, tabhero.track.difficulty, tabhero.track.times.length]")

    def times(key):
        return len(many_tracks.chart.tracks[key].notes)

    press = page.keyboard.press
    assert shown() == ["Lead", "Expert", times((LEAD, EXPERT))]
    press("d")
    assert shown() == ["Lead", "Hard", times((LEAD, HARD))]
    assert page.input_value("#difficulty") == "Hard"
    press("d")
    press("i")
    assert shown() == ["Six-fret lead", "Expert", 2]
    assert page.input_value("#instrument") == "Six-fret lead"
    assert page.evaluate("tabhero.track.colors.length") == 6
    press("i")
    assert shown()[0] == "Lead"

    for key, box in (("m", "#metronome"), ("h", "#hits")):
        assert not page.is_checked(box)
        press(key)
        assert page.is_checked(box)
        press(key)
        assert not page.is_checked(box)

    far = page.evaluate("tabhero.project(1)")
    press("ArrowUp")
    assert page.input_value("#scroll") == "1.1"
    assert page.evaluate("tabhero.project(1)") < far  # a faster highway is a longer one
    press("ArrowDown")
    press("ArrowDown")
    assert page.input_value("#scroll") == "0.9"

    press("ArrowRight")
    assert time_of(page) == 5
    press("End")
    assert time_of(page) == 11
    press("ArrowLeft")
    assert time_of(page) == 6
    press("Home")
    assert time_of(page) == 0

    press("Space")
    wait_for(page, "tabhero.time > 0.1")
    assert page.inner_text("#play") == "Pause"
    press("Space")
    assert not page.evaluate("tabhero.playing")
    stopped = time_of(page)
    page.wait_for_timeout(100)
    assert time_of(page) == stopped


def test_all_controls_work(show, many_tracks):
    page = show(many_tracks)
    page.select_option("#difficulty", "Hard")
    assert page.evaluate("tabhero.track.difficulty") == "Hard"
    page.select_option("#instrument", "Six-fret lead")  # which has no Hard
    assert page.evaluate("[tabhero.track.instrument, tabhero.track.difficulty]") == ["Six-fret lead", "Expert"]
    page.check("#metronome")
    page.check("#hits")
    page.fill("#speed", "0.5")
    assert page.evaluate("tabhero.audio.playbackRate") == 0.5
    assert page.inner_text("output[for=speed]") == "0.50×"
    page.fill("#scroll", "2")
    assert page.inner_text("output[for=scroll]") == "2.00×"
    box = page.locator("#seek").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 20)
    assert time_of(page) == pytest.approx(5.5, abs=0.05)
    page.click("#play")
    wait_for(page, "tabhero.time > 5.8")
    page.keyboard.press("Space")  # the button that was clicked does not take it
    assert not page.evaluate("tabhero.playing")


def test_section_names_show_where_they_begin(show, many_tracks):
    page = show(many_tracks)
    for seconds, name in ((1.9, ""), (2.1, "Verse"), (4.5, "Chorus")):
        seek(page, seconds)
        wait_for(page, "name => document.getElementById('section').textContent === name", name)


RECORD_TICKS = """
    const start = OscillatorNode.prototype.start;
    window.ticks = [];
    OscillatorNode.prototype.start = function (when) {
        ticks.push([this.frequency.value, when]);
        return start.call(this, when);
    };
"""
HOLD_FRAMES = """
    const request = window.requestAnimationFrame.bind(window);
    window.requestAnimationFrame = (callback) => {
        if (window.hidden) window.held = callback;
        else request(callback);
    };
"""


def test_what_a_hidden_tab_misses_is_not_heard_at_once(show):
    page = show(song_of(made_chart(seconds=20)), script=RECORD_TICKS + HOLD_FRAMES)
    page.keyboard.press("m")
    page.keyboard.press("Space")
    wait_for(page, "ticks.length > 1")
    page.evaluate("window.hidden = true")
    page.wait_for_timeout(4000)
    page.evaluate("ticks.splice(0)")
    page.evaluate("window.hidden = false; held(performance.now())")
    page.wait_for_timeout(300)
    assert len(page.evaluate("ticks")) <= 3  # of ten that were missed


def test_ticks_sound_on_every_beat_and_note(show):
    page = show(song_of(made_chart(seconds=8)), script=RECORD_TICKS)
    seek(page, 1.1)
    page.keyboard.press("Space")
    wait_for(page, "tabhero.time > 1.5")
    assert page.evaluate("ticks") == []
    for key, apart in (("m", 0.4), ("h", 0.2)):  # 150 BPM, eighth notes
        page.keyboard.press(key)
        wait_for(page, "ticks.length > 7")
        page.keyboard.press(key)
        ticks = page.evaluate("ticks.splice(0)")
        assert statistics.median(np.diff([when for _, when in ticks])) == pytest.approx(apart, abs=SYNC)
        # The first beat of a measure is marked.
        assert len({frequency for frequency, _ in ticks}) == (2 if key == "m" else 1)


def test_what_lies_where_play_begins_is_heard_and_nothing_twice(show):
    count_cut = """
        const disconnect = OscillatorNode.prototype.disconnect;
        window.cut = 0;
        OscillatorNode.prototype.disconnect = function () { cut++; return disconnect.call(this); };
    """
    page = show(song_of(made_chart(seconds=8)), script=RECORD_TICKS + HOLD_FRAMES + count_cut)
    page.evaluate("window.hidden = true")
    wait_for(page, "Boolean(window.held)")
    page.keyboard.press("m")
    page.keyboard.press("Space")
    wait_for(page, "tabhero.time > 0.2")  # before the first frame
    page.evaluate("window.hidden = false; held(performance.now())")
    wait_for(page, "ticks.length > 2")
    frequencies = [frequency for frequency, _ in page.evaluate("ticks")]
    assert frequencies[0] > frequencies[1]  # the measure's first beat, at 0:00
    # Where it goes on at another speed or with another chart, what waits to sound does not any more.
    cut = """() => new Promise((resolve) => {
        const start = OscillatorNode.prototype.start;
        OscillatorNode.prototype.start = function (when) {
            start.call(this, when);
            if (when < this.context.currentTime + 0.02) return;
            OscillatorNode.prototype.start = start;
            queueMicrotask(() => { cut = 0; setSpeed(0.5); resolve(cut); });
        };
    })"""
    assert page.evaluate(cut) == 1


def test_problems_are_marked_and_lead_to_their_place(show):
    chart = made_chart(seconds=10)
    track = chart.tracks[LEAD, EXPERT]
    bad = replace(track, notes=(*track.notes[:-1], Note(track.notes[-1].tick, (0, 1, 2, 3, 4))))
    page = show(song_of(replace(chart, tracks={(LEAD, EXPERT): bad})))
    (seconds,) = [notes[0] for notes in bad.to_seconds(chart.tempo_map)[-1:]]
    page.click("#problems button:has-text('all five frets')")
    assert time_of(page) == pytest.approx(seconds)
    mark = """seconds => {
        const strip = document.getElementById("strip");
        const x = seconds / tabhero.duration * strip.width;
        return Array.from(strip.getContext("2d").getImageData(Math.min(x, strip.width - 1) - 1, 1, 1, 1).data);
    }"""
    assert page.evaluate(mark, seconds) == [255, 183, 3, 255]
    assert page.evaluate(mark, seconds / 2) != [255, 183, 3, 255]


def test_a_strangers_texts_stay_texts(show):
    everything = "".join(ATTACKS)
    chart = made_chart(sections=tuple(Event(192 * i, text) for i, text in enumerate(ATTACKS)))
    page = show(song_of(chart, name=everything, artist=everything, charter=everything))
    # A letter that is none is shown as one that says so.
    text_of = "id => document.getElementById(id).textContent.toWellFormed()"
    assert page.evaluate(text_of, "name") == everything.replace("\udcff", "\ufffd")
    for i, text in enumerate(ATTACKS):
        seek(page, 0.4 * i + 0.1)
        wait_for(page, f"text => ({text_of})('section') === text", text.replace("\udcff", "\ufffd"))
    assert page.evaluate("typeof attacked") == "undefined"
    assert page.locator("script, img").count() == 3  # the page's own: data, audio and program


def test_what_is_drawn_does_not_grow_with_the_song(show):
    notes = tuple(Note(48 * i, (i % 5,), 36 * (i % 4 == 0)) for i in range(10, 36_000))  # ten a second
    phrases = tuple(Phrase(48 * i, 480) for i in range(0, 36_000, 100))
    chart = Chart(TempoMap(192, ((0, 150.0),)), {(LEAD, EXPERT): Track(LEAD, EXPERT, notes, phrases)})
    page = show(song_of(chart))
    assert page.evaluate("tabhero.duration") == pytest.approx(3600, abs=1)
    for seconds in (0, 1800, 3590):
        seek(page, seconds)
        frame = page.evaluate("tabhero.frame")
        times = [0.1 * (note["index"] + 10) for note in frame["notes"]]
        assert all(seconds - 1 < time < seconds + 2 for time in times)
        assert len(times) >= 8 and frame["visited"] < 60


def test_a_song_without_audio_scrolls_by_the_timer(show):
    page = show(song_of(made_chart(seconds=4)))
    assert page.inner_text("#notice") == "The song has no audio."
    page.keyboard.press("Space")
    wait_for(page, "tabhero.time > 0.3")
    page.evaluate("tabhero.seek(tabhero.duration - 0.2)")
    wait_for(page, "!tabhero.playing")
    assert time_of(page) == page.evaluate("tabhero.duration")


def test_the_chart_goes_on_after_the_audio(show, tmp_path):
    page = show(song_of(made_chart(seconds=5), made_audio(tmp_path / "audio", "song", 1, 2.0)))
    page.evaluate("tabhero.seek(1.7)")
    page.keyboard.press("Space")
    wait_for(page, "tabhero.time > 2.5")
    assert page.evaluate("tabhero.playing")
    page.keyboard.press("Home")
    wait_for(page, "tabhero.time > 0.1 && !tabhero.audio.paused")


def test_audio_that_the_browser_cannot_play_is_told_of(show, demo_song):
    def change(html):
        return re.sub('(type="text/plain">)[^<]*', r"\1AAAA", html)

    page = show(read_song(demo_song), change)
    wait_for(page, "document.getElementById('notice').textContent.includes('cannot play')")
    page.keyboard.press("Space")
    wait_for(page, "tabhero.time > 0.1")


def test_what_cannot_be_shown_leaves_the_page_that_was_there(tmp_path):
    path = tmp_path / "new" / "page.html"
    write_preview(song_of(made_chart()), path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="no notes"):
        write_preview(song_of(Chart(TempoMap(192))), path)
    broken = tmp_path / "song.ogg"
    broken.write_bytes(b"OggS but no more")
    with pytest.raises(AudioError, match="song.ogg"):
        write_preview(song_of(made_chart(), broken), path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["page.html"]


def test_import_is_light():
    code = (
        "import sys, tabhero_hf.preview;"
        "print({'torch', 'transformers', 'librosa', 'PIL', 'soundfile'} & sys.modules.keys())"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
