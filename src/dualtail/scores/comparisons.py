"""Which dumps of a split are compared with which."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from dualtail.outputs import OutputsHeader


class Comparison(NamedTuple):
    """Two dumps by their position, and what is asked of the pair."""

    left: int
    right: int
    what: Literal["gap", "gain"]


class GapChange(NamedTuple):
    """Two gaps between the same models by their positions: of tuned ones, and of zero-shot ones."""

    after: Comparison
    before: Comparison


JOINED = ("kind", "members", "peft", "loss", "adjustment", "fusion", "seed")


def comparisons(headers: Sequence[OutputsHeader]) -> list[Comparison]:
    """Return the comparisons that the paper makes.

    - gap (Eq. 5, Table 2): two foundation models under otherwise equal conditions;
    - gain: LA over CE of one model (Fig. 2), also where its features are classified by kNN
      (Table 4); another loss, or a GLA adjustment, over LA (Table 3); a fused prediction over each
      of its members (Fig. 6) and over the fusions of one member less (Table 8); one way of fusing
      over another that is listed after it; the ensemble of several seeds over each of them.
    """
    found = []
    for right, base in enumerate(headers):
        for left, other in enumerate(headers):
            if len(base.members) != 1:
                other_rule = left < right and _alike(other, base, "fusion")
                if other_rule or _one_more(other, base):
                    found.append(Comparison(left, right, "gain"))
                continue
            if left < right and len(other.members) == 1 and _alike(other, base, "members"):
                found.append(Comparison(left, right, "gap"))
            if _improves(other, base):
                found.append(Comparison(left, right, "gain"))
    return sorted(found, key=lambda pair: (pair.what, pair.left, pair.right))


def gap_changes(headers: Sequence[OutputsHeader]) -> list[GapChange]:
    """Return what tuning changes: the gap of two tuned models against their zero-shot gap (Table 2)."""
    gaps = [pair for pair in comparisons(headers) if pair.what == "gap"]
    zero_shot = {
        _members(pair, headers): pair for pair in gaps if headers[pair.left].kind == "zero-shot"
    }
    return [
        GapChange(pair, zero_shot[_members(pair, headers)])
        for pair in gaps
        if headers[pair.left].kind == "tuned" and _members(pair, headers) in zero_shot
    ]


def _members(pair: Comparison, headers: Sequence[OutputsHeader]) -> tuple[str, str]:
    return headers[pair.left].members_key, headers[pair.right].members_key


def joined(left: OutputsHeader, right: OutputsHeader) -> dict[str, str | int | None]:
    """Return the identifying columns of a comparison: equal values once, others as `left|right`.

    A fusion over a single model is named by its rule alone. Seeds of a comparison are equal or one is
    absent; then the present one stands for both.
    """
    columns: dict[str, str | int | None] = {"kind": left.kind}
    for name in ("members", "peft", "loss", "adjustment"):
        one, two = _text(left, name), _text(right, name)
        columns[name] = one if one == two else f"{one}|{two}"
    rules = dict.fromkeys(rule for rule in (left.fusion, right.fusion) if rule)
    columns["fusion"] = "|".join(rules)
    columns["seed"] = right.seed if left.seed is None else left.seed
    return columns


def _text(header: OutputsHeader, name: str) -> str:
    return header.members_key if name == "members" else str(getattr(header, name))


def _alike(one: OutputsHeader, two: OutputsHeader, *but: str) -> bool:
    names = (name for name in JOINED if name not in but)
    return all(getattr(one, name) == getattr(two, name) for name in names)


def _one_more(other: OutputsHeader, base: OutputsHeader) -> bool:
    """Whether `other` fuses the members of `base`, a fusion, and one more."""
    return (
        _alike(other, base, "members")
        and len(other.members) == len(base.members) + 1
        and set(base.members) < set(other.members)
    )


def _improves(other: OutputsHeader, base: OutputsHeader) -> bool:
    """Whether `other` is a remedy that the paper sets against `base`, a single model."""
    if other.kind == "fused" and base.kind not in ("fused", "knn"):
        is_ensemble = set(other.members) == {base.members[0]}  # of several seeds of one model
        ignored = ("seed",) if is_ensemble else ()
        same = _alike(other, base, "kind", "members", "fusion", *ignored)
        return same and base.members[0] in other.members
    if base.kind not in ("tuned", "knn"):
        return False
    if other.kind == base.kind and _alike(other, base, "loss"):
        return (other.loss, base.loss) == ("la", "ce") or (
            base.loss == "la" and other.loss not in ("ce", "la")
        )
    if other.kind == "adjusted" and base.kind == "tuned" and base.loss == "la":
        return _alike(other, base, "kind", "loss", "adjustment")
    return False
