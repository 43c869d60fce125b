// The calibration scores as a histogram, the threshold, and where this image fell.

const WIDTH = 440, HEIGHT = 172, LEFT = 8, RIGHT = 8, TOP = 46, FLOOR = 142;
const SVG = "http://www.w3.org/2000/svg";

export function drawChart({ histogram, threshold, value, name }) {
  const { low, high, beyond } = range(histogram.edges, threshold, value);
  const x = (score) => LEFT + (WIDTH - LEFT - RIGHT) * (score - low) / (high - low);
  const svg = node("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": inWords(name, value, threshold) });
  const cut = x(threshold), here = x(Math.min(Math.max(value, low), high));
  svg.append(node("rect", { class: "zone", x: cut, y: TOP, width: WIDTH - RIGHT - cut, height: FLOOR - TOP, rx: 4 }));
  svg.append(...bars(histogram, threshold, x));
  svg.append(node("line", { class: "axis", x1: LEFT, x2: WIDTH - RIGHT, y1: FLOOR, y2: FLOOR }));
  svg.append(node("line", { class: "cut", x1: cut, x2: cut, y1: TOP - 6, y2: FLOOR }));
  svg.append(node("line", { class: "here", x1: here, x2: here, y1: 24, y2: FLOOR }));
  svg.append(node("circle", { class: "here-dot", cx: here, cy: FLOOR, r: 6 }));
  svg.append(text(`this image ${format(value)}${beyond ? " →" : ""}`, here, 16, "here-text"));
  svg.append(aside(`refused beyond ${format(threshold)}`, cut, 38, "cut-text", here));
  svg.append(node("text", { x: LEFT, y: HEIGHT - 8 }, "← usual"));
  svg.append(node("text", { x: WIDTH / 2, y: HEIGHT - 8, "text-anchor": "middle" }, `${name} of ${total(histogram)} calibration images`));
  svg.append(node("text", { x: WIDTH - RIGHT, y: HEIGHT - 8, "text-anchor": "end" }, "unusual →"));
  return svg;
}

// All of the histogram; an image far beyond it is drawn at the edge, or the rest would be a sliver.
function range(edges, threshold, value) {
  const first = edges[0], last = Math.max(edges.at(-1), threshold);
  const span = last - first || 1;
  const furthest = last + 0.7 * span;
  const low = Math.max(Math.min(first, value), first - 0.7 * span) - 0.03 * span;
  const high = Math.min(Math.max(last, value), furthest) + 0.05 * span;
  return { low, high, beyond: value > high };
}

function bars({ edges, counts }, threshold, x) {
  const most = Math.max(...counts, 1);
  return counts.flatMap((count, i) => {
    if (count === 0) return [];
    const height = Math.max(1.5, (FLOOR - TOP) * count / most);
    const side = (edges[i] + edges[i + 1]) / 2 > threshold ? "bar beyond" : "bar";
    const width = Math.max(1, x(edges[i + 1]) - x(edges[i]) - 1);
    return [node("rect", { class: side, x: x(edges[i]), y: FLOOR - height, width, height, rx: 1 })];
  });
}

// A label beside its line, kept inside the picture.
function text(content, x, y, className) {
  const room = 7 * content.length / 2;
  const middle = Math.min(Math.max(x, LEFT + room), WIDTH - RIGHT - room);
  return node("text", { class: className, x: middle, y, "text-anchor": "middle" }, content);
}

// A label on that side of its line where the other line is not.
function aside(content, x, y, className, other) {
  const width = 6.6 * content.length;
  const fitsLeft = x - width > LEFT, fitsRight = x + width < WIDTH - RIGHT;
  const left = fitsLeft && (other >= x || !fitsRight);
  return node("text", { class: className, x: left ? x - 5 : x + 5, y, "text-anchor": left ? "end" : "start" }, content);
}

function inWords(name, value, threshold) {
  const side = value > threshold ? "beyond" : "within";
  return `${name} ${format(value)}, ${side} the threshold ${format(threshold)}; drawn on the calibration scores.`;
}

function total({ counts }) {
  return counts.reduce((sum, count) => sum + count, 0).toLocaleString("en");
}

export function format(number) {
  const digits = Math.abs(number) >= 100 ? 0 : Math.abs(number) >= 1 ? 2 : 4;
  return number.toFixed(digits).replace("-", "−");
}

function node(name, attributes, content) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (content !== undefined) made.textContent = content;
  return made;
}
