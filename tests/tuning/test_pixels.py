import pytest
import torch

from dualtail.tuning.pixels import load_batch

CPU = torch.device("cpu")


def test_both_channel_orders_give_the_same_batch(array_source):
    images = torch.randint(0, 256, (5, 3, 8, 6), dtype=torch.uint8)
    index = torch.tensor([4, 0, 4])
    first = load_batch(array_source(images), index, CPU)
    last = load_batch(array_source(images.permute(0, 2, 3, 1).contiguous()), index, CPU)
    assert torch.equal(first, images[index])
    assert torch.equal(last, first)


@pytest.mark.parametrize(
    "images",
    [
        torch.zeros(5, 3, 8, 8),
        torch.zeros(5, 8, 8, dtype=torch.uint8),
        torch.zeros(5, 1, 8, 8, dtype=torch.uint8),
    ],
)
def test_sources_that_break_the_contract(array_source, images):
    with pytest.raises(ValueError, match="image"):
        load_batch(array_source(images), torch.tensor([0, 1]), CPU)
