// Draws the charts of a page in the colours of its style sheet, smooths curves, and follows a run that goes on.
"use strict";
(() => {
  const content = JSON.parse(document.getElementById("content").textContent);
  const root = document.documentElement;
  const probe = document.body.appendChild(document.createElement("i"));
  probe.hidden = true;
  const logarithmic = new Set();
  let charts = content.charts;
  let weight = 0.6;

  const color = (name) => {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  };

  // The names of the style sheet's colours, wherever a colour stands, as the colours that they are now.
  const colored = (value, key = "") => {
    if (typeof value === "string") return /color/i.test(key) && value.startsWith("--") ? color(value) : value;
    if (Array.isArray(value)) return /color/i.test(key) ? value.map((item) => colored(item, key)) : value.map((item) => (item && typeof item === "object" ? colored(item) : item));
    if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, colored(v, k)]));
    return value;
  };

  const isSmooth = (trace) => Boolean(trace.meta && trace.meta.smooth);
  const gap = (trace) => (trace.x[trace.x.length - 1] - trace.x[0]) / Math.max(trace.x.length - 1, 1);

  // The weight is that of the densest curve of the page; a curve of fewer points forgets as fast in steps.
  const weightOf = (trace) => {
    const gaps = Object.values(charts).flatMap((chart) => chart.data).filter((one) => isSmooth(one) && one.x.length > 1).map(gap);
    return weight ** (gap(trace) / Math.min(...gaps));
  };

  // Exponential moving average, without the pull of its empty beginning (Kingma and Ba 2015, section 3).
  const smooth = (numbers, keep) => {
    let sum = 0, share = 0;
    return numbers.map((y) => {
      if (y === null) return null;
      sum = keep * sum + (1 - keep) * y;
      share = keep * share + (1 - keep);
      return sum / share;
    });
  };

  const traces = (chart) => chart.data.flatMap((trace) => {
    if (!isSmooth(trace) || trace.x.length < 3) return [trace];
    const keep = weightOf(trace);
    if (keep < 0.02) return [trace];
    const raw = { ...trace, opacity: 0.3, line: { ...trace.line, width: 1 }, marker: { ...trace.marker, size: 4 }, showlegend: false, legendgroup: trace.name };
    const strong = { ...trace, y: smooth(trace.y, keep), mode: "lines", name: `${trace.name}, ${content.words.smoothed}`, legendgroup: trace.name };
    return [raw, strong];
  });

  const axis = (room) => ({ gridcolor: color("--grid"), zerolinecolor: color("--rule"), linecolor: color("--rule"), tickcolor: color("--rule"), automargin: room, zeroline: false, title: { standoff: 8, font: { size: 12, color: color("--muted") } } });

  const merged = (under, over) => {
    if (!over || typeof over !== "object" || Array.isArray(over)) return over === undefined || over === null ? under : over;
    const out = { ...(under && typeof under === "object" ? under : {}) };
    for (const [key, value] of Object.entries(over)) out[key] = merged(out[key], value);
    return out;
  };

  const layout = (name, chart) => {
    const own = colored(chart.layout);
    const base = {
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: color("--muted") },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      colorway: [1, 2, 3, 4, 5, 6, 7, 8].map((i) => color(`--s${i}`)),
      margin: { l: 48, r: 12, t: 12, b: 40 }, xaxis: axis("height"), yaxis: axis("width"), dragmode: false,
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { color: color("--ink") } },
      hoverlabel: { bgcolor: color("--raised"), bordercolor: color("--rule"), font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: color("--ink") } },
      uirevision: "kept",
    };
    if (own.legend) base.legend = { font: base.legend.font };  // one that is placed by the recipe stays there
    for (const key of Object.keys(own)) {
      if (/^[xy]axis\d/.test(key)) base[key] = axis(key[0] === "x" ? "height" : "width");
      if (/^scene/.test(key)) {
        const wall = { gridcolor: color("--rule"), zerolinecolor: color("--rule"), backgroundcolor: color("--paper"), color: color("--muted") };
        base[key] = { xaxis: wall, yaxis: wall, zaxis: wall };
        base.dragmode = "turntable";
      }
    }
    const whole = merged(base, own);
    if (logarithmic.has(name)) whole.yaxis.type = "log";
    return whole;
  };

  const draw = (name) => {
    const place = document.getElementById(`chart-${name}`);
    if (!place) return;
    const chart = charts[name];
    const solid = Object.keys(chart.layout).some((key) => key.startsWith("scene"));
    Plotly.react(place, traces(chart).map((trace) => colored(trace)), layout(name, chart), { responsive: true, displayModeBar: false, scrollZoom: solid });
  };
  const drawAll = () => Object.keys(charts).forEach(draw);

  const turn = (theme) => {
    if (theme) root.dataset.theme = theme; else delete root.dataset.theme;
    drawAll();
  };
  const night = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme || (night.matches ? "dark" : "light")) === "dark";
  document.getElementById("theme").addEventListener("click", () => turn(isDark() ? "light" : "dark"));
  night.addEventListener("change", drawAll);

  document.addEventListener("input", (event) => {
    if (event.target.id === "smoothing") {
      weight = Number(event.target.value);
      document.getElementById("smoothing-value").textContent = weight.toFixed(2);
      Object.keys(charts).filter((name) => charts[name].data.some(isSmooth)).forEach(draw);
    } else if (event.target.dataset.log) {
      logarithmic[event.target.checked ? "add" : "delete"](event.target.dataset.log);
      draw(event.target.dataset.log);
    }
  });

  let before = null;
  addEventListener("beforeprint", () => {
    before = { theme: root.dataset.theme, folded: [...document.querySelectorAll("details:not([open])")] };
    before.folded.forEach((part) => { part.open = true; });
    turn("light");
  });
  addEventListener("afterprint", () => {
    before.folded.forEach((part) => { part.open = false; });
    turn(before.theme);
  });

  // A run that goes on: sections whose words changed are replaced, charts are moved on in place.
  const shown = new Map();
  const follow = (news) => {
    const main = document.querySelector("main");
    charts = Object.assign({}, ...news.sections.map((part) => part.charts));
    let last = null;
    for (const part of news.sections) {
      let place = document.getElementById(part.id);
      if (!place) {
        place = document.createElement("section");
        place.id = part.id;
        last ? last.after(place) : main.prepend(place);
      } else if (last && last.nextElementSibling !== place) last.after(place);
      if (shown.get(part.id) !== part.html) {
        const drawn = Object.keys(part.charts).map((name) => document.getElementById(`chart-${name}`)).filter(Boolean);
        place.innerHTML = part.html;
        drawn.forEach((chart) => document.getElementById(chart.id).replaceWith(chart));
      }
      shown.set(part.id, part.html);
      Object.keys(part.charts).forEach(draw);
      last = place;
    }
  };
  if (content.live) {
    const source = new EventSource("/events");
    source.onmessage = (event) => {
      const news = JSON.parse(event.data);
      follow(news);
      if (news.ended) { source.close(); root.dataset.ended = "yes"; }
    };
    source.onerror = () => {
      source.close();
      const note = document.createElement("p");
      note.className = "lost";
      note.textContent = content.words.lost;
      document.querySelector("#masthead header").append(note);
    };
  }

  drawAll();
  root.dataset.drawn = "yes";
})();
