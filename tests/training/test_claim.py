"""The lock on the folder of a run."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from zoo.training.claim import Claim
from zoo.training.resume import ResumeError

pytest.importorskip("fcntl")

ROOT = Path(__file__).parents[2]


def test_keeps_others_out_until_it_is_released(tmp_path):
    mine, theirs = Claim(tmp_path), Claim(tmp_path)
    mine.take()
    mine.take()
    with pytest.raises(ResumeError, match="another process is training into"):
        theirs.take()
    mine.release()
    theirs.take()
    theirs.release()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_ends_with_its_process_though_readers_go_on(tmp_path):
    """A process that holds the folder forks one that outlives it."""
    code = f"""
import os, signal, time
from pathlib import Path
from zoo.training.claim import Claim
claim = Claim(Path({str(tmp_path)!r}))
claim.take()
child = os.fork()
if not child:
    os.close(1)
    time.sleep(60)
    os._exit(0)
print(child, flush=True)
time.sleep(60)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        with pytest.raises(ResumeError):
            Claim(tmp_path).take()
        process.kill()
    try:
        mine = Claim(tmp_path)
        mine.take()
        mine.release()
    finally:
        os.kill(child, signal.SIGKILL)


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs process groups")
def test_a_polite_kill_of_all_processes_saves_though_readers_hear_it(tmp_path):
    settings = "training.num_workers=2 training.steps=5000 training.save_every=5000 training.sample_every=5000"
    small = "training.batch_size=4 denoiser.base_channels=8 training.log_every=1 --device cpu --out run"
    process = subprocess.Popen(
        [sys.executable, "-m", "zoo", "train", "ddpm-digits", *settings.split(), *small.split()],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    log = tmp_path / "run" / "log.jsonl"
    deadline = time.monotonic() + 120
    while not (log.exists() and log.read_text().count("\n") > 2):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGTERM)
    told = process.communicate(timeout=120)[1]
    assert process.returncode == 130, told
    assert "the same command goes on from there" in told
    assert (tmp_path / "run" / "model.safetensors").exists()
