"""docs/the-paper.md: its arithmetic, repeated from the published numbers."""

import math
import re
from itertools import product
from pathlib import Path

import pytest

from dualtail.bias.groups import D_GROUPS, P_GROUPS
from dualtail.datasets.known_lists import official_list
from dualtail.paper.published import DATASETS, published_numbers

LAYERS, WIDTH, TOKENS = 12, 768, 197
TABLES = {"table5": "places365_lt", "table6": "imagenet_lt", "table7": "inat2018"}


@pytest.fixture(scope="module")
def known() -> dict[tuple[str, str, str, str], str]:
    """(item, dataset, row, column) -> what is printed."""
    frame = published_numbers()
    keys = zip(*(frame[name] for name in ("item", "dataset", "row", "column")), strict=True)
    return dict(zip(keys, frame["value"], strict=True))


def sizes(dataset: str) -> tuple[int, int, int]:
    """Classes in D-Many, D-Medium and D-Few by the official list."""
    listed = official_list(dataset, "train")
    assert listed is not None
    assert listed.groups is not None
    return listed.groups


def p_groups(known):
    for (item, dataset, row, column), overall in known.items():
        if item == "table3" and column == "Overall":
            values = [float(known[item, dataset, row, group]) for group in P_GROUPS]
            by_text = sum(s * v for s, v in zip((0.3, 0.3, 0.4), values, strict=True))
            numbers = f"{by_text:.2f} | {sum(values) / 3:.2f} | {overall}"
            yield f"| {DATASETS[dataset]}, {row} | {numbers} |"


def parameters(known):
    for item, dataset in TABLES.items():
        classes = sum(sizes(dataset))
        rank = 2 ** math.floor(math.log2(classes / (2 * LAYERS)))
        n = LAYERS * (2 * WIDTH + WIDTH * rank + rank + rank * WIDTH + WIDTH + 1)
        printed = [known[item, dataset, row, "Params (M)"] for row in ("LIFT", "Ours")]
        yield f"| {classes:,} | {rank} | {n:,} and {3 * n:,} | {printed[0]} M and {printed[1]} M |"


def epochs(known):
    for item, dataset in TABLES.items():
        one = known[item, dataset, "Ours", "Epochs"]
        two = known["table10", dataset, "hyper-parameters", "Epochs"]
        name = item.replace("table", "Table ")
        both = f"{one} in {name} and in Table 10"
        yield f"{DATASETS[dataset]}: {both if one == two else f'{one} in {name}, {two} in Table 10'}"


def third_factors(known):
    for image, factor in ((1, 0), (2, 0), (3, 1), (4, 1)):
        fused = float(known["table15", "", "P(Y|do(X))", f"Image{image}"])
        shown = [
            float(known["fig8", "", name, f"Image{image} (C={factor})"])
            for name in ("OpenCLIP", "MetaCLIP")
        ]
        yield f"{3 * fused - sum(shown):.4f} for image {image}"


def operations(known):
    patches, adapters = (TOKENS - 1) * 3 * 16 * 16 * WIDTH, LAYERS * TOKENS * 2 * WIDTH * 32
    hooked = patches + adapters + LAYERS * 4 * TOKENS * WIDTH
    assert [f"{m * hooked / 1e6:.2f}" for m in (1, 2, 3)] == [
        known["table9", "", f"M={m}", "FLOPs"] for m in (1, 2, 3)
    ]
    attention = LAYERS * (TOKENS * WIDTH * 4 * WIDTH + 2 * TOKENS**2 * WIDTH)
    whole = patches + attention + LAYERS * 8 * TOKENS * WIDTH**2 + adapters + 1000 * WIDTH
    assert round(2 * whole / (1e6 * 239.06)) == 148  # twice 74: FLOPs against multiply-adds
    yield from (f"{hooked:,} in sum", f"= {whole:,} multiply-adds", f"{2 * whole / 1e9:.2f} GFLOPs")


