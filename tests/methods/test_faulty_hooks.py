"""Hooks at fault: the error of the job names hook, step, file and line, and blames the hook that did it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fastvmt.denoise import denoise
from fastvmt.errors import NonFinite, WrongOutput
from fastvmt.plugins.blame import words
from fastvmt.plugins.method import Context, Method, Params
from fastvmt.testing import make_context

HERE = r"test_faulty_hooks.py, line \d+"
LATENT_HOOKS = ("adjust", "steer", "settle")


def run(backbone: Any, **hooks: Any) -> torch.Tensor:
    cls = type("Faulty", (Method,), {"id": "faulty", "__module__": __name__, **hooks})
    return denoise(cls(Params()), make_context(backbone, steps=3), 1.0)


def said(backbone: Any, kind: type[Exception] = Exception, **hooks: Any) -> str:
    with pytest.raises(kind) as caught:
        run(backbone, **hooks)
    return words(caught.value, type("Faulty", (Method,), {"__module__": __name__, **hooks}))


def at_step_1(value: Any) -> Any:
    """A hook that returns what the loop takes, but at step 1 the value."""

    def hook(self: Any, ctx: Context, i: int, x: Any, x_next: Any = None) -> Any:
        return (value(x) if callable(value) else value) if i == 1 else 0 * x if x_next is None else x_next

    return hook


@pytest.mark.parametrize("hook", LATENT_HOOKS)
@pytest.mark.parametrize(
    ("value", "kind", "what"),
    [
        (lambda x: x * float("nan"), NonFinite, "left NaN or infinity"),
        (None, WrongOutput, "returned None"),
        ("a video", WrongOutput, "returned str 'a video'"),
        (lambda x: x[:, :, 1:], WrongOutput, r"returned shape \(1, "),
        (lambda x: x.to(torch.complex64), WrongOutput, "complex64"),
        (lambda x: x / 0 + torch.nonexistent, AttributeError, "AttributeError"),
    ],
)
def test_each_hooks_fault_is_its_own(hook: str, value: Any, kind: type[Exception], what: str, backbone: Any) -> None:
    import re

    text = said(backbone, kind, **{hook: at_step_1(value)})
    assert re.search(what, text) and f"{hook} at step 1" in text and re.search(HERE, text), text
    assert not [other for other in LATENT_HOOKS if other != hook and other in text]


def test_an_integer_latent_is_named(backbone: Any) -> None:
    assert "adjust at step 1 returned shape" in said(backbone, WrongOutput, adjust=at_step_1(lambda x: x.long()))


@contextmanager
def breaks_at_its_end(self: Any, ctx: Context, i: int) -> Any:
    yield
    raise RuntimeError("the end")


def spoils_in_place(self: Any, ctx: Context, i: int, x: torch.Tensor) -> float:
    x.fill_(float("nan"))
    return 0.0


@pytest.mark.parametrize(
    ("hooks", "what"),
    [
        ({"fit": lambda self, ctx: 1 / 0}, rf"ZeroDivisionError: division by zero \({HERE}, fit\)"),
        ({"start": lambda self, ctx: None}, rf"start returned None; need a latent and the first step, 0 to 3 \({HERE}\)"),
        ({"start": lambda self, ctx: (ctx.noise, 9)}, "the first step, 0 to 3"),
        ({"start": lambda self, ctx: (ctx.noise[0], 0)}, "start returned shape"),
        ({"start": lambda self, ctx: (ctx.noise / 0, 0)}, rf"start left NaN or infinity in the latent \({HERE}\)"),
        ({"scope": lambda self, ctx, i: None}, rf"scope at step 0 returned None; need a context manager \({HERE}\)"),
        ({"scope": breaks_at_its_end}, rf"RuntimeError: the end \({HERE}, scope at step 0\)"),
        ({"adjust": lambda self, ctx: ctx.noise}, rf"TypeError: .*\({HERE}, adjust at step 0\)"),
        ({"steer": lambda self, ctx, i, x: float("inf")}, rf"steer at step 0 left NaN or infinity in the velocity \({HERE}\)"),
        (
            {
                "steer": spoils_in_place,
                "settle": lambda self, ctx, i, x, x_next: x_next,
            },
            "steer at step 0 left NaN",
        ),
        ({"settle": lambda self, ctx, i, x, x_next: x_next.fill_(float("nan"))}, "settle at step 0 left NaN"),
    ],
)
def test_what_else_can_be_wrong_is_named(hooks: dict[str, Any], what: str, backbone: Any) -> None:
    import re

    assert re.search(what, text := said(backbone, **hooks)), text


def test_a_model_that_gives_nan_is_not_blamed_on_a_hook(backbone: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = backbone.velocity
    monkeypatch.setattr(backbone, "velocity", lambda *given: plain(*given) * float("nan"))
    assert said(backbone, NonFinite) == "the model at step 0 left NaN or infinity in the velocity"


@given(st.sampled_from([0, 0.5, True, torch.zeros(1), torch.zeros(5, 1, 1), torch.zeros(1, dtype=torch.long)]))
def test_what_can_be_added_to_a_velocity_is_taken(backbone: Any, term: Any) -> None:
    assert torch.isfinite(run(backbone, steer=lambda self, ctx, i, x: term)).all()


def test_what_a_job_writes_into_its_tensors_reaches_no_other(tmp_path: Any) -> None:
    from fastvmt.core.stages import Stages
    from fastvmt.runner.tensor_cache import TensorCache

    cache = TensorCache(tmp_path, ("w", "float32"), torch.device("cpu"))
    get = lambda: cache.get("reference:a", lambda: torch.ones(2, 2), "encode", Stages())  # noqa: E731
    get().zero_()
    get().zero_()
    assert (get() == 1).all()
