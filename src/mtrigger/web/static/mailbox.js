// The mailbox's page. Everything a mail says is put in as text; its HTML is only ever loaded into the sandboxed frame.
"use strict";

const element = (id) => document.getElementById(id);
const views = ["html", "text", "headers", "source"];
const read = new Set();
let chosen = null;   // the number of the mail that is shown
let view = "html";

function make(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

async function ask(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer;
}

function when(iso, long) {
  const time = new Date(iso);
  const today = time.toDateString() === new Date().toDateString();
  if (long) return time.toLocaleString([], { dateStyle: "full", timeStyle: "medium" });
  return today
    ? time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })
    : time.toLocaleDateString([], { day: "numeric", month: "short" });
}

function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  return bytes < 1048576 ? `${(bytes / 1024).toFixed(1)} KB` : `${(bytes / 1048576).toFixed(1)} MB`;
}

function entry(mail) {
  const button = make("button", read.has(mail.number) ? "entry" : "entry unread");
  button.type = "button";
  button.setAttribute("aria-current", String(mail.number === chosen));
  const files = mail.attachment_count ? ` · ${mail.attachment_count} file${mail.attachment_count > 1 ? "s" : ""}` : "";
  button.append(
    make("span", "from", mail.from),
    make("span", "time", when(mail.received_at)),
    make("span", "subject", mail.subject || "(no subject)"),
    make("span", "from", `to ${mail.to}${files}`),
  );
  button.addEventListener("click", () => { location.hash = String(mail.number); });
  const item = make("li");
  item.append(button);
  return item;
}

async function refresh() {
  const mails = await (await ask("/api/mails")).json();
  element("mails").replaceChildren(...mails.map(entry));
  element("empty").hidden = mails.length > 0;
  element("count").textContent = String(mails.length);
  document.title = mails.length ? `Mailbox (${mails.length})` : "Mailbox";
  if (chosen !== null && !mails.some((mail) => mail.number === chosen)) location.hash = "";
}

async function open(number) {
  chosen = number;
  if (number === null) { showReader(false); await refresh(); return; }
  let mail;
  try {
    mail = await (await ask(`/api/mails/${number}`)).json();
  } catch {
    location.hash = "";   // the mail is not kept any more
    return;
  }
  if (chosen !== number) return;
  read.add(number);
  element("subject").textContent = mail.subject || "(no subject)";
  const people = [["From", mail.from], ["To", mail.to], ["Cc", mail.cc],
    ["Sent to", mail.envelope_to.every((address) => mail.to.includes(address)) ? "" : mail.envelope_to.join(", ")],
    ["Received", when(mail.received_at, true)]];
  element("people").replaceChildren(...people.filter(([, value]) => value)
    .flatMap(([name, value]) => [make("dt", "", name), make("dd", "", value)]));
  element("files").replaceChildren(...mail.attachments.map((file, place) => {
    const link = make("a", "", `${file.name} (${size(file.size)})`);
    link.href = `/mails/${number}/attachments/${place}`;
    link.download = file.name;
    const item = make("li");
    item.append(link);
    return item;
  }));
  element("frame").src = mail.has_html ? `/mails/${number}/html` : "about:blank";
  element("view-text").textContent = mail.text ?? "";
  element("headers").replaceChildren(...mail.headers.map(([name, value]) => {
    const row = make("tr");
    row.append(make("th", "", name), make("td", "", value));
    return row;
  }));
  element("view-source").textContent = "";
  element("tab-html").disabled = !mail.has_html;
  element("tab-text").disabled = mail.text === null;
  showReader(true);
  const usable = (name) => !element(`tab-${name}`).disabled;
  await show(usable(view) ? view : views.find(usable), false);
  await refresh();
}

function showReader(shown) {
  element("reader").hidden = !shown;
  element("hint").hidden = shown;
  element("main").classList.toggle("reading", shown);
}

async function show(name, wanted) {
  if (wanted) view = name;
  for (const other of views) {
    element(`tab-${other}`).setAttribute("aria-selected", String(other === name));
    element(`view-${other}`).hidden = other !== name;
  }
  const number = chosen;
  if (name === "source" && !element("view-source").textContent) {
    const source = await (await ask(`/mails/${number}/source`)).text();
    if (chosen === number) element("view-source").textContent = source;
  }
}

function follow() {
  const [number, name] = location.hash.slice(1).split("/");
  if (views.includes(name)) view = name;
  open(/^\d+$/.test(number) ? Number(number) : null);
}

for (const name of views) element(`tab-${name}`).addEventListener("click", () => show(name, true));
element("back").addEventListener("click", () => { location.hash = ""; });
element("clear").addEventListener("click", () => fetch("/api/mails", { method: "DELETE" }));
window.addEventListener("hashchange", follow);

const events = new EventSource("/events");
const live = element("live");
events.addEventListener("open", () => { live.textContent = "live"; live.classList.add("on"); });
events.addEventListener("error", () => { live.textContent = "not connected"; live.classList.remove("on"); });
events.addEventListener("message", refresh);
follow();
