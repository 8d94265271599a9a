// The theme, chosen before the first paint: what the system wants unless somebody chose otherwise.
// A plain script and not a module, because a module would run after the page was shown.
(() => {
  const kept = localStorage.getItem('berth-theme');
  document.documentElement.dataset['theme'] = kept === 'light' || kept === 'dark' ? kept : 'system';
})();
