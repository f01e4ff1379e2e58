"""What happens around training, each a Lightning callback."""

from face_generation.callbacks.collapse import ReportCollapse
from face_generation.callbacks.keeping import KeepLast
from face_generation.callbacks.nan import StopOnNaN
from face_generation.callbacks.pictures import Pictures
from face_generation.callbacks.progress import Progress
from face_generation.callbacks.provenance import RecordProvenance
from face_generation.callbacks.record import RecordRun
from face_generation.callbacks.resuming import ApplyOptions
from face_generation.callbacks.seeding import StepSeeds
from face_generation.callbacks.throughput import Throughput

__all__ = [
    "ApplyOptions",
    "KeepLast",
    "Pictures",
    "Progress",
    "RecordProvenance",
    "RecordRun",
    "ReportCollapse",
    "StepSeeds",
    "StopOnNaN",
    "Throughput",
]
