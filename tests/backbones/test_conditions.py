"""What a video's record says of the conditions that decide its seconds, with a faked GPU and a faked ``nvidia-smi``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from fastvmt.backbones import conditions, device
from fastvmt.metrics.cost import example
from fastvmt.model import Artefact, Conditions
from fastvmt.records.identity import machine

UNKNOWN = {"driver": None, "power_limit": None, "clock": None, "clock_set": None}
Smi = Callable[[str], Path]


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Smi]:
    """Puts an ``nvidia-smi`` of these shell lines first on the path; what it was asked is in the file returned."""
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(total_memory=(index + 1) << 34))
    monkeypatch.setattr(device, "_nvml", lambda index: None)
    conditions._gpu.cache_clear()

    def put(lines: str) -> Path:
        program, asked = tmp_path / "nvidia-smi", tmp_path / "asked"
        program.write_text(f'#!/bin/sh\necho "$@" >> {asked}\n{lines}\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        return asked

    yield put
    conditions._gpu.cache_clear()


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ('echo "570.86.15, 450.00, 1980, 1410"',
         {"driver": "570.86.15", "power_limit": "450.00", "clock": "1980", "clock_set": "1410"}),
        ('echo "570.86.15, [N/A], 1980, [Not Supported]"', UNKNOWN | {"driver": "570.86.15", "clock": "1980"}),
        ("echo NVIDIA-SMI has failed; exit 9", UNKNOWN),
        ("echo", UNKNOWN),
        ('echo "a warning"', UNKNOWN),
        (r"printf '\377, 1, 2, 3\n'", UNKNOWN),
    ],
)  # fmt: skip
def test_a_gpu_says_what_decides_its_seconds(
    smi: Smi, monkeypatch: pytest.MonkeyPatch, lines: str, found: dict[str, str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-7")
    asked = smi(lines)
    made = conditions.conditions("cuda:1", torch.nn.Linear(1, 1), "2 other processes on the GPU")
    assert made == Conditions(memory_bytes=2 << 34, cuda=torch.version.cuda, shared=True, **found)  # type: ignore[arg-type]
    assert asked.read_text().endswith("-i GPU-7\n")


def test_without_the_program_a_gpu_says_what_torch_knows(smi: Smi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    made = conditions.conditions("cuda", torch.nn.Linear(1, 1), "")
    assert made == Conditions(memory_bytes=1 << 34, cuda=torch.version.cuda)
    assert device.others("cuda") == ""


def test_other_processes_are_counted_without_nvml(smi: Smi) -> None:
    smi(f"echo {os.getpid()}; echo 1; echo '[N/A]'")
    assert device.others("cuda") == "1 other processes on the GPU"


def test_how_a_model_is_run_is_seen_on_a_cpu_too() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(1, 1))
    assert conditions.conditions("cpu", model, "3 other threads running on 2 cores") == Conditions()
    model[0].compile()
    model[0].processor = SimpleNamespace(_attention_backend="sage")  # type: ignore[assignment]
    assert conditions.conditions("cpu", model, "") == Conditions(attention="sage", compiled=True)


@pytest.mark.parametrize("name", Conditions.model_fields)
def test_a_video_that_differs_in_one_is_of_another_machine_and_an_older_file_of_the_same(name: str) -> None:
    artefact = example().artefact
    facts = artefact.model_dump(mode="json", exclude={"conditions"})
    older = Artefact.model_validate(facts)
    assert machine(older) == machine(artefact)
    values: dict[str, object] = {"memory_bytes": 1, "offload": "block"}
    value = values.get(name, True if isinstance(getattr(Conditions(), name), bool) else "1")
    assert machine(Artefact.model_validate(facts | {"conditions": {name: value}})) != machine(older)
