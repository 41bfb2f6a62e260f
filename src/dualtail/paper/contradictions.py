"""Where the paper contradicts itself, worked out from the numbers that it publishes.

Each check recomputes one published number from others and compares. Nothing is asserted: with other
numbers in `published.csv` or `statements.csv` a check would come out the other way.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple

from dualtail.bias.groups import D_GROUPS, P_GROUPS
from dualtail.datasets.known_lists import official_list
from dualtail.paper.published import DATASETS, published_numbers, published_value, statement

WIDTH, LAYERS, TOKENS, PATCH_VALUES = 768, 12, 197, 16 * 16 * 3
"""ViT-B/16 at 224 pixels: 14 x 14 patches and a class token."""

Outcome = Literal["contradiction", "consistent", "cannot be told"]


class Check(NamedTuple):
    """One check: what is compared, what came out, and the arithmetic line by line."""

    title: str
    outcome: Outcome
    arithmetic: list[str]


def p_group_shares() -> Check:
    """Which shares of P-groups give back Overall in Table 3: those of the text, or thirds?"""
    shares = [statement(f"p_{group}_share") / 100 for group in ("many", "medium", "few")]
    lines, text_errors, third_errors = [], [], []
    for dataset, method in _table_3_rows():
        values = [_table_3(dataset, method, group) for group in P_GROUPS]
        overall = _table_3(dataset, method, "Overall")
        by_text = sum(share * value for share, value in zip(shares, values, strict=True))
        by_thirds = sum(values) / 3
        text_errors.append(abs(by_text - overall))
        third_errors.append(abs(by_thirds - overall))
        lines.append(
            f"{DATASETS[dataset]}, {method}: "
            f"{' + '.join(f'{s:.2f} x {v}' for s, v in zip(shares, values, strict=True))} = "
            f"{by_text:.2f}; a third of each = {by_thirds:.2f}; printed {overall}"
        )
    lines.append(
        f"largest error with the text's shares {max(text_errors):.2f}, the smallest "
        f"{min(text_errors):.2f}; with thirds {max(third_errors):.2f}"
    )
    wrong = min(text_errors) > max(third_errors)
    return Check(
        "P-groups: 30 / 30 / 40 % in the text, thirds in Table 3",
        "contradiction" if wrong else "cannot be told",
        lines,
    )


def adaptformer_parameters() -> Check:
    """Parameters in Tables 5 to 7 against those that AdaptFormer has for so many classes."""
    lines, wrong = [], []
    for table, dataset in ((5, "places365_lt"), (6, "imagenet_lt"), (7, "inat2018")):
        n_classes = _classes(dataset)
        rank = bottleneck(n_classes)
        count = adapter_parameters(rank)
        printed = [
            published_value(f"table{table}", row, "Params (M)", dataset) for row in ("LIFT", "Ours")
        ]
        lines.append(
            f"Table {table}, {n_classes} classes: bottleneck {rank}, {LAYERS} x "
            f"(2 x {WIDTH} + {WIDTH} x {rank} + {rank} + {rank} x {WIDTH} + {WIDTH} + 1) = "
            f"{count:,}, three times that {3 * count:,}; printed {printed[0]} M and {printed[1]} M"
        )
        for factor, value in zip((1, 3), printed, strict=True):
            # Three times a rounded number is as good a way to print it.
            off = abs(factor * count / 1e6 - value)
            if off > factor * 0.005 + 1e-9:
                wrong.append(f"Table {table}: {value} M for {factor * count / 1e6:.2f} M")
    lines.append("; ".join(wrong) if wrong else "all agree")
    return Check(
        "Trained parameters of Tables 5 to 7", "contradiction" if wrong else "consistent", lines
    )


def epochs() -> Check:
    """Epochs of the paper's method in Tables 5 to 7 against Table 10."""
    lines, wrong = [], False
    for table, dataset in ((5, "places365_lt"), (6, "imagenet_lt"), (7, "inat2018")):
        compared = published_value(f"table{table}", "Ours", "Epochs", dataset)
        set_to = published_value("table10", "hyper-parameters", "Epochs", dataset)
        wrong |= compared != set_to
        lines.append(
            f"{DATASETS[dataset]}: {compared:.0f} in Table {table}, {set_to:.0f} in Table 10"
        )
    return Check(
        "Epochs of Tables 5 to 7 against Table 10",
        "contradiction" if wrong else "consistent",
        lines,
    )


