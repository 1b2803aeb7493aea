"""``bench list`` and ``bench describe``: what is registered, as plain data."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

from fastvmt.backbones import card as cards
from fastvmt.backbones.noise_levels import sigma_grid
from fastvmt.core.choices import hint
from fastvmt.errors import BenchError, SpecError
from fastvmt.plugins import labels, registry
from fastvmt.plugins.blame import blamed
from fastvmt.plugins.card import NO_CARD, card_of
from fastvmt.plugins.metric_labels import of_backbone, resolved

KINDS = ("methods", "metrics", "trackers", "suites", "archives", "backbones")


def listing(kind: str) -> list[dict[str, str]]:
    """Every registered name of a kind with origin and summary; what cannot be loaded carries the cause.

    Raises:
        SpecError: for an unknown kind.
    """
    if kind not in KINDS:
        raise SpecError(f"There is no list of '{kind}'. {hint(kind, KINDS)}")
    if kind == "backbones":
        return [{"name": n, "origin": "built in", "summary": _backbone_summary(n)} for n in cards.known()]
    found = getattr(registry, kind)
    rows = []
    for entry in found.entries():
        try:
            if entry.cause:
                raise SpecError(entry.cause)
            value = found.get(entry.name)
            with blamed(value if isinstance(value, type) else None, f"'{entry.name}'"):
                rows += _rows(entry, value)
        except SpecError as error:
            rows.append({"name": entry.name, "origin": entry.origin, "summary": f"BROKEN: {error}"})
    return rows


def _rows(entry: registry.Entry, value: Any) -> list[dict[str, str]]:
    rows = [(entry.name, str(getattr(value, "summary", "")))]
    if entry.name in registry.BUILTIN["metrics"]:
        said = [f"on {where} {label.removeprefix(entry.name + ':')}" for where, label in _on_backbones(entry.name).items()]
        rows = [(entry.name, "; ".join([rows[0][1], *said]))]
    for variant, changes in getattr(value, "variants", {}).items():
        rows.append((f"{entry.name}:{variant}", ", ".join(f"{k}={v}" for k, v in changes.items())))
    return [{"name": name, "origin": entry.origin, "summary": summary} for name, summary in rows]


def _on_backbones(metric: str) -> dict[str, str]:
    """What a metric's bare name stands for on the backbones whose card has another form of it."""
    found = {name: resolved(metric, of_backbone(name)) for name in cards.known()}
    return {name: label for name, label in found.items() if label != metric}


def _guided(method: str) -> dict[str, str]:
    """By known backbone, in which steps and noise levels a method guides there with the backbone's defaults."""
    found = {}
    for name in cards.known():
        with suppress(BenchError):
            card = cards.load(name)
            d = card.defaults
            shape = card.shape(d["width"], d["height"], d["frames"], sigma_grid(d["steps"], d["shift"]))
            cls = registry.methods.get(method)
            spec = labels.resolve(method, shape, card.methods)
            found[name] = labels.window_words(labels.guided_window(cls, cls.Params.model_validate(spec.params), shape))
    return {name: words for name, words in found.items() if words}


def _backbone_summary(name: str) -> str:
    try:
        card = cards.load(name)
    except BenchError as error:
        return f"cannot be read: {error}"
    where = "here" if card.folder else f"to fetch, about {card.download_gb:.0f} GB: hf download {card.hub}"
    d = card.defaults
    return f"{card.blocks} blocks, {card.heads} heads; width {d['width']}, height {d['height']}, {d['frames']} frames; {where}"


def describe(name: str) -> dict[str, Any]:
    """One registered thing, whatever its kind.

    Raises:
        SpecError: when nothing is called so.
    """
    name = re.split(r":(?=[a-z_]+=)", name)[0]
    base = name.partition(":")[0]
    if name in cards.known():
        return _backbone(name)
    for kind in ("methods", "metrics", "trackers", "suites", "archives"):
        found = getattr(registry, kind)
        key = base if kind == "methods" else name
        if key in found.names():
            value = found.get(key)
            with blamed(value if isinstance(value, type) else None, f"'{key}'"):
                return {"kind": kind[:-1], **_plugin(kind, key, value)}
    known = [n for kind in KINDS for n in (cards.known() if kind == "backbones" else getattr(registry, kind).names())]
    near = hint(name, known, no_list=True)
    raise SpecError(f"Nothing is called '{name}'.{near and ' '}{near} `bench list {'|'.join(KINDS)}` shows what there is.")


def _backbone(name: str) -> dict[str, Any]:
    card = cards.load(name)
    return {
        "kind": "backbone", "name": name, "folder": str(card.folder or ""), "hub": card.hub,
        "download_gb": card.download_gb, "blocks": card.blocks, "heads": card.heads, "head_dim": card.head_dim,
        "latent_channels": card.latent_channels, "size_multiple_px": card.multiple, "frames": f"{card.vae_temporal}k+1",
        "defaults": card.defaults, "method_defaults": card.methods,
    }  # fmt: skip


def _plugin(kind: str, name: str, value: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {"name": name}
    for key in ("version", "summary", "source", "direction", "range", "unit", "needs", "backend", "size", "licence", "how"):
        found = getattr(value, key, None)
        if found not in (None, "", ()):
            facts[key] = list(found) if isinstance(found, tuple) else found
    if kind == "methods":
        facts["variants"] = {k: dict(v) for k, v in value.variants.items()}
        facts["ablations"] = {k: ", ".join(v) for k, v in value.study.ablations.items()}
        if guided := _guided(name):
            facts["guided"] = guided
        facts["card"] = card.facts() if (card := card_of(value)) else NO_CARD
    if kind == "metrics" and (forms := _on_backbones(name)):
        facts["backbones"] = forms
    if kind in ("methods", "metrics"):
        facts["parameters"] = {
            k: {"default": f.default, "meaning": f.description or ""} for k, f in value.Params.model_fields.items()
        }
    facts["about"] = (value.__doc__ or "").strip() or (__import__(value.__module__, fromlist=["_"]).__doc__ or "").strip()
    return facts
