"""Simulated specimens, the images a STEM makes of them, and a simulated microscope to stream from."""

from ._conditions import COLUMN_CONDITIONS, GRAPHENE_CONDITIONS, MONOLAYER_CONDITIONS, Conditions, Drift
from ._defects import amorphous_patch, dwindle, growing_hole, pierce, remove_atoms, substitute
from ._dynamics import graphene_cell, molecular_dynamics, remove_one_by_one
from ._imaging import ImageFormation, Imaging, Noise, add_noise, disturb, expose, jitter_lines, render_atoms, smooth_field
from ._joins import Joined, embed, grain_boundary
from ._lattices import Placement, graphene, square_lattice
from ._limit import cramer_rao_px, localisation_limit_px
from ._materials import mos2, perovskite, rock_salt
from ._microscope import Exposure, Material, MicroscopeFrame, SimulatedMicroscope, SingleImage, labelled, scan, single_image_case
from ._multislice import Beam, Column, Multislice, multislice_image
from ._outlines import Outline, WavyLine, outline, wavy_line
from ._scattering import Z_EXPONENT, brightness_of, column_brightness
from ._specimen import A_SITE, B_SITE, HOST, IMPURITY, UNLABELLED, Specimen, crop, shake, strain
from ._structures import Projection, read_structures, specimens_of
from ._targets import class_masks, disks, soft_disks

__all__ = [
    "A_SITE",
    "B_SITE",
    "COLUMN_CONDITIONS",
    "Beam",
    "Column",
    "Conditions",
    "Drift",
    "Exposure",
    "GRAPHENE_CONDITIONS",
    "HOST",
    "IMPURITY",
    "ImageFormation",
    "Imaging",
    "Joined",
    "MONOLAYER_CONDITIONS",
    "Material",
    "MicroscopeFrame",
    "Multislice",
    "Noise",
    "Outline",
    "Placement",
    "Projection",
    "SimulatedMicroscope",
    "SingleImage",
    "Specimen",
    "UNLABELLED",
    "WavyLine",
    "Z_EXPONENT",
    "add_noise",
    "amorphous_patch",
    "brightness_of",
    "class_masks",
    "column_brightness",
    "cramer_rao_px",
    "crop",
    "disks",
    "disturb",
    "dwindle",
    "embed",
    "expose",
    "grain_boundary",
    "graphene",
    "graphene_cell",
    "growing_hole",
    "jitter_lines",
    "labelled",
    "localisation_limit_px",
    "molecular_dynamics",
    "mos2",
    "multislice_image",
    "outline",
    "perovskite",
    "pierce",
    "read_structures",
    "remove_atoms",
    "remove_one_by_one",
    "render_atoms",
    "rock_salt",
    "scan",
    "shake",
    "single_image_case",
    "smooth_field",
    "soft_disks",
    "specimens_of",
    "square_lattice",
    "strain",
    "substitute",
    "wavy_line",
]
