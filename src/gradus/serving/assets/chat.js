// The chat page, after words.js and pieces.js. What a model or a person writes is only ever put on the page as text, never read as HTML.

const NUMBERS = ["temperature", "top_p", "top_k", "repetition_penalty", "max_tokens", "seed"];
const $ = (id) => document.getElementById(id);

let card = null; // of the model, as /v1/models has it
let chat = null; // the conversation that is shown
let writing = null; // {chat, stop} while an answer is being written

// ---------------------------------------------------------------- what is kept in the browser

const keep = {
  get(name) {
    try { return JSON.parse(localStorage.getItem("gradus." + name)); } catch { return null; }
  },
  set(name, value) {
    try { localStorage.setItem("gradus." + name, JSON.stringify(value)); } catch { /* full or forbidden: the page works without */ }
  },
  drop(name) {
    try { localStorage.removeItem("gradus." + name); } catch { /* forbidden */ }
  },
  chats() {
    const out = [];
    try {
      for (let i = 0; i < localStorage.length; i++) {
        const name = localStorage.key(i);
        if (name.startsWith("gradus.chat.")) out.push(keep.get(name.slice("gradus.".length)));
      }
    } catch { /* forbidden */ }
    return out.filter((c) => c && Array.isArray(c.messages)).sort((a, b) => b.changed - a.changed);
  },
  save(changed) {
    changed.changed = Date.now();
    keep.set("chat." + changed.id, changed);
  },
};

// ---------------------------------------------------------------- what is shown

function show() {
  const turns = chat.messages.map((message, place) => shown(message, place === chat.messages.length - 1));
  $("messages").replaceChildren(...turns);
  if (!turns.length) {
    const words = say(!card || card.chat ? (card && card.documents ? "from_documents" : "hello") : "goes_on");
    $("messages").append(element("div", "start", element("b", "", card ? card.id : "Gradus"), element("p", "", words)));
  }
  showList();
  showState();
  $("scroll").scrollTop = $("scroll").scrollHeight;
}

function shown(message, last) {
  const turn = element("article", message.role);
  turn.dir = "auto";
  if (message.role === "user") {
    turn.textContent = message.content;
    return turn;
  }
  turn.append(element("div", "said"), element("div"));
  fill(turn, message, last);
  return turn;
}

function fill(turn, message, last) {
  const busy = last && writing !== null && writing.chat === chat;
  turn.classList.toggle("writing", busy);
  const [said, below] = turn.children;
  said.replaceChildren(...(card && !card.chat ? [element("p", "", message.content)] : markdown(message.content)));
  below.replaceChildren();
  if (message.citations?.length) below.append(sources(message.citations));
  if (message.error) {
    const box = element("p", "error", message.error);
    box.setAttribute("role", "alert");
    if (last) box.append(button(say("retry"), again));
    below.append(box);
  }
  const foot = element("div", "foot");
  if (!busy && message.content) foot.append(copier(() => message.content));
  if (!busy && last && !message.error) foot.append(button(say("again"), again));
  const facts = [];
  if (message.tokens) facts.push(say("tokens", { n: message.tokens.toLocaleString(LANGUAGE) }));
  if (message.tokens > 1 && message.seconds > 0) facts.push(say("rate", { rate: ((message.tokens - 1) / message.seconds).toFixed(1) }));
  if (message.finish === "length") facts.push(say("cut"));
  if (message.finish === "stopped") facts.push(say("stopped"));
  if (facts.length) foot.append(element("span", "", facts.join(" · ")));
  below.append(foot);
}

function sources(citations) {
  const list = element("ol");
  for (const passage of citations) {
    list.append(element("li", "", [passage.file, passage.place].filter(Boolean).join(" › "), element("q", "", passage.text)));
  }
  return element("details", "sources", element("summary", "", `${say("sources")} (${citations.length})`), list);
}

function showList() {
  $("list").replaceChildren(...keep.chats().map((one) => {
    const first = one.messages.find((message) => message.role === "user");
    const open = button(first ? first.content.slice(0, 80) : say("new"), () => go(one));
    open.className = "open";
    if (one.id === chat.id) open.setAttribute("aria-current", "true");
    const drop = button("×", () => {
      if (writing && writing.chat.id === one.id) writing.stop();
      keep.drop("chat." + one.id);
      if (one.id === chat.id) begin(); else showList();
    });
    drop.className = "drop";
    drop.setAttribute("aria-label", `${say("drop")}: ${open.textContent}`);
    return element("li", "", open, drop);
  }));
}

