// Small pieces of the page, and Markdown as much as chats need: made of elements and texts, never of HTML.

function element(tag, kind, ...children) {
  const made = document.createElement(tag);
  if (kind) made.className = kind;
  made.append(...children);
  return made;
}

function button(words, act) {
  const made = element("button", "", words);
  made.type = "button";
  made.addEventListener("click", act);
  return made;
}

function copier(text) {
  const made = button(say("copy"), async () => {
    await copy(text());
    made.textContent = say("copied");
    setTimeout(() => (made.textContent = say("copy")), 1500);
  });
  return made;
}

async function copy(text) {
  if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text).catch(() => {});
  const area = element("textarea"); // a page that came over plain HTTP from another machine has no clipboard
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

function markdown(text) {
  const out = [], lines = text.split("\n");
  let plain = [];
  const paragraph = () => {
    if (plain.length) out.push(element("p", "", ...inline(plain.join("\n"))));
    plain = [];
  };
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i];
    let found;
    if ((found = line.match(/^\s*(`{3,}|~{3,})\s*([^`]*)$/))) {
      paragraph();
      const body = [], end = new RegExp("^\\s*" + found[1][0] + "{" + found[1].length + ",}\\s*$");
      while (++i < lines.length && !end.test(lines[i])) body.push(lines[i]);
      out.push(code(body.join("\n"), found[2].trim()));
    } else if (!line.trim()) {
      paragraph();
    } else if ((found = line.match(/^(#{1,6})\s+(.*)$/))) {
      paragraph();
      out.push(element(found[1].length < 3 ? "h3" : "h4", "", ...inline(found[2])));
    } else if (/^\s*([-*_])(\s*\1){2,}\s*$/.test(line)) {
      paragraph();
      out.push(element("hr"));
    } else if (/^\s*>/.test(line)) {
      paragraph();
      const body = [line];
      while (i + 1 < lines.length && /^\s*>/.test(lines[i + 1])) body.push(lines[++i]);
      out.push(element("blockquote", "", ...inline(body.map((l) => l.replace(/^\s*> ?/, "")).join("\n"))));
    } else if ((found = line.match(/^\s*(?:[-*+]|(\d{1,9})[.)])\s+/))) {
      paragraph();
      const list = element(found[1] ? "ol" : "ul");
      if (found[1]) list.start = Number(found[1]);
      const item = found[1] ? /^\s*\d{1,9}[.)]\s+(.*)$/ : /^\s*[-*+]\s+(.*)$/;
      for (let next = line; ; next = lines[++i]) {
        const point = next.match(item);
        if (point) list.append(element("li", "", ...inline(point[1])));
        else list.lastChild.append("\n", ...inline(next.trim()));
        const after = lines[i + 1];
        if (after === undefined || !(item.test(after) || /^\s+\S/.test(after))) break;
      }
      out.push(list);
    } else {
      plain.push(line);
    }
  }
  paragraph();
  return out;
}

function inline(text) {
  const out = [];
  const marks = /(`+)([^`]|[^`][\s\S]*?[^`])\1(?!`)|\*\*(?=\S)([\s\S]*?\S)\*\*|(?<![\w*])\*(?=[^\s*])([^*\n]*?[^\s*])\*(?![\w*])|\[([^\]\n]+)\]\((https?:\/\/[^\s()]+)\)/g;
  let last = 0;
  for (const found of text.matchAll(marks)) {
    out.push(text.slice(last, found.index));
    last = found.index + found[0].length;
    if (found[1]) out.push(element("code", "", found[2]));
    else if (found[3]) out.push(element("strong", "", ...inline(found[3])));
    else if (found[4]) out.push(element("em", "", ...inline(found[4])));
    else {
      const link = element("a", "", found[5]);
      Object.assign(link, { href: found[6], target: "_blank", rel: "noopener noreferrer" });
      out.push(link);
    }
  }
  return [...out, text.slice(last)].filter((part) => part !== "");
}

function code(text, language) {
  return element("div", "code", element("div", "", element("span", "", language), copier(() => text)), element("pre", "", element("code", "", text)));
}