def fused_probabilities() -> Check:
    """Whether Table 15 is an average of probabilities, as Eq. 7 says, with Figure 8's factors.

    Figure 8 shows two of three factors. An average of three probabilities needs a third one in
    0..1; if none fits, it was none.
    """
    lines, needed = [], []
    for image in range(1, 5):
        fused = published_value("table15", "P(Y|do(X))", f"Image{image}")
        factor = 0 if image < 3 else 1
        known = [
            published_value("fig8", name, f"Image{image} (C={factor})")
            for name in ("OpenCLIP", "MetaCLIP")
        ]
        third = 3 * fused - sum(known)
        needed.append(third)
        lines.append(f"Image {image}: 3 x {fused} - {known[0]} - {known[1]} = {third:.4f} for CLIP")
    possible = all(0 <= third <= 1 for third in needed)
    lines.append(
        "an average of three probabilities is possible, but so is one of logits: the numbers do not "
        "settle whether Eq. 7 (probabilities) or the release (logits) made the tables"
        if possible
        else "no third probability fits: these are not averages of three probabilities"
    )
    return Check(
        "Eq. 7 averages probabilities, the release sums logits",
        "cannot be told" if possible else "contradiction",
        lines,
    )


def operations() -> Check:
    """Table 9 against the multiply-adds of the model: by a counter of modules, and all of them."""
    n_classes = _classes("imagenet_lt")
    rank = bottleneck(n_classes)
    patches = (TOKENS - 1) * PATCH_VALUES * WIDTH
    adapters = LAYERS * TOKENS * 2 * WIDTH * rank
    norms = LAYERS * 4 * TOKENS * WIDTH  # such counters give a layer norm four per value
    hooked = patches + adapters + norms
    attention = LAYERS * (TOKENS * WIDTH * 4 * WIDTH + 2 * TOKENS**2 * WIDTH)
    mlp = LAYERS * 2 * TOKENS * WIDTH * 4 * WIDTH
    true = patches + attention + mlp + adapters + WIDTH * n_classes
    printed = [published_value("table9", f"M={m}", "FLOPs") for m in (1, 2, 3)]
    agrees = all(abs(m * hooked / 1e6 - value) < 0.005 for m, value in enumerate(printed, start=1))
    lines = [
        f"modules that a counter with hooks sees (patch embedding, AdaptFormer of bottleneck {rank} "
        f"and its layer norms): {patches:,} + {adapters:,} + {norms:,} = {hooked:,}",
        f"times 1, 2, 3 in millions: {', '.join(f'{m * hooked / 1e6:.2f}' for m in (1, 2, 3))}; "
        f"printed {', '.join(str(value) for value in printed)}",
        f"all multiply-adds of a forward pass: {patches:,} + {attention:,} (attention) + {mlp:,} "
        f"(MLP) + {adapters:,} + {WIDTH * n_classes:,} (head) = {true:,}, or "
        f"{2 * true / 1e9:.2f} GFLOPs, {true / (printed[0] * 1e6):.0f} times the printed number",
    ]
    return Check(
        "FLOPs of Table 9 count a fraction of the model",
        "contradiction" if agrees and true > 2 * hooked else "cannot be told",
        lines,
    )


def imagenet_images() -> Check:
    """Training images of ImageNet-LT in the text against the official list."""
    said, listed = statement("imagenet_lt_images"), official_list("imagenet_lt", "train")
    assert listed is not None
    return Check(
        "Training images of ImageNet-LT",
        "contradiction" if abs(said - listed.images) > 5 else "consistent",
        [
            f"{said / 1000:.2f}K in the text, {listed.images:,} lines in {listed.file}: "
            f"{listed.images / said:.2f} times as many"
        ],
    )


def vpt_gain() -> Check:
    """The gain that Appendix D.1 states against all gains of three models over one in Table 11."""
    said = statement("vpt_gain")
    gains = []
    for dataset in ("imagenet_lt", "places365_lt"):
        for single in ("CLIP", "OpenCLIP", "MetaCLIP"):
            for group in D_GROUPS:
                three, one = (
                    published_value("table11", row, group, dataset, "vpt")
                    for row in ("CLIP+OpenCLIP+MetaCLIP", single)
                )
                gains.append((round(three - one, 2), three, one, dataset, single, group))
    gains.sort(key=lambda gain: abs(gain[0] - said))
    nearest = "; ".join(
        f"{three} - {one} = {gain} ({DATASETS[dataset]}, {group}, over {single})"
        for gain, three, one, dataset, single, group in gains[:2]
    )
    return Check(
        "The gain of Appendix D.1",
        "consistent" if gains[0][0] == said else "contradiction",
        [
            f"{said} in the text; of the {len(gains)} gains of three models over one in Table 11 the "
            f"nearest are {nearest}"
        ],
    )


def gain_over_rac() -> Check:
    """The gain over RAC that the text states against Table 7."""
    said = statement("gain_over_rac")
    ours, rac = (published_value("table7", row, "All", "inat2018") for row in ("Ours", "RAC"))
    gain = round(ours - rac, 2)
    return Check(
        "The gain over RAC on iNaturalist2018",
        "consistent" if gain == said else "contradiction",
        [f"{said} in the text; {ours} - {rac} = {gain} by Table 7"],
    )


