// The page: photographs in, answers out. Nothing leaves the browser.

import { readImage, toPixels, toSquare } from "./read_image.js";
import { judge } from "./judge.js";

const EVERY = 500; // milliseconds between two answers to the live camera
const find = (id) => document.getElementById(id);
const say = (text) => (find("status").textContent = text);
const copy = (id) => find(id).content.cloneNode(true);

/** Load the runtime, the model and its card: a function from pixels. */
async function loadModel() {
  const { loadAndCompile, loadLiteRt, Tensor } = await import(
    "./runtime/litert.js"
  );
  const [card, data] = await Promise.all([
    fetch("model.json").then(open).then((response) => response.json()),
    fetch("model.tflite").then(bytes),
    loadLiteRt("runtime/"),
  ]);
  const options = { accelerator: "wasm" }; // the same answers everywhere
  const model = await loadAndCompile(new Uint8Array(data), options);
  const size = card.image_size;
  const run = async (pixels) => {
    const image = new Tensor(pixels, [1, size, size, 3]);
    const outputs = Object.entries(await model.run({ image }));
    const found = outputs.map(([name, y]) => [name, [...y.toTypedArray()]]);
    for (const [, tensor] of outputs) tensor.delete();
    image.delete();
    return Object.fromEntries(found);
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
  const item = copy("answer").firstElementChild;
  const file = blob.name ?? "from the camera";
  let result;
  say(`Looking at ${file} …`);
  try {
    const pixels = await readImage(blob, card.image_size);
    result = judge(await run(pixels), card);
    showPicture(item.querySelector("img"), file, blob);
    showResult(item.querySelector(".result"), result, card, file);
  } catch (error) {
    result = { error: error.message };
    showError(item, error.message, file);
  }
  item.dataset.answer = JSON.stringify({ file, ...result });
  find("answers").prepend(item);
  say("");
}

function showPicture(picture, file, blob) {
  picture.src = URL.createObjectURL(blob);
  picture.alt = file;
  picture.onload = () => URL.revokeObjectURL(picture.src);
}

/** Show the verdict, and a bar for each class, the likeliest first. */
function showResult(place, result, card, detail) {
  const parts = copy("result");
  const sure = result.verdict === result.class;
  place.classList.toggle("unsure", !sure);
  parts.querySelector(".verdict").textContent = result.verdict;
  parts.querySelector(".detail").textContent = detail;
  const bars = parts.querySelector(".bars");
  bars.ariaLabel = "Probability of each class";
  for (const i of result.order) {
    const bar = copy("bar");
    const [name, meter, percent] = bar.firstElementChild.children;
    name.textContent = card.class_names[i];
    meter.value = result.probabilities[i];
    // Never "100 %": no answer is that sure.
    const share = Math.min(100 * result.probabilities[i], 99.9);
    percent.textContent = `${share.toFixed(1)} %`;
    meter.ariaLabel = `${name.textContent}: ${percent.textContent}`;
    bars.append(bar);
  }
  place.replaceChildren(parts);
}

function showError(item, error, file) {
  item.className = "unreadable";
  item.querySelector("img").remove();
  const parts = copy("result");
  parts.querySelector(".verdict").textContent = "no answer";
  parts.querySelector(".bars").remove();
  parts.querySelector(".detail").textContent = /\.hei[cf]$/i.test(file)
    ? `${file}: this browser cannot read HEIC; save it as JPEG`
    : `${file}: this browser cannot read it (${error})`;
  item.querySelector(".result").append(parts);
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
      button.disabled = true;
      answerLive(model);
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
    video.srcObject = null;
    viewfinder.hidden = true;
    button.disabled = false;
    find("live").replaceChildren();
  };
}

/** Answer to what the camera sees, again and again until it is stopped. */
async function answerLive({ card, run }) {
  const [video, live] = [find("video"), find("live")];
  const look = async () => {
    if (!video.srcObject || !video.videoWidth) return;
    const pixels = toSquare(toPixels(video), card.image_size, false);
    const result = judge(await run(pixels), card);
    if (!video.srcObject) return; // stopped in the meantime
    showResult(live, result, card, "live");
    live.dataset.answers = 1 + Number(live.dataset.answers ?? 0);
  };
  while (video.srcObject) {
    const pause = new Promise((done) => setTimeout(done, EVERY));
    queue = queue.then(look).catch((error) => say(error.message));
    await Promise.all([queue, pause]);
  }
}

try {
  const model = await loadModel();
  const names = model.card.class_names;
  find("about").textContent =
    `The model knows ${names.length} classes: ${names.join(", ")}. ` +
    "Show it something else, and it may still name one of them.";
  find("drawings").hidden = model.card.trained_on !== "drawings";
  connect(model);
  say("");
  document.body.dataset.ready = "yes";
} catch (error) {
  say(`The model cannot be loaded: ${error.message}`);
}
