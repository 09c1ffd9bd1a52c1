"""Recorded outputs of the voice code bases, each asked of the model that its importer makes of the old file.

The cases lie beside this file; a larger collection is walked where it exists (the folder ``voice`` of ``ZOO_GOLDEN``).
Every tensor of a case is either an input or has a row in ``ROWS`` that says how we make it.
"""

import functools
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import zoo
from zoo.conditioners.aux_decoder import AuxDecoder
from zoo.denoisers.diffnet import DiffNet
from zoo.layers.pitch import coarse_pitch, in_octaves

ROOT = Path(__file__).parents[2]
ROOTS = (Path(__file__).parent / "voice", Path(os.environ.get("ZOO_GOLDEN", ROOT.parent / "shared/golden")) / "voice")
WEIGHTS = ("checkpoint.ckpt", "model_100000.pt", "model.safetensors")
MODELS = re.compile(r"ddspsvc|diffnet|diffsvc|openvpi_(lynx|wavenet|reflow)|samplers_small")
INPUTS = re.compile(
    r"spec|diffusion_step(_float)?|cond(_BTH)?|x_T|units|mel2ph|energy|uv|f0_(hz|log2|log2_shifted|denorm|denorm_shifted)"
    r"|key_shift|ref_mels|shallow_noise|ddpm_(chain_)?noise|ddpm_(chain_K|t|K20_noises)|loss_(cond|noise|nonpadding|t|x0)"
    r"|aug_shift|gt_mel|spk_id|volume|noise|src_spec"
    # what is inside the network, and losses that are not ours
    r"|after_input_projection|block0_(x|skip)|step_(embedding|mlp)|loss_l1(_nonpadding)?|loss_l2_lognorm"
)
# Of the largest value of the reference: what reordered float32 sums may do to it.
FORWARD, CHAIN = 1e-4, 1e-3


@functools.lru_cache(maxsize=4)
def model(folder):
    config = yaml.safe_load((folder / "config.yaml").read_text())
    format = None
    if "formula_base" in config:
        return formula_model(config)
    file = next(folder / name for name in WEIGHTS if (folder / name).exists())
    if file.suffix == ".safetensors":
        format = "diffsinger" if folder.name.startswith("openvpi") else "diff-svc"
    return zoo.load(file, format=format)


def formula_model(config):
    """The nets of full size, whose weights are not stored."""
    net = DiffNet(
        mel_bins=config["audio_num_mel_bins"],
        residual_channels=config["residual_channels"],
        dilation_cycle=config["dilation_cycle_length"],
    )
    state = net.state_dict()
    for k, key in enumerate(sorted(state)):
        shape = tuple(state[key].shape)
        draw = np.random.RandomState(config["formula_base"] + k).standard_normal(int(np.prod(shape))).reshape(shape)
        scale = 0.1 if len(shape) < 2 else (np.prod(shape) / shape[0]) ** -0.5
        state[key] = torch.from_numpy((draw * scale).astype(np.float32))
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "formula.safetensors"
        save_file(state, path)
        return zoo.load(path, format="diff-svc", config=config)


@functools.lru_cache(maxsize=8)
def tensors(folder, name="io"):
    return load_file(folder / f"{name}.safetensors")


def one_feature(x):
    """Without the old dimension of features, where there is one."""
    return x[:, 0] if x.ndim == 4 and x.shape[1] == 1 else x


def bins_first(x):
    """(B, T, C) to (B, C, T)."""
    return x.transpose(1, 2)


