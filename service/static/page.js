import { drawChart } from "./chart.js";
import * as traffic from "./traffic.js";

const { percent } = traffic;

const AT_ONCE = 3;
const CHIPS_OPEN = 24;
const REFRESH_MS = 15_000;
const KEY = "croft-key"; // in sessionStorage: gone with the tab
const $ = (id) => document.getElementById(id);

let bundle = null; // what GET /bundles/{name} says of the chosen one
const queue = [];
let running = 0;
let locked = false; // whether the service waits for a key
const BADGES = { known: "Known", unknown: "Refused", error: "Not answered" };
const counts = { known: 0, unknown: 0, error: 0 };

// ---------------------------------------------------------------- the bundle

async function start() {
  try {
    const { bundles } = await getJson("/bundles");
    offer(bundles);
    await choose(reference(bundles[0]));
  } catch (error) {
    if (!locked) {
      $("bundle-name").textContent = "The service does not answer.";
      $("promise").textContent = String(error.message ?? error);
    }
  }
  $("about").setAttribute("aria-busy", "false");
  next();
}

function offer(bundles) {
  const select = $("bundle");
  select.hidden = bundles.length < 2;
  select.replaceChildren(...bundles.map((b) => new Option(reference(b), reference(b))));
}

async function choose(name) {
  bundle = await getJson(`/bundles/${encodeURIComponent(name)}`);
  const version = document.createElement("small");
  version.textContent = `version ${bundle.version}`;
  $("bundle-name").replaceChildren(bundle.name, " ", version);
  $("marginal").hidden = !bundle.marginal;
  $("promise").textContent = promise(bundle);
  $("classes-box").hidden = false;
  $("classes-box").open = bundle.classes.length <= CHIPS_OPEN;
  $("classes-count").textContent = `Knows ${bundle.classes.length} classes`;
  $("classes").replaceChildren(...bundle.classes.map((c) => element("li", c.display_name)));
  traffic.ofBundle(bundle);
}

// Others send images too.
async function refresh() {
  if (!bundle || locked || document.hidden) return;
  const asked = bundle;
  const detail = await getJson(`/bundles/${encodeURIComponent(reference(asked))}`).catch(() => null);
  if (detail && asked === bundle) traffic.ofBundle(detail);
}

function promise({ threshold, marginal }) {
  const expected = `Refuses about ${percent(threshold.expected_rejection_rate)} of known images`;
  return marginal
    ? `${expected}, on average over calibration sets; this one, of ${threshold.n} images, may be off.`
    : `${expected}: at most ${percent(threshold.alpha)}, with ${percent(1 - threshold.delta)} confidence.`;
}

// ---------------------------------------------------------------- the key

function keyHeaders() {
  const key = sessionStorage.getItem(KEY);
  return key ? { Authorization: `Bearer ${key}` } : {};
}

function askForKey(why) {
  const refused = sessionStorage.getItem(KEY);
  locked = true;
  sessionStorage.removeItem(KEY);
  $("bundle-name").textContent = "This service needs an API key.";
  $("promise").textContent = refused ? why : "It is kept in this tab until you close it, and nowhere else.";
  $("key-form").hidden = false;
}

function useKey(key) {
  locked = false;
  sessionStorage.setItem(KEY, key);
  $("key").value = "";
  $("key-form").hidden = true;
  start();
}

// ---------------------------------------------------------------- images in

function add(files) {
  for (const file of files) {
    const card = $("answer").content.firstElementChild.cloneNode(true);
    card.classList.add("waiting");
    card.querySelector(".file").textContent = file.name || "pasted image";
    card.querySelector(".badge").textContent = "Waiting";
    card.querySelector(".label").textContent = "Looking …";
    preview(card, file);
    $("answers").prepend(card);
    queue.push({ file, card });
  }
  next();
}

function preview(card, file) {
  const image = card.querySelector("img");
  const url = URL.createObjectURL(file);
  image.addEventListener("load", () => URL.revokeObjectURL(url), { once: true });
  image.addEventListener("error", () => {
    image.hidden = true;
    card.querySelector(".no-preview").hidden = false;
  }, { once: true });
  image.src = url;
}

function next() {
  while (bundle && !locked && running < AT_ONCE && queue.length > 0) {
    running += 1;
    ask(queue.shift()).finally(() => {
      running -= 1;
      if (running === 0 && queue.length === 0) refresh();
      next();
    });
  }
}

async function ask({ file, card }) {
  const began = performance.now();
  const asked = bundle;
  try {
    const response = await fetch(`/classify?bundle=${encodeURIComponent(reference(asked))}`, {
      method: "POST",
      headers: { "Content-Type": file.type || "application/octet-stream", ...keyHeaders() },
      body: file,
    });
    const body = await response.json();
    if (response.status === 401) {
      queue.unshift({ file, card }); // it is asked again with the next key
      askForKey(body.detail);
    } else if (response.ok) {
      show(card, body, asked);
      if (asked === bundle) traffic.count(body.p_value);
      timing(card, performance.now() - began, response.headers.get("Server-Timing"));
    } else {
      fail(card, body.title, body.detail, response.status);
    }
  } catch (error) {
    fail(card, "No answer", `The service could not be reached (${error.message}). Is it still running?`);
  }
}

