"""The tempo of a song over time, fitted to its onset strength: one tempo where one will do, and few where not."""

from __future__ import annotations

import numpy as np

MIN_BPM, MAX_BPM = 60.0, 220.0

STRAIGHT = (1, 2, 4)
"""Beats, eighths and sixteenths."""

TRIPLETS = (1, 3, 6)
"""Beats, their thirds and sixths: what shuffles and swung eighths are played on."""

TRIPLETS_GAIN = 1.1
"""How much better triplets have to fit than straight parts: two thirds of a straight tempo fit them nearly as well."""

TRIPLETS_BEAT = 0.2
"""How much of what comes on the thirds of a beat has to come on the beat itself: of sixteenths in threes, which are
thirds of a beat four thirds as fast, none does."""

USUAL_BPM = 110.0
OCTAVES = 1.0
"""The prior of a tempo: normal over octaves around the usual. It decides between a tempo and its double where both fit
almost alike: charters write the slower one where it has four fifths of the faster one's pulse."""

PHASES = 4096
"""How finely a beat is divided to find its phase."""

TRACKING_HOP = 2
"""Frames of onset strength that beat tracking takes as one."""

TEMPO_INERTIA = 100.0
"""What a change of tempo costs, for each part of it (natural logarithm)."""

TEMPO_JUMP = 60.0
"""What a change of tempo costs at most: two or three beats of clear pulse."""

BEAT_ERROR = 0.012
"""Seconds by which tracked beats scatter around the true ones."""

WHOLE_BPM = 0.05
"""So near a whole number of BPM a tempo is taken for it, unless beats would move by more than their error."""

MARKER_COST = 12.0
"""What a tempo marker costs, in squared errors of beats."""

MARKER_GAIN = 0.02
"""By which part of all its pulse a song gains, at least, from a marker worth writing."""

SHORTEST_STRETCH = 6
"""Beats that a tempo holds for, at least: what is shorter makes off-beats of a few measures beats."""

LEAP = 1.1
SHORTEST_BESIDE_LEAP = 16
"""The same where the tempo leaps beside it, to so many times or a part as much: what drifts does so by less."""

PLAIN_AGREEMENT = 0.1
"""Under this correlation of onsets and beats changes of tempo are no more than what can be fitted to noise."""

NUDGE_SECONDS = 0.004
NUDGES = 6
NUDGE_ROUNDS = 2


class Pulse:
    """The onset strength of a song as a pulse that tempos are fitted to.

    Args:
        times: of the frames, in seconds, shape ``(frames,)``.
        strengths: of each band, shape ``(bands, frames)``. All count alike.
        harmonics: of the beat, by which a pulse is known.
    """

    def __init__(self, times: np.ndarray, strengths: np.ndarray, harmonics: tuple[int, ...] = STRAIGHT) -> None:
        self.harmonics = harmonics
        centered = strengths - strengths.mean(axis=1, keepdims=True)
        spread = centered.std(axis=1, keepdims=True)
        self.times = times
        self.bands = centered / np.where(spread > 0, spread, 1)
        self.total = self.bands.sum(axis=0)

    def fit(self, turns: np.ndarray, frames: slice = slice(None)) -> float:
        """How much of the strength of these frames comes on a beat and its parts, at so many beats (any fraction)."""
        return float(self.total[frames] @ self.template(turns))

    def part(self, turns: np.ndarray, harmonic: int) -> float:
        """How much comes on one part of a beat."""
        return float(self.total @ np.cos(2 * np.pi * harmonic * turns))

    def correlation(self, turns: np.ndarray) -> float:
        """The same for the whole song, as a correlation of -1 to 1."""
        size = np.linalg.norm(self.total) * np.linalg.norm(self.template(turns))
        return self.fit(turns) / size if size else 0.0

    def template(self, turns: np.ndarray) -> np.ndarray:
        """The pulse itself, of mean 0, at so many beats."""
        return sum(np.cos(2 * np.pi * h * turns) for h in self.harmonics)

    def agreement(self, turns: np.ndarray, seconds: float) -> np.ndarray:
        """At each frame the correlation, -1 to 1, of strength and beat over a stretch of so many seconds around it."""
        from scipy.ndimage import uniform_filter1d

        size = max(round(seconds / self.times[1]), 1)
        template = self.template(turns)

        def mean(values: np.ndarray) -> np.ndarray:
            return uniform_filter1d(values, size, mode="nearest")

        # Against the spread around it, so that a quiet passage counts by its own beat.
        return mean(self.total * template) / np.sqrt(mean(self.total**2) * mean(template**2) + 1e-9)

    def tempo(self) -> float:
        """The tempo in BPM whose harmonics are strongest in the whole song."""
        from scipy.optimize import minimize_scalar

        padded = 2 ** int(np.ceil(np.log2(8 * len(self.times))))
        step = 1 / (padded * self.times[1])
        coarse = np.arange(MIN_BPM / 60, MAX_BPM / 60, step)
        pulse = np.zeros(len(coarse))
        for band in self.bands:
            magnitude = np.abs(np.fft.rfft(band, padded))
            pulse += sum(np.interp(h * coarse / step, np.arange(len(magnitude)), magnitude) for h in self.harmonics)
        best = coarse[(pulse * _prior(60 * coarse)).argmax()]

        def weakness(frequency: float) -> float:
            return -sum(np.abs(self._harmonics(band, frequency)).sum() for band in self.bands)

        bounds = (max(best - step, MIN_BPM / 60), min(best + step, MAX_BPM / 60))
        return 60 * float(minimize_scalar(weakness, bounds=bounds, method="bounded", options={"xatol": 1e-7}).x)

    def first_beat(self, bpm: float) -> float:
        """Seconds of the first beat from 0 on, of beats at this tempo throughout."""
        frequency = bpm / 60
        phases = np.arange(PHASES) / PHASES
        harmonics = self._harmonics(self.total, frequency)
        pulse = sum((c * np.exp(2j * np.pi * h * phases)).real for h, c in zip(self.harmonics, harmonics))
        return float(phases[pulse.argmax()] / frequency)

    def _harmonics(self, strength: np.ndarray, frequency: float) -> np.ndarray:
        turn = np.exp(-2j * np.pi * frequency * self.times)
        return np.array([strength @ turn**h for h in self.harmonics])


