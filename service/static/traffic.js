// What the service has answered so far, against what is expected, and what another limit would do.

const $ = (id) => document.getElementById(id);
const STOPS_UP_TO = 0.5; // a rule that refuses more is no rule

let bundle = null;
const shown = []; // p-values of the cards of this bundle

export function ofBundle(detail) {
  const other = bundle?.name !== detail.name || bundle?.version !== detail.version;
  bundle = detail;
  if (other) forget();
  else redraw();
}

export function count(pValue) {
  shown.push(pValue);
}

export function forget() {
  shown.length = 0;
  if (!bundle) return;
  const slider = $("what-if");
  slider.max = stops().length - 1;
  slider.value = stops().indexOf(bundle.threshold.p_cut);
  redraw();
}

export function redraw() {
  const { threshold, traffic } = bundle;
  const answered = traffic.accepted + traffic.rejected;
  $("traffic").hidden = false;
  $("live").textContent = answered === 0
    ? "Nothing answered since the service started."
    : `Refused ${percent(traffic.rejected / answered)} of the ${answered.toLocaleString("en")} images answered `
      + `since the service started; ${percent(threshold.expected_rejection_rate)} of known images are expected.`;
  const p = stops()[$("what-if").value];
  $("what-if-at").textContent = p === threshold.p_cut ? `${percent(p)}, as it is` : percent(p);
  $("what-if-words").textContent = whatIf(p, answered);
  $("what-if").setAttribute("aria-valuetext", $("what-if-at").textContent);
}

// The limits that traffic was counted at, and the present one between them.
function stops() {
  const counted = bundle.traffic.p.filter((p) => p <= STOPS_UP_TO);
  return [...new Set([...counted, bundle.threshold.p_cut])].sort((a, b) => a - b);
}

function whatIf(p, answered) {
  const { threshold: { n, p_cut: cut }, traffic } = bundle;
  const refused = p === cut ? traffic.rejected : traffic.images[traffic.p.indexOf(p)];
  const words = [`${percent(Math.floor(p * (n + 1) + 1e-9) / (n + 1))} of known images`];
  if (answered > 0) words.push(`${percent(refused / answered)} of what was answered`);
  if (shown.length > 0) words.push(`${shown.filter((x) => x <= p).length} of the ${shown.length} below`);
  return `It refuses about ${words.join(", ").replace(/, ([^,]*)$/, " and $1")}.`;
}

export function percent(share) {
  const value = 100 * share;
  const digits = value === 0 || value === 100 || Number.isInteger(Number(value.toFixed(6))) ? 0 : 1;
  const rounded = value.toFixed(digits);
  if (share < 1 && Number(rounded) === 100) return ">\u00a099.9\u00a0%";
  if (share > 0 && Number(rounded) === 0) return "<\u00a00.1\u00a0%";
  return `${rounded}\u00a0%`;
}