@dataclass(frozen=True)
class Case:
    """One recorded tensor: where it lies, and the groups of the pattern that knows it."""

    folder: Path
    file: str
    key: str
    row: int

    @property
    def io(self):
        return tensors(self.folder, self.file)

    @property
    def base(self):
        """The tensors that the other code bases share with diff-svc's own run."""
        return tensors(self.folder)

    @property
    def model(self):
        return model(self.folder)

    @property
    def groups(self):
        return re.fullmatch(ROWS[self.row][0], self.key).groups()

    @property
    def features(self):
        """What the conditioner takes."""
        io = self.io
        if "f0_log2" in io:
            return {name: io[name] for name in ("units", "mel2ph", "energy")} | {"f0": io["f0_log2"]}
        return {
            "units": io["units"],
            "f0": io["f0_hz"],
            "volume": io["volume"],
            "spk": io["spk_id"],
            "aug_shift": io["aug_shift"],
        }

    @property
    def condition(self):
        return {"cond": bins_first(self.io["cond_BTH"])} if "cond_BTH" in self.io else self.features


def forward(case, step):
    io = case.io
    return case.model.denoiser(one_feature(io["spec"]), io[step], cond=io["cond"])


def at_start(case, time):
    cond = case.io.get("cond", case.io.get("cond_BHT"))
    return case.model.denoiser(case.io["x_T"][:, 0], torch.tensor([float(time)]), cond=cond)


def conditioned(case, **changes):
    return case.model.conditioner(**case.features | changes)["cond"]


def coarse(case, f0):
    own = case.model.config["conditioner"]
    hertz = in_octaves(case.io[f0]).exp2() * (case.io["mel2ph"] > 0)
    return coarse_pitch(hertz, f0_min=own["f0_min"], f0_max=own["f0_max"], bins=own["f0_bins"])


def masked(case, mel):
    """(B, M, T) as the old code returns it."""
    mask = case.io.get("mel2ph", torch.ones(1))
    return bins_first(mel) * (mask > 0).float().reshape(1, -1, 1)


def solver(method, k_step, interval):
    """OpenVPI's and DDSP-SVC's names of samplers, with their times."""
    if method in ("pndm", "ddim"):
        spacing = {"name": "diff-svc", "k_step": k_step, "interval": interval}
        return {"sampler": {"pndm": "plms", "ddim": "ddim"}[method], "spacing": spacing}
    steps = k_step // interval
    times = torch.linspace(k_step - 1, 0, steps + 1, dtype=torch.float64).tolist()
    # DPM-Solver++ 2M is UniPC's predictor of order 2 alone
    alone = {"corrector": False, "lower_order_final": steps < 10}
    return {"sampler": {"name": "unipc", "order": 2} | (alone if method == "dpm-solver" else {}), "times": times}


def run(case, method, interval, k_step=None):
    if k_step is None:
        start = {"x_T": case.io["x_T"][:, 0]}
    else:
        mel = case.base.get("ref_mels", case.base.get("gt_mel"))
        start = {"start": bins_first(mel), "start_t": int(k_step) - 1}
        start["noise"] = case.base["shallow_noise"].transpose(0, 1)  # (draws, B, M, T)
    settings = solver(method, int(k_step or 1000), int(interval))
    return masked(case, zoo.sample(case.model, **settings, **start, **case.condition))


def first_states(case, interval):
    spacing = {"name": "diff-svc", "interval": int(interval)}
    start = case.io["x_T"][:, 0]
    moments = zoo.walk(case.model, sampler="plms", spacing=spacing, x_T=start, **case.features)
    return torch.stack([moment.x_t for moment in moments][1:7])[:, :, None]


def ancestral(case):
    times = [*range(int(case.io["ddpm_chain_K"]) - 1, -2, -1)]
    noise = case.io["ddpm_chain_noise"][:, :, 0]
    start = {"x_T": case.io["x_T"][:, 0], "noise": noise}
    return masked(case, zoo.sample(case.model, sampler="ddpm", times=times, guidance="clip", **start, **case.features))


def ancestral_steps(case):
    io, steps = case.io, []
    for t, noise in zip(io["ddpm_t"].flatten().tolist(), io["ddpm_noise"][:, :, 0], strict=True):
        # the last step of a walk draws no noise: go on, and look at the state before
        times = [float(time) for time in (t, t - 1, -1) if time >= -1]
        settings = {"sampler": "ddpm", "times": times[: 2 if t == 0 else 3], "guidance": "clip"}
        moments = zoo.walk(case.model, x_T=io["x_T"][:, 0], noise=noise[None], cond=io["cond"], **settings)
        next(moments)
        steps.append(next(moments).x_t[:, None])
    return torch.stack(steps)


