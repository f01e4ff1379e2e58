"""Lightning callbacks: what happens around the steps of training."""

from face_generation.train.callbacks.collapse import ReportCollapse
from face_generation.train.callbacks.keeping import KeepLast
from face_generation.train.callbacks.nan import StopOnNaN
from face_generation.train.callbacks.pictures import Pictures
from face_generation.train.callbacks.progress import Progress
from face_generation.train.callbacks.provenance import RecordProvenance
from face_generation.train.callbacks.resuming import ApplyOptions
from face_generation.train.callbacks.seeding import StepSeeds
from face_generation.train.callbacks.throughput import Throughput

__all__ = [
    "ApplyOptions",
    "KeepLast",
    "Pictures",
    "Progress",
    "RecordProvenance",
    "ReportCollapse",
    "StepSeeds",
    "StopOnNaN",
    "Throughput",
]
