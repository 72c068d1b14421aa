"""A picture file as the array that a picture column reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gradus.data.columns import Picture
from gradus.errors import UserError


def read_picture(path: Path, column: Picture, invert: bool | None = None) -> tuple[np.ndarray, bool]:
    """A picture file as (channels, height, width) in the raw numbers of a column, and whether it was inverted.

    It is turned upright as its camera noted, made grey where the column has one channel, and resized.

    Args:
        invert: light for dark; None does so where the picture is mostly light and those of training mostly dark.

    Raises:
        UserError: for a file that isn't a picture.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    channels, height, width = column.shape
    if channels not in (1, 3):
        raise UserError(f"{path}: a picture file has 1 or 3 channels, the run's pictures have {channels}.")
    try:
        with Image.open(path) as opened:
            upright = ImageOps.exif_transpose(opened)
            if upright.mode in ("RGBA", "LA", "P"):  # what is transparent is shown on white
                upright = upright.convert("RGBA")
                upright = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright)
            resized = upright.convert("L" if channels == 1 else "RGB").resize((width, height), Image.Resampling.BOX)
    except UnidentifiedImageError:
        raise UserError(f"{path}: not a picture that can be read.") from None
    except OSError as error:
        raise UserError(f"{path}: the picture is damaged or can't be read: {error}.") from None
    values = np.asarray(resized, dtype=np.float64) / 255.0
    inverted = bool(values.mean() > 0.5 and column.mean < 0.35) if invert is None else invert
    if inverted:
        values = 1.0 - values
    values = values[None] if channels == 1 else values.transpose(2, 0, 1)
    return values * column.scale, inverted