class TempoCurve:
    """Beats as a continuous, piecewise linear function of time: of knots at whole beats.

    Args:
        beats: numbers of the beats, ascending, shape ``(knots,)``; two or more.
        seconds: when each is, ascending.
    """

    def __init__(self, beats: np.ndarray, seconds: np.ndarray) -> None:
        self.beats = np.asarray(beats, dtype=np.int64)
        self.seconds = np.asarray(seconds, dtype=np.float64)

    def at(self, seconds: np.ndarray) -> np.ndarray:
        """Beats, whole or not, at these times; the first and last tempo hold beyond the knots."""
        i = np.clip(np.searchsorted(self.seconds, seconds, side="right") - 1, 0, len(self.beats) - 2)
        rate = np.diff(self.beats) / np.diff(self.seconds)
        return self.beats[i] + (seconds - self.seconds[i]) * rate[i]

    def times(self, beats: np.ndarray) -> np.ndarray:
        """Seconds of these beats."""
        i = np.clip(np.searchsorted(self.beats, beats, side="right") - 1, 0, len(self.beats) - 2)
        spacing = np.diff(self.seconds) / np.diff(self.beats)
        return self.seconds[i] + (beats - self.beats[i]) * spacing[i]


def constant_curve(pulse: Pulse, bpm: float, first: float | None = None) -> TempoCurve:
    """A curve of one tempo throughout, with a beat at ``first`` or where one fits best."""
    first = pulse.first_beat(bpm) if first is None else first
    beats = max(int((pulse.times[-1] - first) * bpm / 60), 1)
    return TempoCurve(np.array([0, beats]), first + np.array([0, beats]) * 60 / bpm)


def fitted_pulse(times: np.ndarray, strengths: np.ndarray) -> tuple[Pulse, TempoCurve]:
    """A song's pulse, straight or in triplets, and the curve that explains it, of as few knots as that takes."""
    straight, triplets = (Pulse(times, strengths, harmonics) for harmonics in (STRAIGHT, TRIPLETS))
    plain, shuffled = _fitted_curve(straight), _fitted_curve(triplets)
    turns = shuffled.at(times)
    gains = triplets.fit(turns) > TRIPLETS_GAIN * straight.fit(plain.at(times))
    if gains and triplets.part(turns, 1) > TRIPLETS_BEAT * triplets.part(turns, 3):
        return triplets, _on_strongest_third(triplets, shuffled)
    return straight, plain


def _on_strongest_third(pulse: Pulse, curve: TempoCurve) -> TempoCurve:
    """The curve with beats on that of their thirds which is struck most, by two harmonics. One alone, which found the
    curve, is as strong between two thirds that are struck as on one."""
    turns = curve.at(pulse.times)
    third = max((0, 1, -1), key=lambda third: sum(pulse.part(turns + third / 3, harmonic) for harmonic in (1, 2)))
    return TempoCurve(curve.beats, curve.times(curve.beats - third / 3))


