// Tables that sort, and marks of charts that tell their figures to pointers and to the keyboard.
"use strict";
(() => {
  const root = document.querySelector(".roofline");

  // --- tables: up, down, and back to the order they came in

  const ORDERS = ["none", "ascending", "descending"];
  const words = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

  // What is not known stays last, whichever way the rest is sorted.
  function compare(one, other, down) {
    if (!one.dataset.v !== !other.dataset.v) return one.dataset.v ? -1 : 1;
    const found = one.dataset.v
      ? Number(one.dataset.v) - Number(other.dataset.v)
      : words.compare(one.textContent, other.textContent);
    return down ? -found : found;
  }

  function sort(table, column, order) {
    const body = table.tBodies[0];
    const rows = Array.from(body.rows);
    rows.sort((one, other) =>
      (order === "none" ? 0 : compare(one.cells[column], other.cells[column], order === "descending")) ||
      Number(one.dataset.place) - Number(other.dataset.place));
    body.append(...rows);
    Array.from(table.tHead.rows[0].cells).forEach((head, at) =>
      head.setAttribute("aria-sort", at === column ? order : "none"));
  }

  for (const table of root.querySelectorAll("table")) {
    const rows = Array.from(table.tBodies[0].rows);
    if (rows.length < 2) continue;
    rows.forEach((row, place) => { row.dataset.place = place; });
    Array.from(table.tHead.rows[0].cells).forEach((head, column) => {
      if (!head.textContent.trim()) return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      button.addEventListener("click", () => {
        const now = ORDERS.indexOf(head.getAttribute("aria-sort"));
        sort(table, column, ORDERS[(now + 1) % ORDERS.length]);
      });
      head.append(button);
      head.setAttribute("aria-sort", "none");
    });
  }

  // --- charts: what a mark's title says, beside it at once

  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  tip.setAttribute("role", "tooltip");
  root.append(tip);

  // A title becomes a label when it is first told, else the browser would show it a second time.
  function told(mark) {
    const title = mark.querySelector("title");
    if (title) {
      mark.dataset.told = title.textContent;
      mark.setAttribute("aria-label", title.textContent.split("\n").join(", "));
      title.remove();
    }
    return mark.dataset.told;
  }

  function tell(mark) {
    tip.textContent = told(mark);
    tip.hidden = false;
    const at = mark.getBoundingClientRect();
    const left = at.left + at.width / 2 - tip.offsetWidth / 2;
    const above = at.top - tip.offsetHeight - 6;
    tip.style.left = `${Math.max(8, Math.min(left, window.innerWidth - tip.offsetWidth - 8))}px`;
    tip.style.top = `${above > 8 ? above : at.bottom + 6}px`;
  }

  function hush() { tip.hidden = true; }

  // The mark so many places to the right of one, round and round.
  function beside(mark, step) {
    const place = (one) => Number(one.getAttribute("transform").match(/[-.0-9]+/)[0]);
    const marks = Array.from(mark.parentNode.children).sort((one, other) => place(one) - place(other));
    return marks[(marks.indexOf(mark) + step + marks.length) % marks.length];
  }

  for (const group of root.querySelectorAll(".marks")) {
    const find = (event) => event.target.closest(".mark");
    group.addEventListener("pointerover", (event) => tell(find(event)));
    // a finger is lifted at once: what it touched stays told until another place is touched
    group.addEventListener("pointerout", (event) => { if (event.pointerType !== "touch") hush(); });
    group.addEventListener("focusin", (event) => tell(find(event)));
    group.addEventListener("focusout", hush);
    group.addEventListener("keydown", (event) => {
      if (event.key === "Escape") hush();
      const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const next = beside(find(event), step);
      find(event).setAttribute("tabindex", "-1");
      next.setAttribute("tabindex", "0");
      next.focus();
    });
  }
  document.addEventListener("pointerdown", (event) => { if (!event.target.closest(".mark")) hush(); });

  // What has the focus stays told, also where the browser scrolled to show it.
  window.addEventListener("scroll", () => {
    const mark = document.activeElement.closest(".mark");
    if (mark && !tip.hidden) tell(mark); else hush();
  }, { passive: true, capture: true });
})();
