"""What every scaling promises: model space and back."""

import pytest
import torch
from parts import label, specs

import registry

SPECS = specs("scalings")


@pytest.mark.parametrize("spec", SPECS, ids=label)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_decodes_what_it_encoded(spec, dtype):
    scaling = registry.scalings.build(spec)
    data = torch.randn(3, 2, 5, dtype=torch.float64).to(dtype)
    before = data.clone()
    encoded = scaling.encode(data)
    assert encoded.dtype == dtype
    assert torch.equal(data, before)
    # a few roundings of numbers of size 1 to 10
    tolerance = 10 * torch.finfo(dtype).eps * 10
    torch.testing.assert_close(scaling.decode(encoded), data, rtol=0, atol=tolerance)