def _fitted_curve(pulse: Pulse) -> TempoCurve:
    constant = constant_curve(pulse, _whole(pulse.tempo(), pulse.times[-1]))
    beats = track_beats(pulse)
    if len(beats) < 3:
        return constant
    curve = _few_knots(pulse, _segmented(beats))
    turns = curve.at(pulse.times)
    if pulse.correlation(turns) < PLAIN_AGREEMENT:
        return constant
    fit = pulse.fit(turns)
    gain = fit - pulse.fit(constant.at(pulse.times))
    return curve if gain > MARKER_GAIN * (len(curve.beats) - 2) * fit else constant


def _whole(bpm: float, seconds: float) -> float:
    """The whole number of BPM that a song of so many seconds was most likely made at, if it is near one."""
    apart = abs(bpm - round(bpm))
    drift = apart / bpm * seconds / 2  # of the first and the last beat, where those between fit
    return float(round(bpm)) if apart <= WHOLE_BPM and drift <= BEAT_ERROR else bpm


def track_beats(pulse: Pulse) -> np.ndarray:
    """Seconds of the beats, whose distance may change from one to the next.

    The best of all sequences, found by dynamic programming as in Ellis, "Beat Tracking by Dynamic Programming" (2007),
    over the beat's length as well (Krebs, Böck and Widmer, "An Efficient State-Space Model", 2015): each beat is worth
    what the onset strength within it has in common with beats, eighths and sixteenths.
    """
    usable = len(pulse.total) // TRACKING_HOP * TRACKING_HOP
    strength = pulse.total[:usable].reshape(-1, TRACKING_HOP).mean(axis=1)
    frame = TRACKING_HOP * pulse.times[1]
    lengths = np.arange(int(np.ceil(60 / MAX_BPM / frame)), int(60 / MIN_BPM / frame) + 1)
    if len(strength) < 2 * lengths[-1]:
        return np.zeros(0)
    worth = _worth_of_beats(pulse, strength, lengths, frame)
    change = np.abs(np.log(lengths)[:, None] - np.log(lengths))
    cost = np.minimum(TEMPO_INERTIA * change, TEMPO_JUMP).astype(np.float32)

    frames, every = len(strength), np.arange(len(lengths))
    # Of the best sequence that ends with a beat at a frame: its worth by the length of its last beat, and its worth
    # and last length if it goes on with each length.
    ended = np.full((frames, len(lengths)), -np.inf, dtype=np.float32)
    onward = np.zeros_like(ended)
    before = np.zeros(ended.shape, dtype=np.int16)
    for at in range(frames):
        begun = at - lengths
        possible = begun >= 0
        ended[at, possible] = onward[begun[possible], every[possible]] + worth[begun[possible], every[possible]]
        if at < lengths[-1]:
            ended[at] = np.maximum(ended[at], 0)
        going_on = ended[at] - cost
        before[at] = going_on.argmax(axis=1)
        onward[at] = going_on[every, before[at]]

    last, length = np.unravel_index(ended[-lengths[-1] :].argmax(), (lengths[-1], len(lengths)))
    at = frames - lengths[-1] + last
    beats = [at]
    while at - lengths[length] >= 0:
        at -= lengths[length]
        beats.append(at)
        length = before[at, length]
        if ended[at, length] <= 0 and at < lengths[-1]:
            break
    return np.array(beats[::-1]) * frame + (TRACKING_HOP - 1) / 2 * pulse.times[1]


def _worth_of_beats(pulse: Pulse, strength: np.ndarray, lengths: np.ndarray, frame: float) -> np.ndarray:
    """What a beat of each length is worth at each frame that it may begin at, shape ``(frames, lengths)``."""
    from scipy.signal import fftconvolve

    worth = np.zeros((len(strength), len(lengths)), dtype=np.float32)
    for i, length in enumerate(lengths.tolist()):
        template = pulse.template(np.arange(length) / length)
        found = fftconvolve(strength, template[::-1])[length - 1 :]
        worth[:, i] = found * _prior(60 / (length * frame))
    return worth


