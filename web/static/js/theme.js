// Runs before the first paint, so that a remembered theme shows without a flash. Everything else waits in app.js.
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  try {
    const theme = localStorage.getItem("theme");
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  } catch { /* storage is switched off: the system's theme holds */ }
})();
