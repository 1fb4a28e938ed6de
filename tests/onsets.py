"""Whether a sound begins where a label says."""

import numpy as np

from tabhero_hf.data.synthesis import SAMPLE_RATE

HOP = 128


def spectral_rise(waveform: np.ndarray) -> np.ndarray:
    """Positive change of log magnitude between frames 12 ms apart, (frames,) at a hop of 128, centred."""
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(waveform, 256), 512)[::HOP]
    spectra = np.log(np.abs(np.fft.rfft(frames * np.hanning(512))) + 1e-2)
    rise = np.maximum(spectra[2:] - spectra[:-2], 0.0).mean(axis=1)
    return np.pad(rise, 1)


def onsets_heard(waveform: np.ndarray, times: np.ndarray) -> np.ndarray:
    """For each time in seconds whether the sound rises within 17 ms of it, `(times,)`."""
    rise = spectral_rise(waveform / np.max(np.abs(waveform)))
    centre = np.round(times * SAMPLE_RATE / HOP).astype(int)
    near = np.max([rise[centre + shift] for shift in range(-3, 4)], axis=0)
    # High gain hisses all the time: a rise counts where it stands out of this sound's own spread.
    return near > rise.mean() + rise.std()
