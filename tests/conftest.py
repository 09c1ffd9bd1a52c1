"""What every test starts from: one thread, a fixed seed, and no way to the network."""

import os
import socket

# before torch is imported: its pools are sized once, and child processes inherit it
os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)

# The same examples every time: a failure found here is found again anywhere, and no run takes longer than another.
settings.register_profile("zoo", deadline=None, derandomize=True, max_examples=50, database=None)
settings.load_profile("zoo")


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    """Nothing but this machine can be reached, except by tests that install packages in processes of their own."""

    def refuse(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise RuntimeError(f"a test tried to reach {address}: tests run offline")
        return connect(self, address)

    connect = socket.socket.connect
    monkeypatch.setattr(socket.socket, "connect", refuse)
