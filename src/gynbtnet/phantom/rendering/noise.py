"""CT noise: correlated by the reconstruction, and stronger and streaky in slices with much bone along the beam.

If the slice thickness counts, the variance is inverse to it. The spectrum is then that of a soft-tissue kernel, a ramp
with its maximum at 0.2 per mm. It is sampled at the pixels, with aliasing
(https://doi.org/10.1088/0031-9155/32/5/003).
"""

import numpy as np
from scipy import fft, ndimage

from gynbtnet.phantom.anatomy.patient import Fraction
from gynbtnet.phantom.shapes.grid_points import GridPoints
from gynbtnet.runtime.array_types import FloatArray

HIGHEST = 1.0
"""Frequency per mm above which the kernel passes no noise."""


def add_noise(hu: FloatArray, points: GridPoints, fraction: Fraction, first_slice: int, thickness: float) -> FloatArray:
    """Return ``hu`` (z, y, x) with noise of slices of ``thickness`` mm.

    The seed of each slice is its number, so that slabs don't matter.
    """
    step_y, step_x = float(points.y[1] - points.y[0]), float(points.x[1] - points.x[0])
    shape = points.shape[1:]
    noisy = hu.copy()
    if fraction.noise_slice is None:
        scale, spectrum = 1.0, _spectrum(shape, step_y, step_x)
    else:
        scale = np.sqrt(fraction.noise_slice / thickness)
        spectrum = _aliased_spectrum(shape, step_y, step_x)
    for index in range(points.shape[0]):
        isotropic, lines = (
            fft.irfft2(fft.rfft2(field) * response, s=shape)
            for field, response in zip(_white(fraction, first_slice + index, shape), spectrum, strict=True)
        )
        level, streaky = _strength(hu[index], step_x)
        noisy[index] += scale * fraction.noise * level * (isotropic + streaky * lines)
    return noisy


def _white(fraction: Fraction, index: int, shape: tuple[int, ...]) -> tuple[FloatArray, FloatArray]:
    """Return two fields of white noise; neighbouring slices share a part, as with overlapping detector rows."""
    own, next_ = (
        np.random.default_rng((*fraction.identity, 801, i)).standard_normal((2, *shape)) for i in (index, index + 1)
    )
    mixed = 0.9 * own + 0.436 * next_
    return mixed[0], mixed[1]


def _spectrum(shape: tuple[int, ...], step_y: float, step_x: float) -> tuple[FloatArray, FloatArray]:
    """Return the roots of two noise power spectra with unit variance: ramp with a soft kernel, and lines along x."""
    fy, fx = fft.fftfreq(shape[0], step_y)[:, None], fft.rfftfreq(shape[1], step_x)[None, :]
    soft, lines = _responses(fy, fx)
    return soft / _norm(soft, shape), lines / _norm(lines, shape)


def _aliased_spectrum(shape: tuple[int, ...], step_y: float, step_x: float) -> tuple[FloatArray, FloatArray]:
    """Return the roots of both spectra with the power of all frequencies that alias to each sampled one."""
    fy, fx = fft.fftfreq(shape[0], step_y)[:, None], fft.rfftfreq(shape[1], step_x)[None, :]
    power = np.zeros((2, shape[0], fx.size))
    orders_y, orders_x = (range(-n, n + 1) for n in (int(HIGHEST * step_y) + 1, int(HIGHEST * step_x) + 1))
    for order_y in orders_y:
        for order_x in orders_x:
            power += np.square(_responses(fy + order_y / step_y, fx + order_x / step_x))
    soft, lines = np.sqrt(power)
    return soft / _norm(soft, shape), lines / _norm(lines, shape)


def _responses(fy: FloatArray, fx: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the roots of the spectra at frequencies per mm: ramp with a soft kernel, and lines along x."""
    fy, f = np.abs(fy), np.hypot(fx, fy)
    soft = np.sqrt(f + 0.02) * np.exp(-((f / 0.42) ** 2))
    lines = np.exp(-((fx / 0.02) ** 2)) * np.sqrt(fy + 0.01) * np.exp(-((fy / 0.35) ** 2))
    return soft, lines


def _norm(response: FloatArray, shape: tuple[int, ...]) -> float:
    twice = np.full(response.shape[1], 2.0)
    twice[0] = 1.0
    if shape[1] % 2 == 0:
        twice[-1] = 1.0
    return float(np.sqrt((response**2 * twice).sum() / (shape[0] * shape[1])))


def _strength(hu: FloatArray, step: float) -> tuple[FloatArray, FloatArray]:
    """Return the noise level, and its share in lines, from the water-equivalent path of a lateral ray."""
    path = step * np.maximum(hu + 1000, 0).sum(axis=1, keepdims=True) / 1000
    path = ndimage.gaussian_filter1d(path, 3.0 / step, axis=0)
    level = 0.55 + 0.45 * np.exp((path - 330) / 260)
    streaky = np.clip((path - 310) / 180, 0.0, 0.9)
    return level, streaky