def unclamped(case):
    noise = torch.cat([case.base["shallow_noise"].transpose(0, 1), case.io["ddpm_K20_noises"][:, :, 0]])
    start = {"start": bins_first(case.base["ref_mels"]), "start_t": 19, "noise": noise}
    times = [*range(19, -2, -1)]
    return masked(case, zoo.sample(case.model, sampler="ddpm", times=times, **start, **case.condition))


def moon(case, interval):
    spacing = {"name": "diff-svc", "interval": int(interval), "end": "clean"}
    start = {"x_T": case.io["x_T"][:, 0], "cond": case.io["cond"]}
    return bins_first(zoo.sample(case.model, sampler="plms", spacing=spacing, **start))


def flow(case, method, steps, start):
    low = float(start)
    names = {"rk2": "midpoint", "rk4": "rk4", "rk5": "rk5"}
    # on a straight path, Euler's rule and DDIM are one
    sampler = "ddim" if method == "euler" else {"name": "flow-rk", "method": names[method]}
    noise = case.io["noise"]
    begin = {"x_T": noise[:, 0]}
    if low:
        begin = {"start": bins_first(case.io["src_spec"]), "start_t": 1 - low, "noise": noise.transpose(0, 1)}
    times = torch.linspace(1 - low, 0, int(steps) + 1, dtype=torch.float64).tolist()
    return bins_first(zoo.sample(case.model, sampler=sampler, times=times, **begin, **case.condition))


def velocity(case):
    io = case.io
    x_0, t = case.model.scaling.encode(bins_first(io["src_spec"])), io["loss_t"]
    x_t = t * x_0 + (1 - t) * io["noise"][:, 0]
    return case.model.denoiser(x_t, t * 1000, **case.condition)[:, None]


def loss(case):
    io = case.io
    if "src_spec" in io:
        x_0 = case.model.scaling.encode(bins_first(io["src_spec"]))
        return case.model.loss(x_0, t=1 - io["loss_t"], eps=io["noise"][:, 0], **case.condition).mean(0, keepdim=True)
    x_0, eps = io["loss_x0"][:, 0], io["loss_noise"][:, 0]
    return case.model.loss(x_0, t=io["loss_t"], eps=eps, cond=io["loss_cond"]).mean(0, keepdim=True)


def noised(case):
    return case.model.add_noise(case.io["loss_x0"], case.io["loss_noise"], case.io["loss_t"])


def target(case):
    x_0 = case.model.scaling.encode(bins_first(case.io["src_spec"]))
    eps = case.io["noise"][:, 0]
    return case.model.parameterization.target(x_0, eps, case.model.schedule(torch.tensor(0.5)))[:, None]


