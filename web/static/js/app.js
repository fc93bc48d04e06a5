// What pages gain with a script. Without it every form still posts and every link still leads somewhere.
(() => {
  "use strict";
  const root = document.documentElement;
  const all = (selector, within = document) => [...(within.querySelectorAll?.(selector) ?? [])];

  // ---- theme: system, light, dark, in a round ----
  const themes = ["system", "light", "dark"];
  const nameTheme = () => all("[data-theme-switch]").forEach((button) => {
    const label = `Theme: ${root.dataset.theme ?? "system"}`;
    button.setAttribute("aria-label", label);
    button.title = label;
  });
  const switchTheme = () => {
    const next = themes[(themes.indexOf(root.dataset.theme ?? "system") + 1) % themes.length];
    if (next === "system") delete root.dataset.theme; else root.dataset.theme = next;
    try { localStorage.setItem("theme", next); } catch { /* not remembered, still switched */ }
    nameTheme();
  };

  // ---- times: the server's words are right at load; keep them right, and give the exact time in this zone ----
  const units = [[31536000, "year"], [2592000, "month"], [86400, "day"], [3600, "hour"], [60, "minute"]];
  const relative = new Intl.RelativeTimeFormat("en", { numeric: "always" });
  const clock = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
  const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "numeric", minute: "2-digit" });
  const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
  const words = (seconds) => {
    const [size, unit] = units.find(([size]) => Math.abs(seconds) >= size) ?? [];
    return unit ? relative.format(-Math.trunc(seconds / size), unit) : seconds >= 0 ? "just now" : "in under a minute";
  };
  const tellTimes = (within) => all("time[datetime]", within).forEach((time) => {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) return;
    time.title = exact.format(at);
    if (!time.hasAttribute("data-clock")) time.textContent = words((Date.now() - at) / 1000);
    else time.textContent = (at.toDateString() === new Date().toDateString() ? clock : day).format(at);
  });

  // ---- copying ----
  const copy = async (button) => {
    const source = document.getElementById(button.dataset.copy);
    if (!source) return;
    try {
      await navigator.clipboard.writeText(source.textContent.trim());
    } catch { // no clipboard on this origin: select the text, so that the keyboard can copy it
      getSelection().selectAllChildren(source);
      return;
    }
    button.setAttribute("data-copied", "");
    setTimeout(() => button.removeAttribute("data-copied"), 2000);
  };

  const reveal = (button) => {
    const input = document.getElementById(button.dataset.reveal);
    const show = input.type === "password";
    input.type = show ? "text" : "password";
    button.setAttribute("aria-pressed", String(show));
    button.textContent = show ? "Hide" : "Show";
  };

  // ---- a slug from a name, until the person writes their own ----
  const slugOf = (name) => name.normalize("NFKD").replace(/[\u0300-\u036f]/g, "").toLowerCase()
    .replace(/[^a-z0-9]+/g, "-").slice(0, 30).replace(/^-+|-+$/g, "");
  const suggestSlug = (name) => {
    const slug = document.getElementById(name.dataset.slugFor);
    if (!slug || slug.dataset.own) return;
    slug.value = slugOf(name.value);
    slug.dispatchEvent(new CustomEvent("suggest", { bubbles: true }));
  };

  let toastTimer;
  const toast = (text) => {
    const box = document.getElementById("toast");
    if (!box) return;
    box.textContent = text;
    box.hidden = false;
    clearTimeout(toastTimer);
    toastTimer = setTimeout(() => { box.hidden = true; }, 6000);
  };

  // ---- a button that can be pressed again in so many seconds ----
  const countDown = (button) => {
    const label = button.textContent;
    const end = Date.now() + 1000 * Number(button.dataset.countdown);
    const tick = () => {
      const left = Math.ceil((end - Date.now()) / 1000);
      button.disabled = left > 0;
      button.textContent = left > 0 ? `${label} in ${left} s` : label;
      if (left > 0) setTimeout(tick, 250);
    };
    tick();
  };

  // ---- what takes longer: its button turns, a line says what goes on and since when, and sending it twice is no use ----
  const busy = (form, button) => {
    button?.classList.add("busy");
    button?.setAttribute("aria-disabled", "true");
    const place = button?.closest(".form-actions");
    if (!place) return;
    const note = document.createElement("p");
    const seconds = document.createElement("span");
    note.className = "help busy-note nums";
    note.setAttribute("role", "status");
    seconds.setAttribute("aria-hidden", "true");
    place.append(note);
    note.append(`${form.dataset.busy}… `, seconds);
    const began = Date.now();
    const tick = () => { seconds.textContent = `${Math.round((Date.now() - began) / 1000)} s`; };
    const timer = setInterval(() => { if (note.isConnected) tick(); else clearInterval(timer); }, 1000);
  };
  const rest = (form) => {
    delete form.dataset.sent;
    all(".busy-note", form).forEach((note) => note.remove());
    all(".busy", form).forEach((button) => { button.classList.remove("busy"); button.removeAttribute("aria-disabled"); });
  };

  const prepare = (within) => {
    all("[data-countdown]", within).forEach(countDown);
    tellTimes(within);
    all(".tabs [aria-current]", within).forEach((tab) => { tab.parentElement.scrollLeft = tab.offsetLeft - 48; });
    all("[data-needs-js]", within).forEach((element) => { element.hidden = false; });
  };

  document.addEventListener("click", (event) => {
    const on = (selector) => event.target.closest(selector);
    if (on("[data-theme-switch]")) switchTheme();
    if (on("[data-copy]")) copy(on("[data-copy]"));
    if (on("[data-reveal]")) reveal(on("[data-reveal]"));
    if (on("[data-pick-all]")) {
      const boxes = all("input[name=pick]", on("section"));
      const pick = boxes.some((box) => !box.checked);
      boxes.forEach((box) => { box.checked = pick; });
      on("[data-pick-all]").textContent = pick ? "Pick none" : "Pick all";
    }
    if (on("[data-pause]")) {
      const button = on("[data-pause]");
      const paused = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(paused));
      button.textContent = paused ? "Paused" : "Live";
    }
    all("details.menu[open]").forEach((menu) => { if (!menu.contains(event.target)) menu.open = false; });
  });
  document.addEventListener("input", (event) => {
    if (event.target.matches("[data-slug-for]")) suggestSlug(event.target);
    if (event.target.matches("[data-slug]")) event.target.dataset.own = event.target.value ? "yes" : "";
  });
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || !form.matches("[data-busy]")) return;
    if (form.dataset.sent) { event.preventDefault(); return; }
    form.dataset.sent = "yes";
    const button = event.submitter;
    setTimeout(() => { if (form.dataset.sent) busy(form, button); }, 300);
    setTimeout(() => rest(form), 60000); // an answer that never came
  });
  addEventListener("pageshow", (event) => { if (event.persisted) all("form[data-busy]").forEach(rest); });
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-submits]")) event.target.form.requestSubmit();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      const menu = event.target.closest?.("details.menu[open]");
      if (menu) { menu.open = false; menu.querySelector("summary").focus(); }
      else if (!event.target.matches("input, select, textarea")) document.querySelector("[data-close]")?.click();
    }
    if ((event.key === "ArrowDown" || event.key === "ArrowUp") && event.target.matches?.(".row-link")) {
      const rows = all(".row-link");
      rows[rows.indexOf(event.target) + (event.key === "ArrowDown" ? 1 : -1)]?.focus();
      event.preventDefault();
    }
  });

  // ---- htmx: what keeps a living list from getting in the way ----
  const seen = new WeakMap();
  const resting = () => document.hidden || scrollY > 200 || !getSelection().isCollapsed
    || document.querySelector("[data-pause]")?.getAttribute("aria-pressed") === "true";
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.target.matches("[data-live]") && resting()) event.preventDefault();
  });
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { xhr, target } = event.detail;
    if (["/login", "/account/security"].includes(new URL(xhr.responseURL || location.href).pathname)) {
      event.detail.shouldSwap = false;
      location.reload();
    } else if (target?.matches("[data-live]")) {
      if (seen.get(document.body) === xhr.responseText) event.detail.shouldSwap = false;
      seen.set(document.body, xhr.responseText);
    }
  });
  document.addEventListener("htmx:load", (event) => prepare(event.target));
  document.addEventListener("htmx:responseError", (event) => {
    if (!event.target.matches("[data-live]")) toast(`That did not work (${event.detail.xhr.status}). Reload the page and try again.`);
  });
  document.addEventListener("htmx:sendError", (event) => {
    if (!event.target.matches("[data-live]")) toast("The console could not be reached. Check your connection and try again.");
  });

  setInterval(() => tellTimes(document), 20000);
  prepare(document);
  nameTheme();
})();
