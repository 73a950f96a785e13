// From the model's outputs to a verdict, as catdog_helpers predict gives it.

/**
 * Judge one photograph.
 *
 * `outputs` are the probabilities and, where the file gives it, the distance
 * from the training images. `card` is model.json: `class_names`;
 * `not_sure_below`, the least probability of a verdict; and, if they were
 * measured, `temperature`, for the probabilities, and `strange_above`, for
 * the distance.
 */
export function judge([probabilities, distance], card) {
  const p = calibrate(probabilities, card.temperature ?? 1);
  const order = p.map((_, i) => i).sort((a, b) => p[b] - p[a]);
  const best = card.class_names[order[0]];
  const probability = p[order[0]];
  const knowsStrange = card.strange_above !== undefined;
  let verdict = best;
  if (knowsStrange && distance[0] > card.strange_above) {
    verdict = "not sure";
  } else if (probability < card.not_sure_below) {
    const two = order.slice(0, 2).sort((a, b) => a - b);
    const either = two.map((i) => card.class_names[i]).join(" or ");
    verdict = knowsStrange ? either : "not sure";
  }
  return { verdict, class: best, probability, probabilities: p };
}

/** Softmax of the logits divided by a temperature (Guo et al. 2017). */
export function calibrate(probabilities, temperature) {
  const logits = probabilities.map(
    (p) => Math.log(Math.max(p, 1e-7)) / temperature,
  );
  const powers = logits.map((x) => Math.exp(x - Math.max(...logits)));
  const total = powers.reduce((a, b) => a + b);
  return powers.map((x) => x / total);
}
