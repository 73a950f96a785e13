// Photograph to pixels, as catdog_helpers/data/images.py reads it: EXIF rotation,
// transparency on white, one resize to a square. The browser decodes; the
// resize is Pillow's own (src/libImaging/Resample.c and Reduce.c), because
// that of a canvas differs between browsers and gives other answers.

const MAX_CANVAS = 16_000_000; // pixels; phones refuse larger ones

/** Read a photograph: a File or Blob to RGB floats in [0, 255]. */
export async function readImage(blob, size) {
  const options = {
    imageOrientation: "from-image",
    colorSpaceConversion: "none", // Pillow ignores colour profiles, too
  };
  let bitmap = await createImageBitmap(blob, options).catch(() =>
    asElement(blob),
  );
  const shrink = Math.sqrt(MAX_CANVAS / (bitmap.width * bitmap.height));
  if (shrink < 1) {
    const whole = bitmap;
    bitmap = await createImageBitmap(whole, {
      resizeWidth: Math.floor(whole.width * shrink),
      resizeHeight: Math.floor(whole.height * shrink),
      resizeQuality: "high",
    });
    whole.close();
  }
  const start = new Uint8Array(await blob.slice(0, 2).arrayBuffer());
  const isJpeg = start[0] === 0xff && start[1] === 0xd8;
  const pixels = toPixels(bitmap);
  bitmap.close();
  return toSquare(pixels, size, isJpeg);
}

/** Decode what only an <img> reads, such as HEIC in Safari. */
async function asElement(blob) {
  const image = new Image();
  image.src = URL.createObjectURL(blob);
  try {
    await image.decode();
    return await createImageBitmap(image);
  } finally {
    URL.revokeObjectURL(image.src);
  }
}

/** Draw a bitmap or a video on white: RGB, one byte a value. */
export function toPixels(source) {
  const width = source.videoWidth ?? source.width;
  const height = source.videoHeight ?? source.height;
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(source, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  const rgb = new Uint8Array(width * height * 3);
  for (let i = 0, j = 0; j < rgb.length; i += 4, j += 3) {
    rgb[j] = data[i];
    rgb[j + 1] = data[i + 1];
    rgb[j + 2] = data[i + 2];
  }
  return { data: rgb, width, height };
}

/** Resize to a square, as `Image.draft` and `Image.resize` do together. */
export function toSquare(image, size, isJpeg) {
  if (isJpeg) {
    // Pillow lets the decoder shrink a JPEG by 8, 4 or 2: a mean of blocks.
    const most = Math.floor(Math.min(image.width, image.height) / size);
    const scale = [8, 4, 2].find((s) => s <= most) ?? 1;
    image = reduce(image, scale, scale);
  }
  const { width, height } = image;
  const [x, y] = [width, height].map(
    (side) => Math.floor(side / size / 2) || 1, // reducing_gap=2.0
  );
  image = reduce(image, x, y);
  image = resample(image, size, width / x);
  return Float32Array.from(
    transpose(resample(transpose(image), size, height / y)).data,
  );
}

/** Average blocks of x times y pixels; those at the edge may be smaller. */
function reduce({ data, width, height }, x, y) {
  if (x === 1 && y === 1) return { data, width, height };
  const [columns, rows] = [Math.ceil(width / x), Math.ceil(height / y)];
  const sums = new Float64Array(columns * rows * 3);
  for (let row = 0, i = 0; row < height; row++) {
    const line = Math.floor(row / y) * columns;
    for (let column = 0; column < width; column++) {
      const j = (line + Math.floor(column / x)) * 3;
      sums[j] += data[i++];
      sums[j + 1] += data[i++];
      sums[j + 2] += data[i++];
    }
  }
  const means = new Uint8Array(sums.length);
  for (let row = 0, j = 0; row < rows; row++) {
    const tall = Math.min(y, height - row * y);
    for (let column = 0; column < columns; column++) {
      const area = tall * Math.min(x, width - column * x);
      for (let end = j + 3; j < end; j++) {
        means[j] = Math.floor(sums[j] / area + 0.5);
      }
    }
  }
  return { data: means, width: columns, height: rows };
}

function bicubic(x) {
  const a = -0.5; // Pillow's, as in Keys (1981)
  x = Math.abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

/** Resize the lines to `size` pixels; `span` of the width are used. */
function resample({ data, width, height }, size, span) {
  const scale = span / size;
  const stretch = Math.max(scale, 1); // antialias: a wider filter
  const out = new Uint8ClampedArray(size * height * 3);
  for (let column = 0; column < size; column++) {
    const center = (column + 0.5) * scale;
    const first = Math.max(Math.floor(center - 2 * stretch + 0.5), 0);
    const last = Math.min(Math.floor(center + 2 * stretch + 0.5), width);
    const weights = [];
    for (let x = first; x < last; x++) {
      weights.push(bicubic((x - center + 0.5) / stretch));
    }
    const total = weights.reduce((a, b) => a + b);
    for (let row = 0; row < height; row++) {
      for (let channel = 0; channel < 3; channel++) {
        let i = (row * width + first) * 3 + channel;
        let sum = 0;
        for (const weight of weights) {
          sum += weight * data[i];
          i += 3;
        }
        out[(row * size + column) * 3 + channel] = Math.floor(
          sum / total + 0.5,
        );
      }
    }
  }
  return { data: out, width: size, height };
}

function transpose({ data, width, height }) {
  const turned = new Uint8ClampedArray(data.length);
  for (let row = 0, i = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const j = (column * height + row) * 3;
      turned[j] = data[i++];
      turned[j + 1] = data[i++];
      turned[j + 2] = data[i++];
    }
  }
  return { data: turned, width: height, height: width };
}
