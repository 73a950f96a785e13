// From the model's outputs to a verdict.

/**
 * Judge one photograph.
 *
 * `outputs` are the probabilities and, where the model gives them, pooled
 * features. `card` is model.json: `class_names`; `not_sure_below`, the least
 * probability of a verdict; if there are any, `temperature` of the
 * calibration and `novelty`, see `distance`.
 */
export function judge([probabilities, features], card) {
  const p = calibrate(probabilities, card.temperature ?? 1);
  const best = p.indexOf(Math.max(...p));
  const strange =
    card.novelty != null &&
    distance(features, card.novelty) > card.novelty.threshold;
  const sure = p[best] >= card.not_sure_below && !strange;
  const name = card.class_names[best];
  return {
    verdict: sure ? name : "not sure",
    name,
    probability: p[best],
    probabilities: p,
    sure,
  };
}

/** Softmax of logits divided by a temperature (Guo et al. 2017). */
export function calibrate(probabilities, temperature) {
  const logits = probabilities.map(
    (p) => Math.log(Math.max(p, 1e-38)) / temperature,
  );
  const most = Math.max(...logits);
  const powers = logits.map((x) => Math.exp(x - most));
  const total = powers.reduce((a, b) => a + b);
  return powers.map((x) => x / total);
}

/** Length of the projected features, measured from `center`. */
export function distance(features, { center, projection }) {
  const x = features.map((value, i) => value - center[i]);
  return Math.hypot(
    ...projection.map((row) => row.reduce((s, w, i) => s + w * x[i], 0)),
  );
}