// ---------------------------------------------------------------- answers out

function show(card, answer, asked) {
  const kind = answer.rejected ? "unknown" : "known";
  settle(card, kind);
  card.querySelector(".label").textContent =
    answer.rejected ? "Not one of the known classes" : displayName(asked, answer.label);
  card.querySelector(".words").textContent = unusualness(answer, asked);
  card.querySelector(".chart").replaceChildren(drawChart({
    histogram: asked.calibration,
    threshold: answer.score.threshold,
    value: answer.score.value,
    name: answer.score.name,
  }));
  card.querySelector(".candidates h4").textContent =
    answer.rejected ? "If it had to be one of them" : "Candidates";
  card.querySelector(".candidates ol").replaceChildren(
    ...answer.candidates.map((c) => candidate(displayName(asked, c.label), c.probability)));
}

// p = (1 + how many calibration images are at least as unusual) / (n + 1)
function unusualness({ p_value: p, rejected }, { threshold: { n } }) {
  const less = n - Math.round(p * (n + 1) - 1);
  const share = less === n ? "all" : percent(less / n);
  const images = `the ${n.toLocaleString("en")} images it was calibrated on`;
  if (less === 0) return `An ordinary picture: none of ${images} is more ordinary.`;
  const words = `ore unusual than ${share} of ${images}`;
  return rejected ? `Refused: m${words}.` : `M${words}: within the limit.`;
}

function candidate(name, probability) {
  const row = document.createElement("li");
  const track = element("span", "", "track");
  const fill = element("span", "", "fill");
  fill.style.width = `${Math.max(1, 100 * probability)}%`;
  track.append(fill);
  row.append(element("span", name, "name"), track, element("span", percent(probability), "share"));
  row.firstElementChild.title = name;
  return row;
}

function timing(card, milliseconds, header) {
  const stages = Object.fromEntries([...(header ?? "").matchAll(/(\w+);dur=([\d.]+)/g)].map((m) => [m[1], Number(m[2])]));
  const inside = stages.total === undefined ? "" : `, ${stages.total.toFixed(0)} ms of it in the service`;
  const line = card.querySelector(".timing");
  line.textContent = `${milliseconds.toFixed(0)} ms${inside}`;
  line.title = Object.entries(stages).map(([stage, ms]) => `${stage} ${ms} ms`).join(", ");
}

function fail(card, title, detail, status) {
  settle(card, "error");
  card.querySelector(".label").textContent = title;
  card.querySelector(".words").textContent = detail;
  card.querySelector(".timing").textContent = status ? `HTTP ${status}` : "";
}

function settle(card, kind) {
  card.classList.replace("waiting", kind);
  card.querySelector(".badge").textContent = BADGES[kind];
  counts[kind] += 1;
  $("clear").hidden = false;
  const parts = [`${counts.known} known`, `${counts.unknown} refused`];
  if (counts.error) parts.push(`${counts.error} not answered`);
  $("tally").textContent = parts.join(", ");
}

// ---------------------------------------------------------------- small things

function reference({ name, version }) {
  return `${name}@${version}`;
}

function displayName({ classes }, label) {
  return classes.find((c) => c.name === label)?.display_name ?? label;
}

function element(name, content, className = "") {
  const made = document.createElement(name);
  made.textContent = content;
  if (className) made.className = className;
  return made;
}

async function getJson(path) {
  const response = await fetch(path, { headers: keyHeaders() });
  const body = await response.json();
  if (response.status === 401) askForKey(body.detail);
  if (!response.ok) throw new Error(body.detail ?? response.statusText);
  return body;
}

// ---------------------------------------------------------------- events

$("files").addEventListener("change", (event) => {
  add(event.target.files);
  event.target.value = "";
});

document.addEventListener("paste", (event) => add(event.clipboardData?.files ?? []));

let depth = 0; // dragenter and dragleave fire for every element that is crossed
document.addEventListener("dragenter", () => $("drop").classList.toggle("over", ++depth > 0));
document.addEventListener("dragleave", () => $("drop").classList.toggle("over", --depth > 0));
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  depth = 0;
  $("drop").classList.remove("over");
  add(event.dataTransfer?.files ?? []);
});

$("bundle").addEventListener("change", () => choose($("bundle").value));

$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  useKey($("key").value);
});

$("clear").addEventListener("click", () => {
  $("answers").replaceChildren();
  for (const kind of Object.keys(counts)) counts[kind] = 0;
  $("tally").textContent = "None yet.";
  $("clear").hidden = true;
  traffic.forget();
  $("files").focus();
});

$("what-if").addEventListener("input", traffic.redraw);

setInterval(refresh, REFRESH_MS);
start();
