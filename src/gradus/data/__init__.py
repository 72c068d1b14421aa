"""Step 1, data: sources → typed columns → split → statistics → batches."""

from gradus.data.augment import Augmentation, Colour, Crop, Erase, Flip, Mixup, Noise, Rotate, Shift
from gradus.data.chat_pairs import PairRows, chat_pairs, lesson_chat_pairs
from gradus.data.chats import ChatRows, chats, lesson_chats
from gradus.data.corpus import corpus
from gradus.data.dataset import Batch, Dataset, Draw, Inputs, MemoryDataset
from gradus.data.encoder import Encoder
from gradus.data.language import ag_news, eng_fra, lines, names, pairs, poems, tagged, texts
from gradus.data.map_dataset import MapDataset
from gradus.data.order import Order, keyed_uniform, mix, permutation
from gradus.data.pictures import pictures
from gradus.data.python_docs import python_docs
from gradus.data.sequences import TextClasses, TextCorpus, TextLines, TextPairs, TextTags
from gradus.data.series import series
from gradus.data.sets import cifar10, digits, fashion, find, find_file, mnist, read_idx
from gradus.data.sources import arrays, as_dataset, wrap
from gradus.data.table import table
from gradus.data.text_sets import is_set
from gradus.data.texts import TextRows, read_labelled, read_lines, read_pairs
from gradus.data.tokens import Tokens
from gradus.data.windows import SeriesDataset

__all__ = [
    "Augmentation",
    "Batch",
    "ChatRows",
    "Colour",
    "Crop",
    "Dataset",
    "Draw",
    "Encoder",
    "Erase",
    "Flip",
    "Inputs",
    "MapDataset",
    "MemoryDataset",
    "Mixup",
    "Noise",
    "Order",
    "PairRows",
    "Rotate",
    "SeriesDataset",
    "Shift",
    "TextClasses",
    "TextCorpus",
    "TextLines",
    "TextPairs",
    "TextRows",
    "TextTags",
    "Tokens",
    "ag_news",
    "arrays",
    "as_dataset",
    "chat_pairs",
    "chats",
    "cifar10",
    "corpus",
    "digits",
    "eng_fra",
    "fashion",
    "find",
    "find_file",
    "is_set",
    "keyed_uniform",
    "lesson_chat_pairs",
    "lesson_chats",
    "lines",
    "mix",
    "mnist",
    "names",
    "pairs",
    "permutation",
    "pictures",
    "poems",
    "python_docs",
    "read_idx",
    "read_labelled",
    "read_lines",
    "read_pairs",
    "series",
    "table",
    "tagged",
    "texts",
    "wrap",
]
