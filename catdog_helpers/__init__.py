"""The plumbing of the Cats-vs-Dogs transfer-learning notebooks."""

from importlib import import_module

__version__ = "0.1.0"

# Where each public name lives. Modules are imported on first use, so that
# `import catdog_helpers` takes no time and no framework.
_MODULES = {
    "study.advice": ("advise", "class_weights", "learning_curve"),
    "study.inside": ("nearest_images", "pooled_features", "split_model"),
    "machine.backend": ("use_backend",),
    "bases": ("BASES", "default_cut", "load_base", "weights_name"),
    "batches": ("Batches",),
    "training": ("Checkpoint",),
    "study.comparison": ("compare_methods", "conclude", "holm", "mcnemar"),
    "costs": ("peak_memory",),
    "study.curves": ("images_to_match", "measure_once", "subsets"),
    "machine.devices": ("on_devices", "use_devices"),
    "evaluation": ("clock", "save_result"),
    "deploy.exporting": ("export", "run_images"),
    "features": ("extract_features", "provenance"),
    "data.manifest": ("has_other_label", "is_odd", "summarize"),
    "gradients": ("value_and_gradient",),
    "guards": ("check_raw_rgb", "check_split", "guard_weights"),
    "study.heatmaps": ("heat_map", "log_odds"),
    "data.images": ("read_image",),
    "data.layout": ("index_images", "species_of"),
    "data.prepared": ("prepare",),
    "metrics": ("score", "wilson_interval"),
    "models": ("build_cnn",),
    "deploy.parity": ("run_exported",),
    "machine.persist": ("keep", "restore"),
    "plots": ("plot_heat_maps", "plot_history", "plot_images", "use_fonts"),
    "plots_compare": ("plot_data_size", "plot_scoreboard"),
    "machine.precision": ("best_precision", "with_precision"),
    "prediction.photographs": ("find_photographs",),
    "prediction.predictor": ("predict",),
    "results": (
        "display_name",
        "last_method",
        "load_results",
        "scoreboard",
        "to_scores",
    ),
    "runs": ("load_split", "save_split"),
    "saving": ("load_model", "load_uncertainty", "save_model"),
    "scale.sharded": ("extract_shards", "predict_shards", "prepare_shards"),
    "scale.arrays": ("open_shards",),
    "data.sources": ("dataset_dir", "fetch"),
    "data.splits": ("split", "split_rows"),
    "suspects": ("suspect_labels",),
    "transfer": ("build_head", "join", "split_base", "unfreeze"),
    "uncertainty": ("distance", "measure_uncertainty", "with_features"),
}
_HOME = {name: home for home, names in _MODULES.items() for name in names}
__all__ = sorted(_HOME)


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
