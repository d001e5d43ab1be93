"""What a board is tried with, and whether its results are those of the training environment.

python .ci/board_check.py make FOLDER          # in the training environment: a file, pictures, a film, results
python .ci/board_check.py compare FOLDER       # anywhere with NumPy: FOLDER/board_* against FOLDER/here_*
"""

import sys
from pathlib import Path

import numpy as np

FRAMES, SIZE, NETWORK = 12, (360, 200), (256, 128)
LARGEST = 1e-5  # relative difference of depth


def make(folder: Path) -> None:
    """Write model.onnx (an untrained `three_tasks`), pictures/ and film.avi (lossless: decoders differ)."""
    import cv2
    import torch

    import advmtl
    from export.__main__ import main

    folder.mkdir(parents=True, exist_ok=True)
    without = [f"tasks.{task}.losses.perceptual=0" for task in ("segmentation", "depth")] + ["discriminators={}"]
    config = advmtl.load_config("three_tasks", [f"data.size={NETWORK[0]}x{NETWORK[1]}", *without])
    torch.manual_seed(0)
    state = advmtl.build(config, pretrained=False, device="cpu")
    random = np.random.default_rng(0)
    coarse = random.uniform(0, 255, (9, 16, 3)).astype(np.float32)
    other = random.uniform(0, 255, (9, 16, 3)).astype(np.float32)
    (folder / "pictures").mkdir(exist_ok=True)
    film = cv2.VideoWriter(str(folder / "film.avi"), cv2.VideoWriter.fourcc(*"png "), 10, SIZE)
    frames = []
    for number, share in enumerate(np.linspace(0, 1, FRAMES)):
        mixed = cv2.resize(coarse * (1 - share) + other * share, SIZE, interpolation=cv2.INTER_CUBIC)
        frames.append(mixed.clip(0, 255).astype(np.uint8))
        cv2.imwrite(str(folder / "pictures" / f"{number:03d}.png"), frames[-1])
        film.write(frames[-1])
    film.release()
    advmtl.export(state, folder / "model.onnx", frames=[frames[0][:, :, ::-1].copy()], count=1)
    for source in ("pictures", "film.avi"):
        given = [str(folder / "model.onnx"), str(folder / source), "--arrays", str(folder / f"here_{source}")]
        if code := main([*given, "--provider", "cpu"]):
            raise SystemExit(code)


def compare(folder: Path) -> int:
    """Print and judge how far the board's results are from those made here; 1 where they differ."""
    bad = 0
    for theirs in sorted(folder.glob("here_*")):
        ours = folder / theirs.name.replace("here_", "board_")
        names = sorted(one.name for one in theirs.glob("*.npz"))
        if len(names) != FRAMES or names != sorted(one.name for one in ours.glob("*.npz")):
            print(f"{ours.name}: not the {FRAMES} frames of {theirs.name}")
            bad = 1
            continue
        same, depth = 1.0, 0.0
        for name in names:
            a, b = np.load(theirs / name), np.load(ours / name)
            same = min(same, float((a["classes"] == b["classes"]).mean()))
            known = np.isfinite(a["depth_m"])
            if not np.array_equal(known, np.isfinite(b["depth_m"])):
                depth = np.inf
            else:
                depth = max(depth, float(np.max(np.abs(a["depth_m"][known] / b["depth_m"][known] - 1), initial=0)))
        print(f"{ours.name}: {len(names)} frames, classes equal on {same:.4%} at least, depth within {depth:.1e}")
        bad |= not (same == 1 and depth <= LARGEST)
    return int(bad)


if __name__ == "__main__":
    task, where = sys.argv[1], Path(sys.argv[2])
    raise SystemExit(make(where) if task == "make" else compare(where))
