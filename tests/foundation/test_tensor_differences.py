"""Which tensors differ, in a sentence."""

from dualtail.foundation.tensor_differences import describe_differences


def test_the_three_kinds_of_differences() -> None:
    checkpoint = {"a": (2, 3), "b": (1,), "x": (), "y": (4,)}
    model = {"a": (2, 4), "b": (1,), "c": (5,)}
    assert describe_differences(checkpoint, model) == (
        "1 of another shape: a is 2x3 in the checkpoint and 2x4 in the model; "
        "1 missing from the checkpoint: c; 2 that the model does not have: x, y"
    )
    assert describe_differences(model, model) == ""


def test_long_lists_are_cut() -> None:
    text = describe_differences({}, {f"t{i}": (i,) for i in range(1200)})
    assert text == "1,200 missing from the checkpoint: t0, t1, t2, ..."
