"""Fit the machine: framework, number format, devices, memory, files."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "engine": ["choices", "choose", "for_saving", "for_training"],
        "backend": ["use_backend"],
        "devices": ["on_devices", "use_devices"],
        "memory": ["peak_memory"],
        "persist": ["backup", "restore"],
        "precision": ["with_precision"],
    },
)