function showState() {
  const busy = writing !== null;
  $("send").hidden = busy;
  $("stop").hidden = !busy;
  $("send").disabled = !$("text").value.trim();
  $("messages").setAttribute("aria-busy", String(busy));
  $("note").textContent = chat.forgot ? say("forgot") : "";
}

// ---------------------------------------------------------------- conversations

function begin() {
  go({ id: Date.now().toString(36) + Math.random().toString(36).slice(2, 8), changed: 0, messages: [], forgot: 0 });
}

function go(other) {
  if (writing) writing.stop();
  chat = other;
  document.body.classList.remove("menu");
  show();
  if (!matchMedia("(pointer: coarse)").matches) $("text").focus();
}

function send() {
  const text = $("text").value;
  if (writing || !text.trim()) return;
  chat.messages.push({ role: "user", content: card && !card.chat ? text : text.trim() });
  $("text").value = "";
  grow();
  answer(chat);
}

function again() {
  if (writing) return;
  if (chat.messages.at(-1).role === "assistant") chat.messages.pop();
  answer(chat);
}

async function answer(own) {
  const message = { role: "assistant", content: "", tokens: 0, seconds: 0, finish: null };
  own.messages.push(message);
  const control = new AbortController();
  const mine = { chat: own, stop: () => control.abort() };
  writing = mine;
  keep.save(own);
  show();
  const turn = $("messages").lastElementChild;
  let drawn = 0;
  const draw = () => {
    cancelAnimationFrame(drawn);
    drawn = requestAnimationFrame(() => {
      if (chat !== own || !turn.isConnected) return;
      const box = $("scroll"), low = box.scrollHeight - box.scrollTop - box.clientHeight < 60;
      fill(turn, message, true);
      if (low) box.scrollTop = box.scrollHeight;
    });
  };
  try {
    await ask(own, message, control.signal, draw);
  } catch (error) {
    if (control.signal.aborted) message.finish = "stopped";
    else message.error = error instanceof TypeError ? say(message.content ? "broken" : "unreachable") : error.message;
  }
  if (writing === mine) writing = null;
  if (keep.get("chat." + own.id)) keep.save(own); // it may have been deleted meanwhile
  draw();
  showList();
  showState();
}

/** Ask for the answer, and put it into the message as it comes; a chat that is too long loses its oldest turns. */
async function ask(own, message, signal, draw) {
  forget(own);
  let response;
  for (;;) {
    response = await request(...bodyOf(own), signal);
    if (response.ok) break;
    const said = (await response.json().catch(() => null))?.error;
    const past = own.messages.length - 2 - (own.forgot || 0);
    if (said?.code === "context_length_exceeded" && card.chat && past >= 2) own.forgot = (own.forgot || 0) + 2;
    else throw new Error(said?.message || say("failed", { status: response.status }));
  }
  let first = 0;
  for await (const event of events(response)) {
    if (event.error) throw new Error(event.error.message);
    if (event.usage) [message.tokens, message.total] = [event.usage.completion_tokens, event.usage.total_tokens];
    const choice = event.choices[0];
    if (!choice) continue;
    const text = choice.delta ? choice.delta.content : choice.text;
    if (choice.delta?.citations) message.citations = choice.delta.citations;
    if (text) {
      const now = performance.now();
      first = first || now;
      message.seconds = (now - first) / 1000;
      message.tokens += 1;
      message.content += text;
    }
    if (choice.finish_reason) message.finish = choice.finish_reason;
    draw();
  }
  if (!message.finish) throw new Error(say("broken"));
}

/** Leave out the oldest turns of a chat that would fill more than three quarters of what the model reads. */
function forget(own) {
  const turns = own.messages, before = turns.at(-3);
  if (!card.chat || !before || !before.total) return;
  let size = before.total + turns.at(-2).content.length; // at most about a token a letter
  for (let past = own.forgot || 0; size > 0.75 * card.max_model_len && turns.length - 2 - past >= 2; past += 2) {
    size -= turns[past].content.length + (turns[past + 1].tokens || 0);
    own.forgot = past + 2;
  }
}

