"""Image lists, as OLTR and LIFT publish them and as others write them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dualtail.datasets.text_file import read_lines
from dualtail.errors import UserError
from dualtail.files import sha256_text, write_text


@dataclass(frozen=True)
class ImageList:
    """One split.

    Attributes:
        source: The file it was read from.
        paths: N relative image paths.
        labels: (N,) int64.
        header: Lines before the first image.
    """

    source: Path
    paths: list[str]
    labels: np.ndarray
    header: int = 0

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def hash(self) -> str:
        """Identifies the split in every dump made from it."""
        return split_hash(self.paths, self.labels)

    def counts(self, n_classes: int) -> np.ndarray:
        """(C,) images per class."""
        return np.bincount(self.labels, minlength=n_classes)

    def check_labels(self, n_classes: int) -> None:
        """Refuse labels that have no class name.

        Raises:
            UserError: the first label outside 0..C-1, with its line.
        """
        outside = self.labels >= n_classes
        if outside.any():
            row = int(np.argmax(outside))
            raise UserError(
                f"{self.where(row)}: label {self.labels[row]} is outside 0..{n_classes - 1} "
                f"({n_classes} class names)"
            )

    def where(self, row: int) -> str:
        """`train.txt line 12: train/000012.png`, for messages."""
        return f"{self.source} line {row + self.header + 1}: {self.paths[row]}"


def split_hash(paths: Sequence[str], labels: np.ndarray | Sequence[int]) -> str:
    """Hash an image list: its paths and labels, in order."""
    return sha256_text(*(f"{path} {int(label)}" for path, label in zip(paths, labels, strict=True)))


def read_image_list(
    path: Path, n_classes: int | None = None, root: Path | None = None
) -> ImageList:
    """Read a list of `relative/path.jpg label` lines, plain or gzip'ed; a path may hold spaces.

    Between path and label may stand blanks, a tab, a comma or a semicolon, the same in all lines; a header,
    quoted paths and a leading `./` are read as well.

    Args:
        path: The list.
        n_classes: Labels must be below it; None: any.
        root: Folder of the images: absolute paths below it become relative.

    Raises:
        UserError: unreadable, empty, a line without a label or with one outside 0..C-1, or a path that
            leads out of the folder of images.
    """
    lines = read_lines(path)
    while lines and not lines[-1].strip():
        lines.pop()
    separator = next((s for s in "\t,;" if lines and _splits(lines[-1], s)), " ")
    header = 1 if len(lines) > 1 and _is_header(lines[0], separator) else 0
    if not lines:
        raise UserError(f"{path}: empty image list")
    paths: list[str] = []
    labels = np.empty(len(lines) - header, dtype=np.int64)
    prefix = None if root is None else f"{root.resolve().as_posix()}/"
    for row, line in enumerate(lines[header:]):
        name, _, label = line.rstrip().rpartition(separator)
        name, label = _unquoted(name), label.strip()
        if not name or not label.isdecimal() or len(label) > 15:
            raise UserError(f"{path} line {row + header + 1}: {_why_no_image(line, label)}")
        if prefix is not None and name[0] == "/":
            name = name.removeprefix(prefix)
        paths.append(name)
        labels[row] = int(label)
        if leads_outside(name):
            hint = f"; images are in {root}" if root is not None and name[0] == "/" else ""
            raise UserError(
                f"{path} line {row + header + 1}: {name[:80]!r} must be a path inside the images{hint}"
            )
    images = ImageList(path, paths, labels, header)
    if n_classes is not None:
        images.check_labels(n_classes)
    return images


def _why_no_image(line: str, label: str) -> str:
    if label == "-1":
        return "label -1: images of no class (open set) are left out of lists"
    if label.isdecimal() and len(label) > 15:
        return f"label {label[:40]} is too large"
    hint = "; `dualtail make-lists --table` reads tables of other columns"
    is_table = line.count(",") > 1 or line.casefold().startswith(("label,", "class,"))
    return f"{line[:80]!r} is not `relative/path.jpg label`{hint if is_table else ''}"


def _splits(line: str, separator: str) -> bool:
    """Whether a line is a path and a label with this between them."""
    name, _, label = line.rstrip().rpartition(separator)
    return bool(name) and label.strip().lstrip("-").isdecimal()


def _is_header(line: str, separator: str) -> bool:
    """Two words of which the second is no number, as in `file,label`."""
    return re.fullmatch(rf"[A-Za-z_ ]+{separator}[A-Za-z_ ]+", line.strip()) is not None


def _unquoted(name: str) -> str:
    name = name.rstrip()
    if len(name) > 1 and name[0] == name[-1] and name[0] in "\"'":
        name = name[1:-1]
    return name.removeprefix("./")


def write_image_list(path: Path, paths: list[str], labels: np.ndarray) -> None:
    """Write a list that `read_image_list` reads.

    Raises:
        UserError: a path that a list cannot hold, or the file cannot be written.
    """
    for name in paths:
        if not name or name != _unquoted(name).rstrip(",;") or not _is_line(name):
            raise UserError(
                f"{path}: not written: the name {name!a} cannot be in a list (a line break, a space or "
                "comma at its end, quotes around it, or not UTF-8): rename the image"
            )
    rows = zip(paths, labels.tolist(), strict=True)
    write_text(path, "".join(f"{name} {label}\n" for name, label in rows))


def leads_outside(name: str) -> bool:
    """Whether a relative path would leave its folder."""
    return name.startswith("/") or (".." in name and ".." in name.split("/"))


def _is_line(name: str) -> bool:
    """Whether it has no line break, and is UTF-8: file names are bytes, and others have surrogates."""
    if "\n" in name or "\r" in name:
        return False
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
