"""The data sets that have a public home: their files with sizes and checksums, where they come from, and their terms.

A set's files land under the names that its recipe reads. Sizes and checksums were computed from the files of the pinned
commits, or are those that the publishers, torchvision, torchtext and TensorFlow Datasets check against.
"""

from __future__ import annotations

from dataclasses import dataclass

from gradus.data.download import Remote


@dataclass(frozen=True)
class Known:
    """A data set by name: its files, the page that tells of it, and the terms that it comes under."""

    files: tuple[Remote, ...]
    home: str
    licence: str


def _below(*roots: str) -> dict[str, tuple[str, ...]]:
    """The addresses of MNIST's four file names below each root."""
    names = [f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
    return {name: tuple(f"{root}/{name}" for root in roots) for name in names}


def _github(path: str) -> tuple[str, ...]:
    """The address of ``owner/name/commit/path``."""
    return (f"https://raw.githubusercontent.com/{path}",)


_MNIST = _below(
    "https://ossci-datasets.s3.amazonaws.com/mnist",
    "https://storage.googleapis.com/cvdf-datasets/mnist",
    "http://yann.lecun.com/exdb/mnist",
)
_FASHION = _below(
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/b2617bb6d3ffa2e429640350f613e3291e10b141/data/fashion",
)
_NOTES = "hunkim/PyTorchZeroToAll/e5a260fac0b4ff1e2ec434fc6f0d962ac97fc289/data"
_COVID = "anson60214/HW1Regression/e2a6e0b935f1283a1c2fd3e4d665e0257820f055/Regression"
_AG_NEWS = "mhjabreel/CharCnn_Keras/555590db4219b1243abb1918effd6a7425a2d75f/data/ag_news_csv"


def _mnist_like(addresses: dict[str, tuple[str, ...]], *told: tuple[int, str]) -> tuple[Remote, ...]:
    return tuple(Remote(name, *one, urls) for (name, urls), one in zip(addresses.items(), told, strict=True))


CATALOGUE: dict[str, Known] = {
    "mnist": Known(
        _mnist_like(
            _MNIST,
            (9_912_422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
            (28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
            (1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
            (4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
        ),
        home="http://yann.lecun.com/exdb/mnist",
        licence="Y. LeCun, C. Cortes and C. Burges; no licence file comes with it",
    ),
    "fashion": Known(
        _mnist_like(
            _FASHION,
            (26_421_880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
            (29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
            (4_422_102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
            (5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
        ),
        home="https://github.com/zalandoresearch/fashion-mnist",
        licence="MIT, Zalando SE",
    ),
    "cifar10": Known(
        (
            Remote(
                "cifar-10-binary.tar.gz",
                170_052_171,
                "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
                (
                    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
                    "https://cave.cs.toronto.edu/kriz/cifar-10-binary.tar.gz",
                    "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/cifar-10-binary.tar.gz",
                ),
            ),
        ),
        home="https://www.cs.toronto.edu/~kriz/cifar.html",
        licence="no formal licence; cite A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
    ),
    "diabetes": Known(
        (
            Remote(
                "diabetes.csv.gz",
                13_539,
                "398214d0f6b7f4a722f598d8e424f28bc078abbd16ebdeea0f8e264492325aa4",
                _github(f"{_NOTES}/diabetes.csv.gz"),
            ),
        ),
        home="https://github.com/hunkim/PyTorchZeroToAll",
        licence="no licence file; figures of the Pima study by the NIDDK, a US federal institute",
    ),
    "titanic": Known(
        (
            Remote(
                "train.csv",
                60_302,
                "4a437fde05fe5264e1701a7387ac6fb75393772ba38bb2c9c566405af5af4bd7",
                _github("datasciencedojo/datasets/f0ccab6a7ceafdff780052166fb6fab3311398eb/titanic.csv"),
            ),
        ),
        home="https://github.com/datasciencedojo/datasets",
        licence="no licence file; historical passenger data in the form of Kaggle's competition",
    ),
    "covid_hw1": Known(
        (
            Remote(
                "covid.train.csv",
                2_490_330,
                "298378b3db6a233e6cba686533c55844072b7c84e5e2eecf830a9e86a8dce475",
                _github(f"{_COVID}/covid.train.csv"),
            ),
            Remote(
                "covid.test.csv",
                992_363,
                "d7bc0afb67a741638d745efa53dd4f967ca65f1e774957e701ff7822af6a37c3",
                _github(f"{_COVID}/covid.test.csv"),
            ),
        ),
        home="https://github.com/anson60214/HW1Regression",
        licence="no licence file; course data made of the COVID-19 survey of CMU's Delphi group",
    ),
    "names": Known(
        (
            Remote(
                "names_train.csv.gz",
                50_237,
                "49b4bf41dce5bfeac989b46ca37cf7baccd9a0d2a855df82f86de67a9376268f",
                _github(f"{_NOTES}/names_train.csv.gz"),
            ),
            Remote(
                "names_test.csv.gz",
                27_541,
                "57d7758db533a42c99d513b2341a7e7b0f55c1e0e7d233b1ef6a4fa2f1adf753",
                _github(f"{_NOTES}/names_test.csv.gz"),
            ),
        ),
        home="https://github.com/hunkim/PyTorchZeroToAll",
        licence="no licence file; the same lists are MIT in spro/practical-pytorch",
    ),
    "ag_news": Known(
        (
            Remote(
                "train.csv",
                29_470_338,
                "76a0a2d2f92b286371fe4d4044640910a04a803fdd2538e0f3f29a5c6f6b672e",
                _github(f"{_AG_NEWS}/train.csv"),
            ),
            Remote(
                "test.csv",
                1_857_427,
                "521465c2428ed7f02f8d6db6ffdd4b5447c1c701962353eb2c40d548c3c85699",
                _github(f"{_AG_NEWS}/test.csv"),
            ),
        ),
        home="https://github.com/mhjabreel/CharCnn_Keras",
        licence="for research and other use that isn't commercial",
    ),
    "timeseries": Known(
        (
            Remote(
                "airline-passengers.csv",
                2_180,
                "8cb51be753a718d9be5d76d7e238cc224792754676adc21faa59e954b0201621",
                _github("jbrownlee/Datasets/d20fcb6402ae34e653d4513b00f39257bb37ed7f/airline-passengers.csv"),
            ),
            Remote(
                "ETTh1.csv",
                2_589_657,
                "f18de3ad269cef59bb07b5438d79bb3042d3be49bdeecf01c1cd6d29695ee066",
                _github("zhouhaoyi/ETDataset/1d16c8f4f943005d613b5bc962e9eeb06058cf07/ETT-small/ETTh1.csv"),
            ),
        ),
        home="https://github.com/zhouhaoyi/ETDataset",
        licence="ETTh1: CC BY-ND 4.0; airline passengers: Box and Jenkins, no licence file",
    ),
    "eng_fra": Known(
        (
            Remote(
                "fra-eng.zip",
                3_424_571,
                "161c93f18da3a7e6df611ed961426613260de8af06ccf8c79c977afe5135ac44",
                _github("modelexlab/data/adddaf33ac35572bcfeb421efec29435e7ea9332/fra-eng.zip"),
            ),
        ),
        home="https://www.manythings.org/anki",
        licence="CC BY 2.0, sentences of tatoeba.org packed by manythings.org",
    ),
    "poems": Known(
        (
            Remote(
                "wujue.txt",
                1_692_557,
                "2d97daf87244716bb785f87f12effd1884ae8f02ac1038777c8fc85b9df44b85",
                _github("jinfagang/tensorflow_poems/d92867b59c2b8ffc876b891755fbd9f63fda0ebf/data/wujue-all.txt"),
            ),
        ),
        home="https://github.com/jinfagang/tensorflow_poems",
        licence="the poems are in the public domain; the collection is marked Apache-2.0",
    ),
    "tinyshakespeare": Known(
        (
            Remote(
                "input.txt",
                1_115_394,
                "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
                _github("karpathy/char-rnn/6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e/data/tinyshakespeare/input.txt"),
            ),
        ),
        home="https://github.com/karpathy/char-rnn",
        licence="the text is in the public domain; MIT",
    ),
    "spoken_digits": Known(
        (
            Remote(
                "free-spoken-digit-dataset-1.0.9.tar.gz",
                11_975_353,
                "8bc44cde129d505cbbb6b365c09f80c663f2aa77578afc634e6141a2f87100c0",
                ("https://github.com/Jakobovski/free-spoken-digit-dataset/archive/v1.0.9.tar.gz",),
            ),
        ),
        home="https://github.com/Jakobovski/free-spoken-digit-dataset",
        licence="CC BY-SA 4.0",
    ),
}
"""By the name of the directory that a set lies in, below $GRADUS_DATA or in the cache."""
