// Starts everything that the page holds.
function setUpTheme() {
  const root = document.documentElement;
  const button = document.getElementById('theme');
  const dark = () => (root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches);
  const show = () => { button.textContent = dark() ? 'Light' : 'Dark'; };
  try {
    const kept = localStorage.getItem('theme');
    if (kept === 'dark' || kept === 'light') root.dataset.theme = kept;
  } catch { /* a browser may forbid it for files */ }
  button.hidden = false;
  button.addEventListener('click', () => {
    root.dataset.theme = dark() ? 'light' : 'dark';
    try { localStorage.setItem('theme', root.dataset.theme); } catch { /* the same */ }
    show();
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', show);
  show();
}

// Print all that is folded, and fold it again afterwards.
function setUpPrinting() {
  let opened = [];
  addEventListener('beforeprint', () => {
    opened = [...document.querySelectorAll('details:not([open])')];
    opened.forEach((each) => { each.open = true; });
  });
  addEventListener('afterprint', () => opened.forEach((each) => { each.open = false; }));
}

// Load a live page again, at the same place and with the same parts open; not while a reader looks at a cell or types.
function setUpRefresh() {
  const seconds = Number(document.body.dataset.refresh);
  if (!seconds) return;
  const key = `place in ${location.pathname}`;
  const folds = () => [...document.querySelectorAll('details')];
  const heading = (fold) => fold.querySelector('summary').textContent;
  try {
    const kept = JSON.parse(sessionStorage.getItem(key));
    if (kept) {
      folds().forEach((each) => { each.open = kept.open.includes(heading(each)); });
      scrollTo(0, kept.top);
    }
  } catch { /* a browser may forbid it for files */ }
  setInterval(() => {
    const busy = document.hidden || document.querySelector('dialog[open]')
      || document.activeElement?.matches('input, select');
    if (busy) return;
    try {
      const open = folds().filter((each) => each.open).map(heading);
      sessionStorage.setItem(key, JSON.stringify({ top: scrollY, open }));
    } catch { /* the same */ }
    location.reload();
  }, 1000 * seconds);
}

function start() {
  setUpTheme();
  setUpRefresh();
  setUpPrinting();
  document.querySelectorAll('.command').forEach(addCopy);
  const holder = document.getElementById('data');
  if (!holder) return;
  const data = JSON.parse(holder.textContent);
  const table = document.getElementById('matrix');
  const matrix = table ? new Matrix(table, data) : null;
  const view = new CellView(document.getElementById('cell'), data);
  const versus = document.getElementById('versus');
  const videos = versus && data.videos ? new Disagreements(versus, data) : null;
  const restore = () => {
    const state = readState();
    videos?.restore(state);
    matrix?.restore(state);
    view.show(state.get('cell'));
  };
  addEventListener('popstate', restore);
  restore();
  document.documentElement.dataset.ready = 'yes';
}

start();
