"""Simulated specimens, the images a STEM makes of them, and a simulated microscope to stream from."""

from ._imaging import Imaging, Noise, add_noise, expose, jitter_lines, render_atoms, smooth_field
from ._microscope import MicroscopeFrame, SimulatedMicroscope, labelled
from ._specimen import HOST, IMPURITY, Specimen, amorphous_patch, crop, graphene, pierce, square_lattice, substitute
from ._targets import soft_disks

__all__ = [
    "HOST",
    "IMPURITY",
    "Imaging",
    "MicroscopeFrame",
    "Noise",
    "SimulatedMicroscope",
    "Specimen",
    "add_noise",
    "amorphous_patch",
    "crop",
    "expose",
    "graphene",
    "jitter_lines",
    "labelled",
    "pierce",
    "render_atoms",
    "smooth_field",
    "soft_disks",
    "square_lattice",
    "substitute",
]
