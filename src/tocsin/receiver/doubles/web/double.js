"use strict";

// What is shown comes from anywhere: it only ever becomes text, never markup.

const KEPT = 500;
const $ = (id) => document.getElementById(id);
const items = new Map();
let run = null;

function element(tag, kind, ...content) {
  const made = document.createElement(tag);
  if (kind) made.className = kind;
  made.append(...content);
  return made;
}

const TAGS = { bold: "strong", italic: "em", underline: "u", strike: "s", code: "code", spoiler: "span", mention: "span" };

function drawRun(run) {
  let node = document.createTextNode(run.text);
  for (const mark of [...(run.marks || [])].reverse()) {
    const around = document.createElement(TAGS[mark]);
    if (mark === "mention" || mark === "spoiler") around.className = mark;
    around.append(node);
    node = around;
  }
  if (run.href) {
    const link = document.createElement("a");
    if (/^(https?|mailto):/i.test(run.href)) link.href = run.href;
    link.rel = "noopener noreferrer nofollow";
    link.target = "_blank";
    link.title = run.href;
    link.append(node);
    return link;
  }
  return node;
}

const drawRuns = (runs) => (runs || []).map(drawRun);

const LOOKS = { heading: "h3", title: "h4", author: "p", small: "p", quote: "blockquote", pre: "pre", list: "p", plain: "p" };

const DRAW = {
  text: (block) => {
    const look = block.look || "plain";
    const made = element(LOOKS[look], `text ${look}`, ...drawRuns(block.runs));
    made.dir = "auto";
    return made;
  },
  fields: (block) => element("div", "fields", ...block.fields.map((field) => {
    const made = element("div", field.short ? "field short" : "field");
    made.dir = "auto";
    if (field.name.length) made.append(element("p", "name", ...drawRuns(field.name)));
    if (field.value && field.value.length) made.append(element("p", "value", ...drawRuns(field.value)));
    return made;
  })),
  divider: () => document.createElement("hr"),
  picture: (block) => element("p", "picture", block.alt || "picture"),
  buttons: (block) => element("p", "buttons", ...block.buttons.map((button) => drawRun({ text: button.label, href: button.href || "#" }))),
  card: (block) => {
    const bar = element("div", "bar");
    if (/^#[0-9a-f]{6}$/.test(block.colour || "")) bar.style.backgroundColor = block.colour;
    return element("div", "card", bar, element("div", "inside", ...block.blocks.map(draw)));
  },
  mail: drawMail,
};

function draw(block) {
  return DRAW[block.kind](block);
}

function drawMail(mail) {
  const headers = element("dl", "headers");
  const made = element("div", "mail");
  for (const [name, value] of mail.headers) {
    const subject = name === "Subject";
    const shown = element(subject ? "h3" : "dd", subject ? "subject" : "", value);
    shown.dir = "auto";
    if (subject) made.prepend(shown);
    else headers.append(element("dt", "", name), shown);
  }
  made.append(headers);
  const parts = element("div", "parts");
  if (mail.frame) {
    const frame = document.createElement("iframe");
    frame.setAttribute("sandbox", "");
    frame.title = "The mail as HTML";
    frame.src = mail.frame;
    parts.append(element("section", "html", element("h5", "", "HTML"), frame));
  }
  if (mail.text) {
    const text = element("pre", "", mail.text);
    text.dir = "auto";
    parts.append(element("section", "plain", element("h5", "", "Plain text"), text));
  }
  made.append(parts);
  return made;
}

const clock = (at) => new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

function drawMessage(message) {
  const made = element("article", "message");
  made.dataset.id = message.id;
  const when = element("time", "", clock(message.at));
  when.dateTime = message.at;
  when.title = message.at;
  made.append(element("div", "avatar", (message.sender || "T").slice(0, 1)));
  const head = element("p", "head", element("span", "sender", message.sender || "Tocsin"), element("span", "app", "APP"), when, element("span", "chat", message.chat));
  const body = element("div", "body", ...message.blocks.map(draw));
  const foot = element("p", "foot");
  if (message.edited) {
    const times = message.edits.length === 1 ? "once" : `${message.edits.length} times`;
    for (const where of [body, foot]) {
      const mark = element("span", "edited", where === foot ? "edited " : "(edited)");
      mark.title = `Changed ${times}; before: ${message.edits[message.edits.length - 1].text}`;
      where.append(mark);
    }
  }
  foot.append(when.cloneNode(true));
  if (message.deleted) made.classList.add("deleted");
  made.append(element("div", "bubble", head, body, foot));
  return made;
}

function drawRefusal(refusal) {
  const what = `Refused: ${refusal.status || "no answer"} ${refusal.refused.replaceAll("_", " ")}`;
  return element("aside", "refusal", element("time", "", clock(refusal.at)), element("strong", "", what), refusal.why);
}

function atEnd() {
  return window.innerHeight + window.scrollY >= document.body.scrollHeight - 80;
}

function place(key, entry) {
  const follow = atEnd();
  const drawn = "refused" in entry ? drawRefusal(entry) : drawMessage(entry);
  const known = items.get(key);
  if (known) known.replaceWith(drawn);
  else $("messages").append(drawn);
  items.set(key, drawn);
  while (items.size > KEPT) {
    const [oldest, gone] = items.entries().next().value;
    gone.remove();
    items.delete(oldest);
  }
  $("empty").hidden = true;
  if (follow && !known) window.scrollTo(0, document.body.scrollHeight);
}

function forget() {
  for (const item of items.values()) item.remove();
  items.clear();
  $("empty").hidden = false;
}

$("copy").addEventListener("click", () => navigator.clipboard.writeText($("address").textContent));

const stream = new EventSource("/_double/events");
stream.addEventListener("run", (message) => {
  if (run !== null && run !== message.data) forget();
  run = message.data;
  $("state").hidden = true;
});
stream.addEventListener("about", (message) => {
  const about = JSON.parse(message.data);
  document.body.dataset.service = about.service;
  document.title = `${about.title} · ${about.name}`;
  $("title").textContent = about.title;
  $("service").textContent = about.name;
  $("address").textContent = about.address;
});
stream.addEventListener("message", (message) => {
  const entry = JSON.parse(message.data);
  place("refused" in entry ? `refused ${message.lastEventId}` : entry.key, entry);
});
stream.addEventListener("error", () => { $("state").hidden = false; });