def gaps(known):
    def noise(share):
        return 100 * math.sqrt(2 / math.pi) * math.sqrt(share / 100)

    shares = (0.10, 0.14, 0.15, 0.20, 0.25, 0.50)
    yield f"| D | {' | '.join(f'{share:.2f}' for share in shares)} |"
    yield f"points | {' | '.join(f'{noise(share):.2f}' for share in shares)} |"
    yield f"{noise(1):.2f} points at D = 1"
    frame = published_numbers()
    table = frame[frame["item"] == "table2"]
    for peft in ("adaptformer", "vpt"):
        tuned = table[(table["peft"] == peft) & (table["column"] != "ZS")]["value"]
        low, high = min(tuned, key=float), max(tuned, key=float)
        shares = [f"{math.pi / 2 * 100 * (float(gap) / 100) ** 2:.3f}" for gap in (low, high)]
        yield f"{low} to {high}"
        yield f"D = {shares[0]} to {shares[1]}"
    zero_shot = table[table["column"] == "ZS"]["value"]
    yield f"zero-shot gaps, {min(zero_shot, key=float)} to {max(zero_shot, key=float)} points"


def gains(known):
    found = {}
    for dataset, single, group in product(
        ("imagenet_lt", "places365_lt"), ("CLIP", "OpenCLIP", "MetaCLIP"), D_GROUPS
    ):
        three, one = (
            known["table11", dataset, row, group] for row in ("CLIP+OpenCLIP+MetaCLIP", single)
        )
        gain = round(float(three) - float(one), 2)
        found[f"{three} - {one} = {gain}"] = abs(gain - 2.38)
    assert min(found.values()) > 0
    yield from sorted(found, key=lambda text: found[text])[:2]
    ours, rac = (known["table7", "inat2018", row, "All"] for row in ("Ours", "RAC"))
    yield f"{ours} - {rac} = {float(ours) - float(rac):.2f}"
    fused = known["fig6", "places365_lt", "Ours/P-Few", "D-Few"]
    yield f"{fused} - 1.50 = {known['fig2', 'places365_lt', 'LA/P-Few', 'D-Few']}"
    images = official_list("imagenet_lt", "train").images
    yield f"{images:,} in the official list: {images / 12_210:.2f} times"


def overall(known):
    checked, wrong = 0, []
    for (item, dataset, row, column), printed in known.items():
        texts = [known.get((item, dataset, row, group)) for group in D_GROUPS]
        if column not in ("Overall", "All") or None in texts or dataset not in DATASETS:
            continue
        checked += 1
        weights = [n / sum(sizes(dataset)) for n in sizes(dataset)]
        half = [0.5 * 10 ** -len(text.partition(".")[2]) for text in (*texts, printed)]
        mean = sum(w * float(text) for w, text in zip(weights, texts, strict=True))
        rounding = sum(w * h for w, h in zip(weights, half[:3], strict=True)) + half[3]
        if abs(mean - float(printed)) > rounding + 1e-9:
            name = f"{item.replace('table', 'Table ')}, {DATASETS[dataset]}, {row}"
            wrong.append(f"| {name} | {mean:.2f} | {printed} | {rounding:.3f} |")
    yield from (f"{len(wrong)} of {checked} rows", *wrong)


def test_every_number_of_the_page_follows_from_the_published_ones(known, root: Path):
    page = " ".join((root / "docs/the-paper.md").read_text().split())
    parts = (p_groups, parameters, epochs, third_factors, operations, gaps, gains, overall)
    for text in (text for part in parts for text in part(known)):
        assert text in page, text


def test_every_equation_table_and_figure_has_its_file() -> None:
    root = Path(__file__).parents[2]
    page = (root / "docs/the-paper.md").read_text()
    rows = re.findall(r"^\| (Eq\.|Table|Figure) (\d+) \|.*?\]\(\.\./(src/[\w/]+\.py)\)", page, re.M)
    found = {(kind, int(number)): file for kind, number, file in rows}
    assert [number for kind, number in found if kind == "Table"] == list(range(1, 17))
    assert [number for kind, number in found if kind == "Figure"] == list(range(1, 13))
    assert [number for kind, number in found if kind == "Eq."] == list(range(2, 8))
    for (kind, number), file in found.items():
        assert f"{kind} {number}" in (root / file).read_text(), file
