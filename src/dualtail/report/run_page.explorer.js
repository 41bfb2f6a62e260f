"use strict";
// The class explorer: every class a point, nine groups, a table, sorted curves.
(() => {
  const source = document.getElementById("class-data");
  if (!source) return;
  const { groups: GROUPS, datasets: DATASETS } = JSON.parse(source.textContent);
  const at = (name) => document.getElementById(`x-${name}`);
  const D = GROUPS.slice(1, 4), P = GROUPS.slice(4, 7);
  const PAGE = 100, NEAR = 14, FEW_IMAGES = 20, SMOOTHING = 1 / 20;
  const TYPES = { u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, f4: Float32Array };

  const unpack = (packed) => {
    if (!packed) return null;
    const bytes = Uint8Array.from(atob(packed.data), (c) => c.charCodeAt(0));
    return new TYPES[packed.type](bytes.buffer);
  };

  // What the state below is computed from; unpacked when a dataset is chosen.
  const state = { picked: new Set(), hovered: -1, sort: "index", descending: false, shown: PAGE, brush: null };
  let data = null;
  let points = []; // of every class: its place in the plot

  const accuracy = (predictor) => {
    const right = unpack(predictor.right);
    return Array.from(right, (n, c) => (data.images[c] ? (100 * n) / (data.images[c] * predictor.seeds) : NaN));
  };

  const choose = (index) => {
    const raw = DATASETS[index];
    data = { ...raw, images: unpack(raw.images), counts: unpack(raw.counts), d: unpack(raw.d), p: unpack(raw.p) };
    data.q = raw.q.map((prior) => ({ name: prior.name, values: unpack(prior.values) }));
    data.lower = raw.classes.map((name) => name.toLowerCase());
    state.picked.clear();
    state.hovered = -1;
  };

  const fill = (select, options, chosen) => {
    select.replaceChildren();
    let place = select;
    options.forEach(({ text, value, group }) => {
      if (group && place.label !== group) {
        place = document.createElement("optgroup");
        place.label = group;
        select.append(place);
      }
      place.append(new Option(text, value));
    });
    select.value = String(chosen);
    if (select.selectedIndex < 0) select.selectedIndex = 0;
    const label = select.closest("label");
    if (label) label.hidden = options.length < 2 && select.id === "x-dataset";
  };

  const fillChoices = () => {
    const kinds = data.predictors.map((p, k) => ({ text: p.name, value: k, group: p.kind }));
    fill(at("a"), kinds, data.pair[0]);
    fill(at("b"), kinds, data.pair[1]);
    const keys = [];
    if (data.counts) keys.push({ text: "training images", value: "counts" });
    data.q.forEach((prior, k) => keys.push({ text: `q of ${prior.name}`, value: `q${k}` }));
    fill(at("order"), keys.length ? keys : [{ text: "class index", value: "index" }], at("order").value);
    const accuracies = [{ text: "accuracy of A", value: "a" }, { text: "accuracy of B", value: "b" }];
    fill(at("across"), [...keys, ...accuracies], at("across").value || "counts");
    fill(at("up"), [{ text: "gain of A over B", value: "gain" }, ...accuracies], at("up").value || "gain");
    const colors = [];
    if (data.p) colors.push({ text: "P-group", value: "p" });
    if (data.d) colors.push({ text: "D-group", value: "d" });
    fill(at("color"), [...colors, { text: "none", value: "none" }], at("color").value || "p");
  };

  const update = () => {
    state.a = Number(at("a").value);
    state.b = Number(at("b").value);
    data.a = accuracy(data.predictors[state.a]);
    data.b = accuracy(data.predictors[state.b]);
    data.gain = data.a.map((value, c) => value - data.b[c]);
    search();
    sayOverall();
    drawNine();
    refresh();
    drawCurves();
  };

  const search = () => {
    const word = at("search").value.trim().toLowerCase();
    state.found = word ? new Set(data.lower.flatMap((name, c) => (name.includes(word) ? [c] : []))) : null;
  };

  const column = (key) => {
    if (key === "counts") return data.counts;
    if (key[0] === "q") return data.q[Number(key.slice(1))].values;
    if (key === "index") return data.classes.map((_, c) => c);
    return data[key];
  };

  const isLog = (key) => key === "counts" || key[0] === "q";
  const labelOf = (select) => select.options[select.selectedIndex]?.text ?? "";
  const percent = (v) => (Number.isFinite(v) ? `${v.toFixed(1)}\u00a0%` : "–");
  const signed = (v) => (Number.isFinite(v) ? `${v < 0 ? "−" : "+"}${Math.abs(v).toFixed(1)}` : "–");
  const interval = (n, form) => (n && n.length === 3 ? ` [${form(n[1])}, ${form(n[2])}]` : "");
  const plain = (v) => v.toFixed(1);

  // The gain of A over B with its interval, from the scores; they have it of one order of the two, or of none.
  const gainOf = (k) => {
    const there = data.gains[`${state.a},${state.b}`]?.[k], back = data.gains[`${state.b},${state.a}`]?.[k];
    if (there) return there;
    if (back) return [back[0], back[2], back[1]].filter(Number.isFinite).map((v) => -v);
    const [a, b] = [state.a, state.b].map((which) => data.predictors[which].numbers[k]);
    return a && b ? [a[0] - b[0]] : null;
  };

  const sayOverall = () => {
    const gain = gainOf(0);
    const lines = [state.a, state.b].map((k, which) => {
      const { name, numbers } = data.predictors[k];
      return ["AB"[which], `${numbers[0] ? percent(numbers[0][0]) : "–"}${interval(numbers[0], plain)}`, name];
    });
    const note = gain && gain.length < 3 && state.a !== state.b ? "no interval: the scores do not compare these two" : "A over B";
    lines.push(["Gain", gain ? `${signed(gain[0])} points${interval(gain, signed)}` : "–", note]);
    at("overall").replaceChildren(...lines.map(([label, numbers, about]) => {
      const item = document.createElement("li"), strong = document.createElement("b"), quiet = document.createElement("span");
      strong.textContent = `${label}: ${numbers} `;
      quiet.className = "quiet";
      quiet.textContent = about;
      item.append(strong, quiet);
      return item;
    }));
  };

  // Nine groups: a table each for A, B and the gain; a cell is a button that selects its classes.
  const drawNine = () => {
    const place = at("nine");
    place.replaceChildren();
    if (!data.d || !data.p) {
      place.append(Object.assign(document.createElement("p"), {
        className: "quiet",
        textContent: "The nine groups are not here: it takes training counts, and q of every class, as the scores were grouped by.",
      }));
      return;
    }
    const numbers = (k) => data.predictors[k].numbers.slice(7);
    const [a, b] = [numbers(state.a), numbers(state.b)];
    const gains = a.map((_, k) => gainOf(7 + k));
    const most = Math.max(1, ...gains.map((n) => (n ? Math.abs(n[0]) : 0)));
    place.append(
      nineTable(`A, accuracy in %`, a, (v) => charts.colorAt(charts.VIRIDIS, v / 100), plain),
      nineTable(`B, accuracy in %`, b, (v) => charts.colorAt(charts.VIRIDIS, v / 100), plain),
      nineTable("Gain of A over B, points", gains, (v) => charts.colorAt(charts.PUOR, 0.5 + v / (2 * most)), signed),
    );
  };

  const inCell = (d, p) => data.classes.flatMap((_, c) => (data.d[c] === d && data.p[c] === p ? [c] : []));

  const nineTable = (title, numbers, colors, form) => {
    const table = document.createElement("table");
    table.createCaption().textContent = title;
    const head = table.createTHead().insertRow();
    head.insertCell();
    for (const name of D) head.append(Object.assign(document.createElement("th"), { textContent: name, scope: "col" }));
    const body = table.createTBody();
    P.forEach((name, p) => {
      const row = body.insertRow();
      row.append(Object.assign(document.createElement("th"), { textContent: name, scope: "row" }));
      D.forEach((_, d) => {
        const found = numbers[d * 3 + p], members = inCell(d, p);
        const button = Object.assign(document.createElement("button"), { type: "button" });
        button.append(found ? form(found[0]) : "–");
        if (found?.length === 3) {
          const half = document.createElement("small");
          half.textContent = `±${((found[2] - found[1]) / 2).toFixed(1)}`;
          button.append(half);
        }
        if (found) {
          const { back, ink } = colors(found[0]);
          button.style.background = back;
          button.style.color = ink;
        }
        button.title = `${D[d]}/${P[p]}: ${members.length} classes`;
        button.setAttribute("aria-label", `${title}, ${D[d]}/${P[p]}: ${found ? form(found[0]) : "none"}, ${members.length} classes`);
        const on = members.length > 0 && members.every((c) => state.picked.has(c)) && members.length === state.picked.size;
        button.setAttribute("aria-pressed", String(on));
        button.addEventListener("click", () => {
          const again = button.getAttribute("aria-pressed") === "true";
          const place = [...at("nine").querySelectorAll("button")].indexOf(button);
          pick(again ? [] : members);
          at("nine").querySelectorAll("button")[place].focus();
        });
        row.insertCell().append(button);
      });
    });
    return table;
  };

  const pick = (classes) => {
    state.picked = new Set(classes);
    drawNine();
    refresh();
  };

  const refresh = () => {
    state.shown = PAGE;
    drawPoints();
    saySelection();
    listClasses();
  };

  const isShown = (c) => (!state.found || state.found.has(c)) && (!state.picked.size || state.picked.has(c));
  const mean = (values, classes) => {
    const known = classes.map((c) => values[c]).filter(Number.isFinite);
    return known.length ? known.reduce((s, v) => s + v, 0) / known.length : NaN;
  };

  const saySelection = () => {
    const limited = state.found || state.picked.size;
    const shown = data.classes.map((_, c) => c).filter(isShown);
    at("chosen").textContent = limited
      ? `${shown.length} of ${data.classes.length} classes: mean accuracy of A ${percent(mean(data.a, shown))}, of B ${percent(mean(data.b, shown))}, gain ${signed(mean(data.gain, shown))} points.`
      : `All ${data.classes.length} classes.`;
    at("clear").hidden = !limited;
  };

  // With few test images many accuracies are equal: such points are moved apart, always in the same way.
  const apart = (c) => (((c * 2654435761) % 4294967296) / 4294967296 - 0.5) * 2;

  const drawPoints = () => {
    const [xKey, yKey, group] = ["across", "up", "color"].map((name) => at(name).value);
    const fewest = data.images.reduce((least, n) => (n && n < least ? n : least), Infinity);
    const reach = fewest < FEW_IMAGES ? Math.min(8, 25 / fewest) : 0;
    const values = (key, spread) => Array.from(column(key), (v, c) => {
      if (isLog(key)) return Math.log10(Math.max(v, key === "counts" ? 0.5 : 1e-12));
      return v + reach * apart(c * spread);
    });
    const xs = values(xKey, 7), ys = values(yKey, 1);
    const area = charts.prepare(at("points"));
    const unit = (key, text) => (isLog(key) ? `${text} (log scale)` : `${text}, ${key === "gain" ? "points" : "%"}`);
    const place = charts.frame(area,
      charts.axis(xs, isLog(xKey), unit(xKey, labelOf(at("across")))),
      charts.axis(ys, false, unit(yKey, labelOf(at("up")))));
    points = xs.map((x, c) => [place.x(x), place.y(ys[c])]);
    const labels = group === "d" ? data.d : group === "p" ? data.p : null;
    const inks = ["--g0", "--g1", "--g2", "--quiet"].map(charts.color);
    const size = data.classes.length > 2000 ? 2.2 : data.classes.length > 400 ? 3 : 4;
    const { pen } = area;
    const one = (c, alpha) => {
      const [x, y] = points[c], k = labels ? labels[c] : 3;
      if (!Number.isFinite(x + y)) return;
      pen.globalAlpha = alpha;
      pen.fillStyle = labels ? inks[k] : charts.color("--accent");
      charts.shape(pen, labels && k < 3 ? k : 0, x, y, size);
      pen.fill();
    };
    const all = points.map((_, c) => c), on = all.filter(isShown), off = all.filter((c) => !isShown(c));
    off.forEach((c) => one(c, 0.12));
    on.forEach((c) => one(c, data.classes.length > 2000 ? 0.5 : 0.8));
    pen.globalAlpha = 1;
    if (state.found && state.found.size <= 200) {
      pen.strokeStyle = charts.color("--ink");
      for (const c of state.found) if (isShown(c)) ring(pen, c, size + 3);
    }
    if (state.hovered >= 0) {
      pen.strokeStyle = charts.color("--mark");
      pen.lineWidth = 2.5;
      ring(pen, state.hovered, size + 3);
    }
    if (state.brush) {
      pen.strokeStyle = charts.color("--ink");
      pen.lineWidth = 1;
      pen.setLineDash([4, 3]);
      const [x0, y0, x1, y1] = state.brush;
      pen.strokeRect(Math.min(x0, x1), Math.min(y0, y1), Math.abs(x1 - x0), Math.abs(y1 - y0));
    }
    drawLegend(labels && (group === "d" ? D : P), inks);
    at("note").textContent = [
      group === "p" && data.p ? `P-groups go by the q of ${data.p_from}.` : "",
      reach ? `Classes have few test images, so many accuracies are equal: points are moved apart by up to ${charts.short(reach)} percentage points.` : "",
      data.left_out.length ? `${data.left_out.length} predictors are left out here to keep the page small.` : "",
    ].filter(Boolean).join(" ");
  };

  const ring = (pen, c, size) => {
    pen.beginPath();
    pen.arc(points[c][0], points[c][1], size, 0, 2 * Math.PI);
    pen.stroke();
  };

  const SVG = "http://www.w3.org/2000/svg";
  const drawLegend = (names, inks) => {
    at("legend").replaceChildren(...(names || []).map((name, k) => {
      const item = document.createElement("span"), svg = document.createElementNS(SVG, "svg");
      svg.setAttribute("width", "12");
      svg.setAttribute("height", "12");
      const mark = document.createElementNS(SVG, "path");
      mark.setAttribute("d", ["M1 6a5 5 0 1 0 10 0a5 5 0 1 0 -10 0", "M2 2h8v8h-8z", "M6 1L11.5 10.5H.5z"][k]);
      mark.setAttribute("fill", inks[k]);
      svg.append(mark);
      item.append(svg, name);
      return item;
    }));
  };

  const describe = (c) => [
    data.classes[c],
    data.counts ? `${data.counts[c].toLocaleString("en")} training images` : "",
    ...data.q.map((prior) => `q of ${prior.name}: ${(prior.values[c] * data.classes.length).toPrecision(2)} even shares`),
    `accuracy of A ${percent(data.a[c])}, of B ${percent(data.b[c])}`,
    `gain ${signed(data.gain[c])} points, ${data.images[c]} test images`,
    data.d && data.p ? `${D[data.d[c]] ?? "no D-group"}, ${P[data.p[c]] ?? "no P-group"}` : "",
  ].filter(Boolean);

  const hover = (c, aloud = false) => {
    if (c === state.hovered && !aloud) return;
    state.hovered = c;
    drawPoints();
    const tip = at("tip");
    tip.hidden = c < 0;
    if (c < 0) return;
    const [name, ...lines] = describe(c), title = document.createElement("b");
    title.textContent = name;
    tip.replaceChildren(title, `\n${lines.join("\n")}`);
    const [x, y] = points[c], box = tip.parentElement;
    tip.style.left = `${Math.max(4, Math.min(x + 14, box.clientWidth - tip.offsetWidth - 4))}px`;
    tip.style.top = `${y > box.clientHeight / 2 ? Math.max(4, y - tip.offsetHeight - 14) : y + 14}px`;
    if (aloud) at("said").textContent = describe(c).join("; ");
  };

  const nearest = (x, y) => {
    let best = -1, least = NEAR ** 2;
    points.forEach(([px, py], c) => {
      const distance = (px - x) ** 2 + (py - y) ** 2;
      if (distance < least && isShown(c)) [best, least] = [c, distance];
    });
    return best;
  };

  const listen = () => {
    const canvas = at("points");
    const where = (event) => [event.offsetX, event.offsetY];
    canvas.addEventListener("pointerdown", (event) => {
      if (event.pointerType === "touch") return;
      canvas.setPointerCapture(event.pointerId);
      state.brush = [...where(event), ...where(event)];
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!state.brush) return hover(nearest(...where(event)));
      state.brush.splice(2, 2, ...where(event));
      return drawPoints();
    });
    canvas.addEventListener("pointerup", (event) => {
      if (!state.brush) return hover(nearest(...where(event)), false);
      const [x0, y0, x1, y1] = state.brush;
      state.brush = null;
      if (Math.abs(x1 - x0) < 4 && Math.abs(y1 - y0) < 4) {
        const c = nearest(x1, y1);
        return pick(c < 0 ? [] : [c]);
      }
      const inside = (v, one, two) => v >= Math.min(one, two) && v <= Math.max(one, two);
      return pick(points.flatMap(([x, y], c) => (inside(x, x0, x1) && inside(y, y0, y1) ? [c] : [])));
    });
    canvas.addEventListener("pointerleave", () => { if (!state.brush) hover(-1); });
    canvas.addEventListener("keydown", byKey);
    at("search").addEventListener("input", () => { search(); refresh(); });
    at("clear").addEventListener("click", () => { at("search").value = ""; search(); pick([]); });
    at("more").addEventListener("click", () => { state.shown += 5 * PAGE; listClasses(); });
    at("dataset").addEventListener("change", () => { choose(Number(at("dataset").value)); fillChoices(); update(); });
    for (const name of ["a", "b"]) at(name).addEventListener("change", update);
    for (const name of ["across", "up", "color"]) at(name).addEventListener("change", drawPoints);
    at("order").addEventListener("change", drawCurves);
    const redraw = () => { drawPoints(); drawCurves(); };
    new ResizeObserver(redraw).observe(canvas.parentElement);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
    for (const event of ["beforeprint", "afterprint"]) addEventListener(event, redraw);
  };

  // Arrow keys go through the classes from left to right.
  const byKey = (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (event.key === "Enter" && state.hovered >= 0) pick([state.hovered]);
    if (event.key === "Escape") { hover(-1); pick([]); }
    if (!step) return;
    event.preventDefault();
    const order = points.map((_, c) => c).filter((c) => isShown(c) && Number.isFinite(points[c][0] + points[c][1]))
      .sort((one, two) => points[one][0] - points[two][0]);
    if (!order.length) return;
    const now = order.indexOf(state.hovered);
    hover(order[now < 0 ? (step > 0 ? 0 : order.length - 1) : Math.min(order.length - 1, Math.max(0, now + step))], true);
  };

  const COLUMNS = [
    ["Class", "name", (c) => data.classes[c]],
    ["Training images", "counts", (c) => data.counts[c].toLocaleString("en")],
    ["q", "q0", (c) => data.q[0].values[c].toPrecision(3)],
    ["A, %", "a", (c) => plainOr(data.a[c])],
    ["B, %", "b", (c) => plainOr(data.b[c])],
    ["Gain", "gain", (c) => signed(data.gain[c])],
    ["Test images", "images", (c) => String(data.images[c])],
    ["D-group", "d", (c) => D[data.d[c]] ?? "–"],
    ["P-group", "p", (c) => P[data.p[c]] ?? "–"],
  ];
  const plainOr = (v) => (Number.isFinite(v) ? v.toFixed(1) : "–");

  const columns = () => COLUMNS.filter(([, key]) => (key === "q0" ? data.q.length : key === "name" || data[key]));

  const listClasses = () => {
    const chosen = columns(), compare = new Intl.Collator("en", { numeric: true }).compare;
    const values = state.sort === "name" ? data.classes : state.sort === "index" ? null : column(state.sort);
    const order = data.classes.map((_, c) => c).filter(isShown);
    if (values) {
      const way = state.descending ? -1 : 1;
      order.sort((i, j) => way * (state.sort === "name" ? compare(values[i], values[j]) : values[i] - values[j]) || i - j);
    }
    at("head").replaceChildren(...chosen.map(([label, key], k) => {
      const cell = document.createElement("th"), button = document.createElement("button");
      cell.scope = "col";
      if (k === 0) cell.className = "label";
      button.type = "button";
      button.textContent = key === "q0" ? `q of ${data.q[0].name}` : label;
      if (state.sort === key) cell.setAttribute("aria-sort", state.descending ? "descending" : "ascending");
      button.addEventListener("click", () => {
        state.descending = state.sort === key ? !state.descending : key !== "name";
        state.sort = key;
        listClasses();
        at("head").cells[k].firstChild.focus();
      });
      cell.append(button);
      return cell;
    }));
    at("rows").replaceChildren(...order.slice(0, state.shown).map((c) => {
      const row = document.createElement("tr");
      chosen.forEach(([, , text], k) => {
        const cell = row.insertCell();
        cell.textContent = text(c);
        if (k === 0) cell.className = "label";
      });
      row.addEventListener("pointerenter", () => hover(c));
      return row;
    }));
    const rest = order.length - state.shown;
    at("more").hidden = rest <= 0;
    at("more").textContent = `Show more (${rest} left)`;
  };

  // The moving average of the paper's sorted curves: a Gaussian, its weights beyond the ends left out.
  const smooth = (values) => {
    const width = Math.max(1, SMOOTHING * values.length), reach = Math.ceil(5 * width);
    const kernel = Array.from({ length: reach + 1 }, (_, k) => Math.exp(-0.5 * (k / width) ** 2));
    return values.map((_, i) => {
      let sum = 0, weight = 0;
      for (let j = Math.max(0, i - reach); j <= Math.min(values.length - 1, i + reach); j += 1) {
        if (Number.isFinite(values[j])) {
          sum += kernel[Math.abs(i - j)] * values[j];
          weight += kernel[Math.abs(i - j)];
        }
      }
      return weight ? sum / weight : NaN;
    });
  };

  const drawCurves = () => {
    const key = column(at("order").value);
    const order = data.classes.map((_, c) => c).sort((i, j) => key[j] - key[i] || i - j);
    const lines = ["a", "b"].map((name) => smooth(order.map((c) => data[name][c])));
    const area = charts.prepare(at("curves"));
    const across = { low: 0, high: Math.max(1, order.length - 1), bare: true, label: `classes, from most to least ${labelOf(at("order"))}` };
    const place = charts.frame(area, across, charts.axis(lines.flat(), false, "accuracy, %"));
    lines.forEach((line, k) => {
      area.pen.strokeStyle = charts.color(k ? "--g1" : "--g0");
      area.pen.setLineDash(k ? [6, 4] : []);
      area.pen.lineWidth = 2.2;
      area.pen.beginPath();
      line.forEach((v, i) => (i ? area.pen.lineTo : area.pen.moveTo).call(area.pen, place.x(i), place.y(v)));
      area.pen.stroke();
    });
    area.pen.setLineDash([]);
    at("curve-legend").replaceChildren(...[state.a, state.b].map((k, which) => {
      const item = document.createElement("span"), svg = document.createElementNS(SVG, "svg");
      svg.setAttribute("width", "28");
      svg.setAttribute("height", "10");
      const mark = document.createElementNS(SVG, "path");
      mark.setAttribute("d", "M1 5H27");
      mark.setAttribute("stroke", charts.color(which ? "--g1" : "--g0"));
      mark.setAttribute("stroke-width", "2.5");
      if (which) mark.setAttribute("stroke-dasharray", "6 4");
      svg.append(mark);
      item.append(svg, `${"AB"[which]}: ${data.predictors[k].name}`);
      return item;
    }));
    at("curve-note").textContent = `Moving averages: a Gaussian whose standard deviation is ${charts.short(Math.max(1, SMOOTHING * order.length))} classes.`;
  };

  fill(at("dataset"), DATASETS.map(({ label }, k) => ({ text: label, value: k })), 0);
  choose(0);
  document.getElementById("explorer").hidden = false;
  fillChoices();
  listen();
  update();
})();
