// The page: photographs in, answers out. Nothing leaves the browser.

import { readImage } from "./read_image.js";
import { judge } from "./judge.js";

const find = (id) => document.getElementById(id);
const say = (text) => (find("status").textContent = text);

/** Load the runtime, the model and its card: a function from pixels. */
async function loadModel() {
  const { src, dataset } = find("runtime");
  // The tag has loaded and checked this very module: it is not fetched again.
  const ort = await import(src);
  const [card, wasm, model] = await Promise.all([
    fetch("model.json").then(open).then((response) => response.json()),
    fetch(dataset.wasm, { integrity: dataset.wasmIntegrity }).then(bytes),
    fetch("model.onnx").then(bytes),
  ]);
  ort.env.wasm.wasmBinary = wasm;
  ort.env.wasm.numThreads = 1; // more need headers that few hosts send
  const session = await ort.InferenceSession.create(new Uint8Array(model));
  const size = card.image_size;
  const run = async (pixels) => {
    const x = new ort.Tensor("float32", pixels, [1, size, size, 3]);
    const outputs = await session.run({ [session.inputNames[0]]: x });
    return session.outputNames.map((name) => Array.from(outputs[name].data));
  };
  return { card, run };
}

const bytes = (response) => open(response).arrayBuffer();

function open(response) {
  if (!response.ok) throw Error(`${response.url}: ${response.status}`);
  return response;
}

// One after the other: a hundred photographs need no more memory than one.
let queue = Promise.resolve();

function enqueue(model, blobs) {
  for (const blob of blobs) queue = queue.then(() => answer(model, blob));
  return queue;
}

async function answer({ card, run }, blob) {
  const item = find("answer").content.cloneNode(true).firstElementChild;
  const file = blob.name ?? "from the camera";
  let result;
  say(`Looking at ${file} …`);
  try {
    const pixels = await readImage(blob, card.image_size);
    result = judge(await run(pixels), card);
    showAnswer(item, result, file, blob);
  } catch (error) {
    result = { error: error.message };
    showError(item, result, file);
  }
  item.dataset.answer = JSON.stringify({ file, ...result });
  find("answers").prepend(item);
  say("");
}

function showAnswer(item, result, file, blob) {
  const picture = item.querySelector("img");
  picture.src = URL.createObjectURL(blob);
  picture.alt = file;
  picture.onload = () => URL.revokeObjectURL(picture.src);
  const sure = result.verdict === result.class;
  item.className = sure ? "sure" : "unsure";
  item.querySelector(".verdict").textContent = result.verdict;
  item.querySelector("meter").value = result.probability;
  // Never "100 %": no answer is that sure.
  const percent = Math.min(100 * result.probability, 99.9).toFixed(1);
  const guess = sure ? `${percent} %` : `${result.class}? ${percent} %`;
  item.querySelector(".detail").textContent = `${guess} · ${file}`;
}

function showError(item, { error }, file) {
  item.className = "unreadable";
  item.querySelector("img").remove();
  item.querySelector("meter").remove();
  item.querySelector(".verdict").textContent = "no answer";
  item.querySelector(".detail").textContent =
    `${file}: this browser cannot read it (${error})`;
}

function connect(model) {
  const [files, drop] = [find("files"), find("drop")];
  files.disabled = false;
  files.onchange = async () => {
    await enqueue(model, files.files);
    files.value = ""; // the same file may be chosen again
  };
  document.ondragover = (event) => {
    event.preventDefault();
    drop.classList.add("over");
  };
  document.ondragleave = () => drop.classList.remove("over");
  document.ondrop = (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    enqueue(model, event.dataTransfer.files);
  };
  document.onpaste = (event) => enqueue(model, event.clipboardData.files);
  if (navigator.mediaDevices) connectCamera(model);
}

function connectCamera(model) {
  const [video, viewfinder] = [find("video"), find("viewfinder")];
  const button = find("camera");
  button.hidden = button.disabled = false;
  button.onclick = async () => {
    try {
      video.srcObject = await navigator.mediaDevices.getUserMedia({
        video: { facingMode: "environment" }, // the one at the back
      });
      viewfinder.hidden = false;
    } catch (error) {
      say(`The camera cannot be used: ${error.message}`);
    }
  };
  find("shoot").onclick = () => {
    const canvas = document.createElement("canvas");
    canvas.width = video.videoWidth;
    canvas.height = video.videoHeight;
    canvas.getContext("2d").drawImage(video, 0, 0);
    canvas.toBlob((blob) => enqueue(model, [blob]), "image/png");
  };
  find("stop").onclick = () => {
    for (const track of video.srcObject.getTracks()) track.stop();
    viewfinder.hidden = true;
  };
}

try {
  const model = await loadModel();
  const names = model.card.class_names;
  find("about").textContent =
    `The model knows ${names.length} classes: ${names.join(", ")}. ` +
    "Show it something else, and it may still name one of them.";
  connect(model);
  say("");
  document.body.dataset.ready = "yes";
} catch (error) {
  say(`The model cannot be loaded: ${error.message}`);
}