def _segmented(beats: np.ndarray) -> TempoCurve:
    """Knots such that the beats between lie on straight lines, as nearly as they can be told."""
    count = len(beats)
    number = np.arange(count)
    sums, squares, products = (np.concatenate([[0], np.cumsum(x)]) for x in (beats, beats**2, number * beats))
    best, previous = np.zeros(count), np.zeros(count, dtype=np.int64)
    for j in range(1, count):
        i = number[:j]
        slope = (beats[j] - beats[i]) / (j - i)
        start = beats[i] - slope * i
        size = j - i + 1
        total, square, product = sums[j + 1] - sums[i], squares[j + 1] - squares[i], products[j + 1] - products[i]
        of_numbers = (i + j) * size / 2
        of_squares = (j * (j + 1) * (2 * j + 1) - (i - 1) * i * (2 * i - 1)) / 6
        error = square + start**2 * size + slope**2 * of_squares
        error += 2 * (start * slope * of_numbers - start * total - slope * product)
        costs = best[i] + np.maximum(error, 0) / BEAT_ERROR**2 + MARKER_COST
        previous[j] = costs.argmin()
        best[j] = costs[previous[j]]
    knots = [count - 1]
    while knots[-1] > 0:
        knots.append(previous[knots[-1]])
    knots = np.array(knots[::-1])
    # All beats, and not the knots' own alone, say when the knots are.
    shares = np.stack([np.interp(number, knots, one) for one in np.eye(len(knots))], axis=1)
    return TempoCurve(knots, np.linalg.lstsq(shares, beats, rcond=None)[0])


def _few_knots(pulse: Pulse, curve: TempoCurve) -> TempoCurve:
    """The curve without knots that gain little, the others moved to where they fit best."""
    enough = MARKER_GAIN * pulse.fit(curve.at(pulse.times))
    while len(curve.beats) > 2:
        short = _too_short(curve)
        short = np.flatnonzero(short[:-1] | short[1:]) + 1
        knots = short if len(short) else range(1, len(curve.beats) - 1)
        fewer = [_best_without(pulse, curve, int(knot)) for knot in knots]
        loss, curve_without = min(fewer, key=lambda entry: entry[0])
        if loss > enough and not len(short):
            break
        curve = curve_without
    for _ in range(NUDGE_ROUNDS):
        for i in range(len(curve.beats)):
            curve = _nudged(pulse, curve, i)
    return curve


def _too_short(curve: TempoCurve) -> np.ndarray:
    """Which stretches are over too soon to be told from a few off-beats, shape ``(stretches,)``."""
    lengths = np.diff(curve.beats)
    leaps = np.abs(np.diff(np.log(lengths / np.diff(curve.seconds)))) > np.log(LEAP)
    beside = np.append(leaps, False) | np.insert(leaps, 0, False)
    return lengths < np.where(beside, SHORTEST_BESIDE_LEAP, SHORTEST_STRETCH)


def _best_without(pulse: Pulse, curve: TempoCurve, knot: int) -> tuple[float, TempoCurve]:
    """What the pulse loses, at least, without an inner knot, and the curve without it."""
    frames = _near(pulse, curve, knot)
    times = pulse.times[frames]
    left_out = {knot}
    # At either end the tempo of the next stretch may hold on in its place.
    left_out |= {0} if knot == 1 else set()
    left_out |= {knot + 1} if knot == len(curve.beats) - 2 else set()
    curves = [TempoCurve(np.delete(curve.beats, i), np.delete(curve.seconds, i)) for i in sorted(left_out)]
    fits = [pulse.fit(candidate.at(times), frames) for candidate in curves]
    best = int(np.argmax(fits))
    return pulse.fit(curve.at(times), frames) - fits[best], curves[best]


def _near(pulse: Pulse, curve: TempoCurve, knot: int) -> slice:
    """The frames that a knot has a say in."""
    last = len(curve.beats) - 1
    start = 0 if knot <= 1 else np.searchsorted(pulse.times, curve.seconds[knot - 1])
    end = None if knot >= last - 1 else np.searchsorted(pulse.times, curve.seconds[knot + 1])
    return slice(start, end)


def _nudged(pulse: Pulse, curve: TempoCurve, knot: int) -> TempoCurve:
    """The curve with a knot moved by a few milliseconds to where it fits best."""
    candidates, frames = [], _near(pulse, curve, knot)
    for step in range(-NUDGES, NUDGES + 1):
        seconds = curve.seconds.copy()
        seconds[knot] += step * NUDGE_SECONDS
        if (np.diff(seconds) > 0).all():
            candidate = TempoCurve(curve.beats, seconds)
            candidates.append((pulse.fit(candidate.at(pulse.times[frames]), frames), -abs(step), candidate))
    return max(candidates, key=lambda entry: entry[:2])[2]


def _prior(bpm: np.ndarray | float) -> np.ndarray | float:
    return np.exp(-0.5 * (np.log2(bpm / USUAL_BPM) / OCTAVES) ** 2)
