"use strict";
// Tables that sort and filter, LaTeX to copy, figures inside claims, and everything open on paper.
(() => {
  const value = (row, column) => {
    const cell = row.cells[column];
    return "value" in cell.dataset ? Number(cell.dataset.value) : null;
  };

  const compare = (one, two, column) => {
    const a = value(one, column), b = value(two, column);
    if (a !== null && b !== null) return a - b;
    if (a !== null || b !== null) return a === null ? -1 : 1;
    const texts = [one, two].map((row) => row.cells[column].textContent);
    return texts[0].localeCompare(texts[1], undefined, { numeric: true });
  };

  const sortBy = (heading) => {
    const table = heading.closest("table"), body = table.tBodies[0];
    const rows = [...body.rows], column = heading.cellIndex;
    const numeric = rows.some((row) => value(row, column) !== null);
    const before = heading.getAttribute("aria-sort");
    const descending = before ? before === "ascending" : numeric;
    for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
    rows.sort((one, two) => (descending ? -1 : 1) * compare(one, two, column));
    body.append(...rows);
  };

  for (const button of document.querySelectorAll("table.sortable thead button")) {
    button.addEventListener("click", () => sortBy(button.closest("th")));
  }

  for (const input of document.querySelectorAll("input.filter")) {
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/[\s,]+/).filter(Boolean);
      for (const row of document.getElementById(input.dataset.for).tBodies[0].rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
      }
    });
  }

  const copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch { // a page without a secure origin, or no permission
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      const done = document.execCommand("copy");
      area.remove();
      return done;
    }
  };

  for (const button of document.querySelectorAll("button.copy")) {
    const usual = button.textContent;
    button.addEventListener("click", async () => {
      const done = await copy(document.getElementById(button.dataset.for).content.textContent);
      button.textContent = done ? "Copied" : "The browser does not let this page copy";
      setTimeout(() => { button.textContent = usual; }, 2500);
    });
  }

  // A figure is stored once: a claim that opens gets a copy of the picture.
  for (const claim of document.querySelectorAll("details.claim")) {
    claim.addEventListener("toggle", () => {
      const place = claim.querySelector(".figures");
      if (!claim.open || place.childElementCount) return;
      for (const link of claim.querySelectorAll('a[href^="#figure-"]')) {
        const drawing = document.getElementById(link.hash.slice(1)).querySelector(".scroll");
        place.append(drawing.cloneNode(true));
      }
    });
  }

  // A link to a folded table opens it.
  const unfold = () => {
    const target = location.hash && document.getElementById(location.hash.slice(1));
    if (target && target.tagName === "DETAILS") target.open = true;
  };
  addEventListener("hashchange", unfold);
  unfold();

  let opened = [];
  addEventListener("beforeprint", () => {
    document.documentElement.classList.add("printing");
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const details of opened) details.open = true;
  });
  addEventListener("afterprint", () => {
    document.documentElement.classList.remove("printing");
    for (const details of opened) details.open = false;
  });
})();
