"""Pictures in a set of Hugging Face's datasets library, on the disk or on the hub."""

from __future__ import annotations

import importlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from zoo.data.base import DataError
from zoo.data.encoded import Encoded
from zoo.data.pictures import image_shape

_TABLES = {".parquet": "parquet", ".arrow": "arrow"}


class Hub(Encoded):
    """A column of pictures, and one of classes, of a `datasets` set. No code of a set is ever run.

    Args:
        path: a folder that ``save_to_disk`` wrote, a .parquet or .arrow file or a folder of them, or the name of a set
            on the hub, which is fetched.
        split: of the set; files of a folder tell theirs by their names, and are "train" where these say nothing.
        image: column of the pictures.
        label: column of the classes, whole numbers; None for data without.
        config: of a set on the hub that has several.
        horizontal_flip: whether every picture is there twice, as it is and mirrored.
        shape: of the model, (1 or 3, H, W).

    Raises:
        DataError: the extra is missing, the set cannot be had, or it has no such split or columns.
    """

    def __init__(
        self,
        *,
        path: str,
        split: str = "train",
        image: str = "image",
        label: str | None = None,
        config: str | None = None,
        horizontal_flip: bool = False,
        shape: Sequence[int | None] | None = None,
    ) -> None:
        size = image_shape(shape, "hub")
        try:
            # not kept: readers in processes of their own are handed this set, and a module cannot be
            library: Any = importlib.import_module("datasets")
        except ImportError:
            raise DataError("hub: this data needs its extra: pip install 'diffusion-zoo[datasets]'") from None
        self.path, self.split, self._column = path, split, image
        table = self._table(library, config)
        kind = self._kind(table, image)
        if not isinstance(kind, library.Image):
            raise DataError(f"hub: column {image!r} of {path} holds {type(kind).__name__}, expected Image")
        # the bytes as they are, for this zoo decodes all pictures in one way; a row of all columns decodes the others
        self._rows = table.select_columns(image).cast_column(image, library.Image(decode=False))
        labels, names = self._labels(library, table, label)
        super().__init__("hub", size, labels, len(names) or None, class_names=names, horizontal_flip=horizontal_flip)

    def open(self, index: int) -> IO[bytes]:
        held = self._rows[index][self._column]
        if held is None:
            return io.BytesIO()
        return io.BytesIO(held["bytes"]) if held["bytes"] is not None else Path(held["path"]).open("rb")

    def title(self, index: int) -> str:
        return f"{self.path}: {self._column} of row {index}"

    def left_out(self) -> dict[str, str]:
        return {}

    def describe(self) -> str:
        return f"{len(self.labels):,} images of {self.path}, {self.split}{self._looks()}{self._losses()}"

    def _table(self, library: Any, config: str | None) -> Any:
        place = Path(self.path).expanduser()
        try:
            if (place / "state.json").is_file():
                return library.load_from_disk(str(place))
            if (place / "dataset_dict.json").is_file():
                return self._of(library.load_from_disk(str(place)))
            if place.is_file() and place.suffix in _TABLES:
                return library.load_dataset(_TABLES[place.suffix], data_files=str(place), split=self.split)
            if place.exists() and not any(file.suffix in _TABLES for file in place.rglob("*")):
                raise DataError(f"hub: {place} holds no set of datasets, and no files {' or '.join(_TABLES)}")
            return library.load_dataset(str(place) if place.is_dir() else self.path, config, split=self.split)
        except DataError:
            raise
        except Exception as error:  # the library and what it fetches with raise whatever they like
            first = str(error).partition("\n")[0]
            raise DataError(f"hub: {self.path} ({self.split}) cannot be had: {type(error).__name__}: {first}") from None

    def _of(self, splits: Any) -> Any:
        if self.split not in splits:
            raise DataError(f"hub: {self.path} has no split {self.split!r}; it has {', '.join(splits)}")
        return splits[self.split]

    def _kind(self, table: Any, column: str) -> Any:
        if column not in table.features:
            raise DataError(f"hub: {self.path} has no column {column!r}; it has {', '.join(table.features)}")
        return table.features[column]

    def _labels(self, library: Any, table: Any, label: str | None) -> tuple[list[int], list[str]]:
        if label is None:
            return [-1] * len(table), []
        kind = self._kind(table, label)
        values = table[label][:]
        if not all(isinstance(value, int) and not isinstance(value, bool) for value in values):
            raise DataError(f"hub: column {label!r} of {self.path} holds no classes, which are whole numbers")
        return values, list(kind.names) if isinstance(kind, library.ClassLabel) else []
