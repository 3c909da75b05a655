"use strict";

const KEPT = 500;
const arrivals = new Map();
const unverified = new Set();
let arrived = 0;
let chosen = null;
let run = null;

function forget() {
  for (const { item } of arrivals.values()) item.remove();
  arrivals.clear();
  unverified.clear();
  arrived = 0;
  chosen = null;
  $("detail").hidden = true;
  $("choose").hidden = true;
}

const $ = (id) => document.getElementById(id);

function verdictOf(arrival) {
  if (arrival.verified === true) return ["verified", "good"];
  if (arrival.verified === false) return ["not verified", "bad"];
  return ["not checked", ""];
}

function answerOf(arrival) {
  if (arrival.status !== null) return String(arrival.status);
  return arrival.note ? "none" : "…";
}

function element(tag, text, kind) {
  const made = document.createElement(tag);
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function row(arrival) {
  const button = document.createElement("button");
  button.type = "button";
  const what = element("span", arrival.type || arrival.method);
  const marks = [arrival.path, arrival.id || "no id"];
  if (arrival.nth > 1) marks.push(arrival.duplicate ? "duplicate" : `attempt ${arrival.nth}`);
  if (arrival.test) marks.push("test");
  if (arrival.profile) marks.unshift(arrival.profile);
  what.append(element("small", marks.join(" · ")));
  const [text, kind] = verdictOf(arrival);
  const state = element("span", text, kind);
  if (arrival.cause) state.append(element("small", arrival.cause.replaceAll("_", " ")));
  state.append(element("small", `answered ${answerOf(arrival)}`));
  button.append(element("span", arrival.at.slice(11, 19)), what, state);
  button.setAttribute("aria-current", String(arrival.n === chosen));
  button.addEventListener("click", () => choose(arrival.n));
  return button;
}

function fits(arrival, wanted) {
  if (!wanted) return true;
  return [arrival.type, arrival.id, arrival.path, arrival.profile].some((text) => (text || "").toLowerCase().includes(wanted));
}

function place(arrival) {
  const known = arrivals.get(arrival.n);
  const item = known ? known.item : document.createElement("li");
  item.replaceChildren(row(arrival));
  item.hidden = !fits(arrival, $("filter").value.trim().toLowerCase());
  arrivals.set(arrival.n, { arrival, item });
  if (!known) $("list").prepend(item);
  while (arrivals.size > KEPT) {
    const oldest = Math.min(...arrivals.keys());
    arrivals.get(oldest).item.remove();
    arrivals.delete(oldest);
  }
  arrived = Math.max(arrived, arrival.n);
  if (arrival.verified === false) unverified.add(arrival.n);
  $("count").textContent = arrived;
  $("unverified").textContent = unverified.size;
  $("empty").hidden = true;
  if (arrival.n === chosen) show(arrival);
  else if (chosen === null && arrival.n === wanted()) choose(arrival.n);
  else if (chosen === null) $("choose").hidden = false;
}

// An address such as …/#7 shows that arrival, so that it can be pointed at.
function wanted() {
  return Number(location.hash.slice(1));
}

function choose(n) {
  const before = arrivals.get(chosen);
  chosen = n;
  if (before) before.item.firstChild.setAttribute("aria-current", "false");
  const now = arrivals.get(n);
  now.item.firstChild.setAttribute("aria-current", "true");
  $("choose").hidden = true;
  history.replaceState(null, "", `#${n}`);
  show(now.arrival);
}

function pretty(arrival) {
  if (arrival.body_encoding !== "utf-8") return `(no text; in base64)\n${arrival.body}`;
  try {
    return JSON.stringify(JSON.parse(arrival.body), null, 2);
  } catch {
    return arrival.body;
  }
}

function show(arrival) {
  $("detail").hidden = false;
  $("detail-title").textContent = arrival.type || `${arrival.method} ${arrival.path}`;
  const [text, kind] = verdictOf(arrival);
  const why = arrival.why ? `: ${arrival.why} (${arrival.cause})` : "";
  const unchecked = arrival.verified === null ? "; start tocsin listen with --secret to check signatures" : "";
  const remark = arrival.remark ? `: ${arrival.remark}` : "";
  $("verdict").textContent = text + why + remark + unchecked;
  $("verdict").className = kind;
  const facts = [
    ["Arrived", arrival.at],
    ["Id", arrival.id || "–"],
    ["Request", `${arrival.method} ${arrival.path}`],
    ["Dialect", arrival.profile || "–"],
    ["Came", arrival.nth > 1 ? `${arrival.nth} times so far${arrival.duplicate ? ", and was taken before" : ""}` : "for the first time"],
    ["Answered", arrival.took_ms === null ? "not yet" : `${answerOf(arrival)} after ${arrival.took_ms.toFixed(1)} ms`],
    ["Note", arrival.note || "–"],
  ];
  $("facts").replaceChildren(...facts.flatMap(([name, value]) => [element("dt", name), element("dd", value)]));
  $("body").textContent = pretty(arrival);
  $("headers").textContent = arrival.headers.map(([name, value]) => `${name}: ${value}`).join("\n");
}

$("filter").addEventListener("input", () => {
  const wanted = $("filter").value.trim().toLowerCase();
  for (const { arrival, item } of arrivals.values()) item.hidden = !fits(arrival, wanted);
});

addEventListener("hashchange", () => { if (arrivals.has(wanted())) choose(wanted()); });

const stream = new EventSource("/_inbox/events");
stream.addEventListener("open", () => { $("state").textContent = "Live"; });
stream.addEventListener("run", (message) => {
  if (run !== null && run !== message.data) forget();
  run = message.data;
});
stream.addEventListener("error", () => { $("state").textContent = "Disconnected; trying again …"; });
stream.addEventListener("message", (message) => place(JSON.parse(message.data)));
