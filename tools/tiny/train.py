"""``python -m tools.tiny.train STAGE --out FOLDER --hours H``: repeat the training of the embedded backbone.

Stages: ``code`` (fit the encoder, a minute), ``vae`` (decoder), ``flow`` (text encoder and transformer; several
processes with ``--processes N``), ``export`` (write the ``WanPipeline`` folder ``--to``), ``picture`` (loss curve and
sample sheet as PNG beside the log), ``psnr`` (reconstruction of ``--clips`` held-out clips by the folder ``--to``). The
training stages resume where they stopped.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

from .data import draw_batch
from .latents import CODE_FILE, Code, LinearEncoder, fit, new_vae
from .state import Run

FIT_CLIPS = 400


def load_code(folder: Path) -> Code:
    if not (folder / CODE_FILE).exists():
        fit(draw_batch(10**6, FIT_CLIPS, 33)[0]).save(folder)
    return Code.load(folder)


def _flow_process(rank: int, folder: str, hours: float, world: int, threads: int, port: int, match: bool) -> None:
    torch.set_num_threads(threads)
    if world > 1:
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
        dist.init_process_group("gloo", rank=rank, world_size=world)
    from .flow import train_flow

    train_flow(Run(Path(folder), rank, world), LinearEncoder(load_code(Path(folder))), hours, match)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=["code", "vae", "flow", "export", "picture", "psnr"])
    parser.add_argument("--out", type=Path, required=True, help="training folder")
    parser.add_argument("--hours", type=float, default=1.0, help="training time of this stage")
    parser.add_argument("--threads", type=int, default=max(1, (os.cpu_count() or 1)))
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--port", type=int, default=29517)
    parser.add_argument("--to", type=Path, help="export, picture: the pipeline folder to write or show")
    parser.add_argument("--warm", type=Path, help="start from the weights of a pipeline folder (code, vae and flow)")
    parser.add_argument("--clips", type=int, default=24, help="psnr: so many held-out clips")
    parser.add_argument("--focus", choices=("match",), help="flow: a last run on hard shapes and on where things go")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(args.threads)
    if args.stage == "psnr":
        from .export import measure

        print(measure(args.to, args.clips))
        return
    if args.warm:
        from .export import unpack

        unpack(args.warm, args.out)
    code = load_code(args.out)
    if args.stage == "vae":
        from .vae import train_decoder

        torch.manual_seed(0)
        train_decoder(Run(args.out), new_vae(code), LinearEncoder(code), args.hours)
    elif args.stage == "flow":
        options = (str(args.out), args.hours, args.processes, args.threads, args.port, args.focus == "match")
        if args.processes > 1:
            spawn(_flow_process, options, nprocs=args.processes)
        else:
            _flow_process(0, *options)
    elif args.stage == "export":
        from .export import export

        export(args.out, code, args.to)
    elif args.stage == "picture":
        from .picture import loss_curve, sample_sheet

        print(loss_curve(args.out), sample_sheet(args.out, args.to))


if __name__ == "__main__":
    main()
