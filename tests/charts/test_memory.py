"""Files from strangers that are made to take more memory or time than a chart may."""

import tracemalloc

import pytest

from tabhero_hf.charts import ChartError, parse_chart, parse_midi


def chart_of(section, lines):
    return b"[Song]\n{\n}\n[" + section + b"]\n{\n" + lines + b"}\n"


def midi_of(events):
    tracks = b"\0\xff\x2f\0", b"\0\xff\x03\x0bPART GUITAR" + events
    header = b"MThd\0\0\0\6\0\1\0\2\1\xe0"
    return header + b"".join(b"MTrk" + len(track).to_bytes(4, "big") + track for track in tracks)


def lines(form, count=100_000):
    return b"".join(form % ((i,) * form.count(b"%d")) for i in range(count))


HOSTILE = {
    "notes on one tick": (parse_chart, chart_of(b"ExpertSingle", lines(b"0 = N 0 0\n"))),
    "notes on many ticks": (parse_chart, chart_of(b"ExpertSingle", lines(b"%d=N 0 0\n"))),
    "flips": (parse_chart, chart_of(b"ExpertSingle", b"0 = N 0 0\n" + lines(b"%d=N 5 0\n"))),
    "star power": (parse_chart, chart_of(b"ExpertSingle", b"0 = N 0 0\n" + lines(b"%d=S 2 1\n"))),
    "solos": (
        parse_chart,
        chart_of(b"ExpertSingle", b"0 = N 0 0\n" + lines(b"%d=E solo\n") + lines(b"9=E soloend\n")),
    ),
    "texts": (parse_chart, chart_of(b"Events", lines(b"%d=E x\n"))),
    "tempos": (parse_chart, chart_of(b"SyncTrack", lines(b"%d=B 120000\n"))),
    "tempos on one tick": (parse_chart, chart_of(b"SyncTrack", lines(b"0=B 9\n"))),
    "broken lines": (parse_chart, chart_of(b"ExpertSingle", lines(b"0=N\n"))),
    "song keys": (parse_chart, b"[Song]\n{\n" + lines(b"%d=\n") + b"}\n"),
    "sections": (parse_chart, lines(b"[%d]\n")),
    "empty lines": (parse_chart, b"[Song]\n" + b"\n" * 1_000_000),
    "brackets": (parse_chart, b"[" * 500_000 + b"]" * 500_000 + b"x"),
    "midi notes on one tick": (parse_midi, midi_of(b"\0\x90\x60\x64" + b"\0\x60\0\0\x60\x64" * 100_000)),
    "midi notes on many ticks": (parse_midi, midi_of(b"\0\x90\x60\x64" + b"\1\x60\0\1\x60\x64" * 100_000)),
    "midi notes that do not end": (parse_midi, midi_of(b"\0\x90\x60\x64" + b"\0\x60\x64" * 100_000)),
    "midi taps": (parse_midi, midi_of(b"\0\x90\x60\x64\1\x60\0" + b"\1\x68\x64\1\x68\0" * 100_000)),
    "midi texts": (parse_midi, midi_of(b"\0\xff\1\1x" * 100_000)),
    "midi tracks": (parse_midi, midi_of(b"") + b"MTrk\0\0\0\0" * 100_000),
    "midi ends of notes that do not begin": (
        parse_midi,
        midi_of(b"")
        + 900 * (b"MTrk\0\0\1\x80\0\x90\0\0" + b"".join(bytes((0, n, 0)) for n in range(1, 128)) + b"\0\0\0"),
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_memory_is_bounded_by_the_file(name):
    parse, data = HOSTILE[name]
    tracemalloc.start()
    try:
        parse(data)
    except ChartError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    # A note of six bytes is one of a hundred and more in Python.
    factor = 40 if name == "midi notes on many ticks" else 20
    assert peak < factor * len(data), f"{peak / len(data):.1f} times"
