"""What does a request come to on this machine: suite, setting, methods, jobs. Whatever can be wrong with it is found here."""

from fastvmt.runner.plan.resolve import Plan, device_named, resolve

__all__ = ["Plan", "device_named", "resolve"]