function bodyOf(own) {
  const settings = keep.get("settings") || {};
  const body = { model: card.id, stream: true, stream_options: { include_usage: true } };
  for (const name of NUMBERS) if (Number.isFinite(settings[name])) body[name] = settings[name];
  const past = own.messages.slice(own.forgot || 0, -1).filter((message) => message.content);
  if (!card.chat) {
    if (!body.max_tokens) body.max_tokens = 256;
    return ["v1/completions", { ...body, prompt: past.map((message) => message.content).join("") }];
  }
  const messages = past.map(({ role, content }) => ({ role, content }));
  if (settings.system) messages.unshift({ role: "system", content: settings.system });
  return ["v1/chat/completions", { ...body, messages }];
}

/** A request with the key; where the key is missing or wrong, the person is asked for it, and the request made again. */
async function request(path, body, signal) {
  for (;;) {
    const headers = { "Content-Type": "application/json" }, key = keep.get("key");
    if (key) headers.Authorization = "Bearer " + key;
    const response = await fetch(path, body ? { method: "POST", headers, body: JSON.stringify(body), signal } : { headers, signal });
    if (response.status !== 401) return response;
    await askKey(Boolean(key));
  }
}

function askKey(wrong) {
  $("key-wrong").hidden = !wrong;
  $("key").value = "";
  $("ask").showModal();
  $("ask").oncancel = (event) => event.preventDefault(); // there is nothing to be done without it
  return new Promise((given) => {
    $("key-form").onsubmit = (event) => {
      event.preventDefault();
      if (!$("key").value.trim()) return;
      keep.set("key", $("key").value.trim());
      $("ask").close();
      given();
    };
  });
}

/** The objects of a stream of server-sent events, up to [DONE]. */
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      if (!part.startsWith("data: ")) continue;
      if (part === "data: [DONE]") return;
      yield JSON.parse(part.slice(6));
    }
  }
}

// ---------------------------------------------------------------- settings

function openSettings() {
  const settings = keep.get("settings") || {};
  for (const field of document.querySelectorAll("[data-setting]")) field.value = settings[field.dataset.setting] ?? "";
  $("settings").showModal();
}

function saveSettings() {
  const settings = {};
  for (const field of document.querySelectorAll("[data-setting]")) {
    if (field.value.trim() && field.validity.valid) settings[field.dataset.setting] = field.type === "number" ? Number(field.value) : field.value;
  }
  keep.set("settings", settings);
}

// ---------------------------------------------------------------- what a person does

function grow() {
  const text = $("text");
  text.style.height = "auto";
  text.style.height = text.scrollHeight + "px";
  showState();
}

function listen() {
  $("text").addEventListener("input", grow);
  $("text").addEventListener("keydown", (event) => {
    const composing = event.isComposing || event.keyCode === 229; // Enter then ends the choice of a Chinese word
    if (event.key !== "Enter" || event.shiftKey || composing || matchMedia("(pointer: coarse)").matches) return;
    event.preventDefault();
    send();
  });
  $("composer").addEventListener("submit", (event) => { event.preventDefault(); send(); });
  $("stop").addEventListener("click", () => writing && writing.stop());
  for (const id of ["new", "fresh"]) $(id).addEventListener("click", begin);
  $("menu").addEventListener("click", () => document.body.classList.toggle("menu"));
  $("shade").addEventListener("click", () => document.body.classList.remove("menu"));
  $("options").addEventListener("click", openSettings);
  $("settings").addEventListener("close", saveSettings);
  $("reset").addEventListener("click", () => { for (const field of document.querySelectorAll("[data-setting]")) field.value = ""; });
  for (const closer of document.querySelectorAll("[data-close]")) closer.addEventListener("click", () => closer.closest("dialog").close());
  addEventListener("keydown", (event) => event.key === "Escape" && document.body.classList.remove("menu"));
  addEventListener("storage", (event) => event.key?.startsWith("gradus.chat.") && showList());
}

async function start() {
  document.documentElement.lang = LANGUAGE === "zh" ? "zh-CN" : "en";
  for (const one of document.querySelectorAll("[data-text]")) one.textContent = say(one.dataset.text);
  for (const one of document.querySelectorAll("[data-label]")) one.setAttribute("aria-label", say(one.dataset.label));
  for (const one of document.querySelectorAll("[data-hint]")) one.placeholder = say(one.dataset.hint);
  listen();
  begin();
  try {
    card = (await (await request("v1/models")).json()).data[0];
    $("model").textContent = document.title = card.id;
  } catch {
    $("note").textContent = say("unreachable");
    return;
  }
  const newest = keep.chats()[0];
  if (newest && Date.now() - newest.changed < 3_600_000) go(newest); else show();
  document.documentElement.dataset.ready = "";
}

start();
