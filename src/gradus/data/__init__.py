"""Step 1, data: sources → typed columns → split → statistics → batches."""

from gradus.data.augment import Augmentation, Crop, Flip, Noise, Shift
from gradus.data.dataset import Batch, Dataset, Draw, MapDataset, MemoryDataset
from gradus.data.encoder import Encoder
from gradus.data.order import Order, keyed_uniform, mix, permutation
from gradus.data.sources import arrays, as_dataset, digits, find, find_file, mnist, read_idx, wrap
from gradus.data.table import table

__all__ = [
    "Augmentation",
    "Batch",
    "Crop",
    "Dataset",
    "Draw",
    "Encoder",
    "Flip",
    "MapDataset",
    "MemoryDataset",
    "Noise",
    "Order",
    "Shift",
    "arrays",
    "as_dataset",
    "digits",
    "find",
    "find_file",
    "keyed_uniform",
    "mix",
    "mnist",
    "permutation",
    "read_idx",
    "table",
    "wrap",
]
