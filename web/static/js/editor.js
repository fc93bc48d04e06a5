// The editor of connectors: line numbers follow the text, a finding leads to its line, Tab indents where it is asked to.
// Without this file the page works the same, but for new lines, which have no number until the text is checked.
(() => {
  "use strict";
  for (const editor of document.querySelectorAll("[data-editor]")) {
    const text = editor.querySelector("textarea");
    const gutter = editor.querySelector(".gutter");
    let lines = Number(text.rows);

    const count = () => {
      const now = Math.max(text.value.split("\n").length, 20) + 1;
      if (now === lines) return;
      text.rows = now;
      if (now > lines) {
        gutter.append(Array.from({ length: now - lines }, (_, index) => `${lines + index + 1}\n`).join(""));
        lines = now;
      }
    };
    text.addEventListener("input", count);

    const goTo = (line) => {
      const before = text.value.split("\n").slice(0, line - 1);
      const start = before.reduce((sum, row) => sum + row.length + 1, 0);
      const end = text.value.indexOf("\n", start);
      text.focus({ preventScroll: true });
      text.setSelectionRange(start, end < 0 ? text.value.length : end);
      const height = text.getBoundingClientRect().height / text.rows;
      editor.scrollTop = Math.max(0, height * (line - 5));
      editor.scrollIntoView({ block: "nearest" });
    };
    for (const link of document.querySelectorAll("[data-line]")) {
      const line = Number(link.dataset.line);
      if (line > 0 && link.getAttribute("href").startsWith("#")) {
        link.addEventListener("click", (event) => {
          event.preventDefault();
          goTo(line);
        });
      }
    }
    const wanted = /^#L(\d+)$/.exec(location.hash);
    if (wanted) goTo(Number(wanted[1]));
  }
})();
