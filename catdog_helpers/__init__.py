"""The plumbing of the Cats-vs-Dogs transfer-learning notebooks.

The notebooks need the names below. All other names are used by their room, as
in `ch.study.mcnemar`.
"""

import lazy_loader

__version__ = "0.2.0"

# A module is imported when one of its names is first used, so that `import
# catdog_helpers` is quick and imports no framework.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules={"data", "deploy", "machine", "prediction", "scale", "study"},
    submod_attrs={
        # 1. Download the data
        "machine.backend": ["use_backend"],
        "data.defaults": ["settings"],
        "data.sources": ["dataset_dir", "fetch"],
        "data.layout": ["index_images"],
        "data.prepared": ["prepare"],
        "data.manifest": ["has_other_label", "is_odd", "summarize"],
        "data.splits": ["split"],
        "data.runs": ["load_run", "save_split"],
        "plots": [
            "plot_history",
            "plot_images",
            "plot_scoreboard",
            "use_fonts",
        ],
        # 2. Train a CNN from scratch
        "batches": ["Batches"],
        "models": ["build_cnn", "build_head", "cut_base", "join", "run_rows"],
        "training": ["Checkpoint", "TimeHistory", "class_weights"],
        "machine.engine": ["for_saving", "for_training"],
        "guards": ["guard_weights"],
        "evaluation": ["save_result", "wilson_interval"],
        # 3. Extract bottleneck features
        "bases": ["default_cut", "load_base"],
        "features": ["extract_features"],
        # 4. Fine-tune, and compare
        "saving": ["load_model"],
        "results": [
            "display_name",
            "last_method",
            "load_results",
            "scoreboard",
        ],
        # 5. Predict
        "prediction.predictor": ["predict"],
    },
)
