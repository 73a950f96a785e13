"""Compare methods, look inside a network, judge a data set."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "advice": ["advise", "advise_class", "next_steps", "per_class"],
        "choice": ["compare_bases", "say_base", "split_entry"],
        "comparison": [
            "balanced_interval",
            "compare_methods",
            "compare_seeds",
            "conclude",
            "holm",
            "mcnemar",
        ],
        "curves": [
            "measure_once",
            "plot_data_size",
            "subsets",
            "sum_up_curves",
        ],
        "heatmaps": ["heat_map", "log_odds", "value_and_gradient"],
        "inside": [
            "cut_model",
            "nearest_images",
            "pooled_features",
            "restore_statistics",
            "without_preprocessing",
        ],
        "linear": [
            "choose_strength",
            "fit_linear",
            "learning_curve",
            "linear_head",
            "suspect_labels",
            "swap_labels",
        ],
        "shift": ["check", "differences"],
    },
)