def overall_from_groups() -> Check:
    """Overall against the D-groups of the same row, weighted by their numbers of classes."""
    frame = published_numbers()
    cells = {
        (item, dataset, row, column): value
        for item, dataset, row, column, value in zip(
            *(frame[name] for name in ("item", "dataset", "row", "column", "value")), strict=True
        )
    }
    lines, checked = [], 0
    for item, dataset, row, column in cells:
        groups = [cells.get((item, dataset, row, group)) for group in D_GROUPS]
        if column not in ("Overall", "All") or None in groups or dataset not in DATASETS:
            continue
        printed, values = cells[item, dataset, row, column], [str(value) for value in groups]
        sizes = _group_sizes(dataset)
        mean = _weighted((float(value) for value in values), sizes)
        rounding = _weighted((_half_digit(v) for v in values), sizes) + _half_digit(printed)
        checked += 1
        if abs(mean - float(printed)) > rounding + 1e-9:
            terms = " + ".join(f"{n} x {v}" for n, v in zip(sizes, values, strict=True))
            lines.append(
                f"{item.replace('table', 'Table ')}, {DATASETS[dataset]}, {row}: ({terms}) / "
                f"{sum(sizes)} = {mean:.2f}, printed {printed}; rounding explains {rounding:.3f}"
            )
    found = len(lines)
    lines.append(f"{found} of {checked} rows with D-groups and Overall do not agree")
    return Check(
        "Overall is not the mean over classes of its own row",
        "contradiction" if found else "consistent",
        lines,
    )


def gla_train_on_places() -> Check:
    """Table 3, Places365-LT, GLA-Train: which of its columns Overall belongs to."""
    values = [_table_3("places365_lt", "GLA-Train", g) for g in (*D_GROUPS, *P_GROUPS)]
    by_d = _weighted(values[:3], _group_sizes("places365_lt"))
    by_p, overall = sum(values[3:]) / 3, _table_3("places365_lt", "GLA-Train", "Overall")
    d_fits, p_fits = abs(by_d - overall) < 0.02, abs(by_p - overall) < 0.02
    return Check(
        "Table 3, Places365-LT, GLA-Train: D-columns and P-columns of different models",
        "consistent" if d_fits == p_fits else "contradiction",
        [
            f"D-columns weighted by classes {by_d:.2f}, P-columns in thirds {by_p:.2f}, printed "
            f"{overall}"
        ],
    )


def consistency() -> Check:
    """Names of the constructed data sets: the text's Consistency is no column of Table 13."""
    frame = published_numbers("table13")
    columns = list(frame["column"])
    return Check(
        "Consistency in the text is Uniform in Table 13",
        "consistent" if "Consistency" in columns else "contradiction",
        [f"columns of Table 13: {', '.join(columns)}; {frame['note'].iloc[0]}"],
    )


def illegible_cell() -> Check:
    """Figure 2b's cell P-Few / D-Few, which cannot be read in the source."""
    fused = published_value("fig6", "Ours/P-Few", "D-Few", "places365_lt", "adaptformer")
    used = published_value("fig2", "LA/P-Few", "D-Few", "places365_lt", "adaptformer")
    gain = statement("gain_few_few")
    derived = round(fused - gain, 2)
    return Check(
        "Figure 2b, cell P-Few / D-Few, illegible in the source",
        "consistent" if derived == used else "contradiction",
        [
            f"Figure 6 shows {fused} and a gain of {gain}: {fused} - {gain} = {derived}; used: {used}"
        ],
    )


CHECKS: Sequence[Callable[[], Check]] = (
    p_group_shares,
    adaptformer_parameters,
    epochs,
    fused_probabilities,
    operations,
    imagenet_images,
    vpt_gain,
    gain_over_rac,
    overall_from_groups,
    gla_train_on_places,
    consistency,
    illegible_cell,
)
"""All checks, in the order of the report."""


def bottleneck(n_classes: int) -> int:
    """Return AdaptFormer's bottleneck in the reference: 2 ** floor(log2(C / (2 L))), at least 1."""
    return max(1, 2 ** math.floor(math.log2(n_classes / (2 * LAYERS))))


def adapter_parameters(rank: int) -> int:
    """Return the parameters of AdaptFormer in every block: layer norm, down, up, scale."""
    return LAYERS * (2 * WIDTH + WIDTH * rank + rank + rank * WIDTH + WIDTH + 1)


def _classes(dataset: str) -> int:
    return sum(_group_sizes(dataset))


def _group_sizes(dataset: str) -> tuple[int, int, int]:
    """Classes in D-Many, D-Medium, D-Few by the official training list."""
    listed = official_list(dataset, "train")
    assert listed is not None
    assert listed.groups is not None
    return listed.groups


def _weighted(values: Iterable[float], sizes: Sequence[int]) -> float:
    return sum(n * value for n, value in zip(sizes, values, strict=True)) / sum(sizes)


def _half_digit(text: str) -> float:
    """Half of the last printed digit: what rounding can change."""
    return 0.5 * 10 ** -len(text.partition(".")[2])


def _table_3_rows() -> list[tuple[str, str]]:
    frame = published_numbers("table3")
    return list(dict.fromkeys(zip(frame["dataset"], frame["row"], strict=True)))


def _table_3(dataset: str, method: str, column: str) -> float:
    return published_value("table3", method, column, dataset, "adaptformer")
