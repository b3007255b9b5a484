// Runs before the first paint: the choice of light or dark that was kept, or the system's.
(() => {
  try {
    const kept = localStorage.getItem("wsplatform.theme");
    if (kept === "light" || kept === "dark") document.documentElement.dataset.theme = kept;
  } catch {
    // Storage can be forbidden; the system's choice holds then.
  }
})();
