"""Step 1, data: sources → typed columns → split → statistics → batches."""

from gradus.data.augment import Augmentation, Colour, Crop, Erase, Flip, Mixup, Noise, Rotate, Shift
from gradus.data.dataset import Batch, Dataset, Draw, MapDataset, MemoryDataset
from gradus.data.encoder import Encoder
from gradus.data.order import Order, keyed_uniform, mix, permutation
from gradus.data.pictures import pictures
from gradus.data.sets import cifar10, digits, fashion, find, find_file, mnist, read_idx
from gradus.data.sources import arrays, as_dataset, wrap
from gradus.data.table import table

__all__ = [
    "Augmentation",
    "Batch",
    "Colour",
    "Crop",
    "Dataset",
    "Draw",
    "Encoder",
    "Erase",
    "Flip",
    "MapDataset",
    "MemoryDataset",
    "Mixup",
    "Noise",
    "Order",
    "Rotate",
    "Shift",
    "arrays",
    "as_dataset",
    "cifar10",
    "digits",
    "fashion",
    "find",
    "find_file",
    "keyed_uniform",
    "mix",
    "mnist",
    "permutation",
    "pictures",
    "read_idx",
    "table",
    "wrap",
]