ROWS = [
    (r"out", lambda case: forward(case, "diffusion_step"), FORWARD),
    (r"out_float_step", lambda case: forward(case, "diffusion_step_float"), FORWARD),
    (r"eps_(?:xT_)?t(\d+)", at_start, FORWARD),
    (r"cond", conditioned, FORWARD),
    (r"cond_shifted", lambda case: conditioned(case, key_shift=case.io["key_shift"]), FORWARD),
    (r"cond_BHT", conditioned, FORWARD),
    (r"cond_spkmix_.*", lambda case: conditioned(case, spk={1: 0.3, 2: 0.7}, aug_shift=None), FORWARD),
    (r"pitch_coarse", lambda case: coarse(case, "f0_log2"), 0),
    (r"pitch_coarse_shifted", lambda case: coarse(case, "f0_log2_shifted"), 0),
    (r"norm_spec", lambda case: case.model.scaling.encode(bins_first(case.io["ref_mels"]))[:, None], FORWARD),
    (r"denorm_of_x_T", lambda case: bins_first(case.model.scaling.decode(case.io["x_T"][:, 0])), FORWARD),
    (r"q_sample", noised, FORWARD),
    (r"loss_l2", loss, FORWARD),
    (r"plms_speedup(\d+)_mel_out", lambda case, interval: run(case, "pndm", interval), CHAIN),
    (r"plms_speedup(\d+)_first6_x", first_states, CHAIN),
    (r"shallow_addnoise(\d+)_speedup(\d+)_mel_out", lambda case, k, interval: run(case, "pndm", interval, k), CHAIN),
    (r"ddpm_chain_mel_out", ancestral, CHAIN),
    (r"ddpm_step_out", ancestral_steps, FORWARD),
    (r"ddpm_K20_noclip_mel_out", unclamped, CHAIN),
    (r"plms_moon_speedup(\d+)_mel_out_unmasked", moon, CHAIN),
    (r"(ddim|pndm|unipc|dpm-solver)_speedup(\d+)_mel_out", run, CHAIN),
    (r"shallow_[kK](\d+)_([a-z-]+)_speedup(\d+)_mel_out", lambda case, k, method, s: run(case, method, s, k), CHAIN),
    (r"(euler|rk\d)_steps(\d+)_tstart([\d.]+)_mel_out", flow, CHAIN),
    (r"v_pred", velocity, FORWARD),
    (r"v_gt", target, FORWARD),
]  # fmt: skip


def keys(path):
    with safe_open(path, "pt") as file:
        return list(file.keys())  # not a mapping


def folders():
    for root in ROOTS:
        for folder in sorted(root.glob("*/")):
            stored = any((folder / name).exists() for name in WEIGHTS)
            if MODELS.match(folder.name) and (stored or ("fullsize" in folder.name and root == ROOTS[1])):
                yield folder


def collect():
    for folder in folders():
        for file in sorted(folder.glob("io*.safetensors")):
            bare = "spec" in keys(file)
            for key in keys(file):
                known = [row for row, (pattern, *_) in enumerate(ROWS) if re.fullmatch(pattern, key)]
                # the condition of a bare network was an input
                if known and not (key == "cond" and (bare or file.stem != "io")):
                    name = f"{'own' if folder.parent == ROOTS[0] else 'all'}-{folder.name}-{file.stem}-{key}"
                    marks = [pytest.mark.slow] if "fullsize" in folder.name else []
                    yield pytest.param(Case(folder, file.stem, key, known[0]), id=name, marks=marks)


@torch.no_grad()
@pytest.mark.parametrize("case", list(collect()))
def test_repeats_the_original(case):
    _, make, tolerance = ROWS[case.row]
    ours, theirs = make(case, *case.groups), case.io[case.key]
    if ours.ndim < theirs.ndim:
        theirs = one_feature(theirs)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance * float(theirs.abs().max()))


@pytest.mark.parametrize("folder", list(folders()), ids=lambda folder: f"{folder.parents[1].name}-{folder.name}")
def test_no_tensor_is_passed_over(folder):
    every = {key for file in folder.glob("io*.safetensors") for key in keys(file)}
    known = {key for key in every for pattern, *_ in ROWS if re.fullmatch(pattern, key)}
    assert {key for key in every - known if not INPUTS.fullmatch(key)} == set()


@torch.no_grad()
def test_aux_decoder():
    folder = ROOTS[0] / "openvpi_aux_decoder"
    net = AuxDecoder(mel_bins=16, cond_channels=24, channels=32, layers=2, kernel_size=7, low=-12.0, high=0.0)
    net.load_state_dict(load_file(folder / "model.safetensors"))
    io = tensors(folder)
    mel = net.eval().mel(bins_first(io["cond_BTH"]))
    torch.testing.assert_close(bins_first(mel), io["out_infer"], rtol=0, atol=FORWARD * 12)
