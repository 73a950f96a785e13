"""Fit the machine: framework, number format, devices, memory, files."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "backend": ["use_backend"],
        "devices": ["for_saving", "for_training", "on_devices", "use_devices"],
        "costs": ["peak_memory"],
        "persist": ["backup", "restore"],
        "precision": ["best_precision", "with_precision"],
    },
)
