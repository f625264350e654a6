// What is behind a number, in a dialog: score, classes, and each record with its settings, log and curves.
class CellView {
  constructor(dialog, data) {
    this.dialog = dialog;
    this.data = data;
    this.columns = new Map(data.columns.map((column) => [column.name, column]));
    dialog.addEventListener('close', () => {
      writeState({ cell: null });
      document.querySelector(`a[data-cell="${CSS.escape(this.shown)}"]`)?.focus({ preventScroll: true });
      this.shown = null;
    });
    dialog.addEventListener('click', (event) => { if (event.target === dialog) dialog.close(); });
    document.addEventListener('click', (event) => {
      const link = event.target.closest('a[href^="#cell="]');
      if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      const id = new URLSearchParams(link.getAttribute('href').slice(1)).get('cell');
      writeState({ cell: id }, true);
      this.show(id);
    });
  }

  // Shows a cell; null closes the dialog.
  show(id) {
    if (id === this.shown) return;
    if (!id) {
      if (this.dialog.open) this.dialog.close();
      return;
    }
    this.shown = id;
    const cell = this.data.cells[id];
    const close = make('button', { type: 'button' }, 'Close');
    close.addEventListener('click', () => this.dialog.close());
    const title = make('h2', { id: 'cell-title', dir: 'auto' }, id);
    const parts = cell ? this.parts(cell) : [make('p', null, 'This page has no such cell. It may have been renamed since the link was made.')];
    this.dialog.replaceChildren(make('div', { class: 'bar' }, title, close), ...parts);
    if (!this.dialog.open) this.dialog.showModal();
    this.dialog.scrollTop = 0;
    close.focus({ preventScroll: true });
  }

  parts(cell) {
    const column = this.columns.get(cell.column);
    const what = [column.metric, column.unit === 'percent' ? 'in percent' : `as a ${column.unit}`, column.higher ? '' : '(lower is better)'];
    const about = [cell.interval ? `95 % interval: ${cell.interval} (${cell.how})` : cell.how];
    if (!cell.published) about.push(`seeds: ${cell.seeds}`);
    if (column.chance !== null) about.push(`chance: ${column.chance}`);
    if (column.commonest !== null) about.push(`commonest class: ${column.commonest}`);
    const found = [
      make('p', { class: 'large' }, cell.value, make('small', { class: 'note' }, ` ${what.filter(Boolean).join(' ')}`)),
      make('p', { class: 'note' }, about.join('; ')),
    ];
    if (cell.coverage < 100) found.push(make('p', null, `Only ${cell.coverage} % of the videos were scored${cell.left_out ? ', so this score counts in no mean or comparison.' : '.'}`));
    if (cell.parts) {
      found.push(make('h3', null, 'Mean of'), tabled(['column', 'score'], cell.parts.map((id) => [this.link(id), this.data.cells[id].value])));
      return found;
    }
    if (cell.classes && column.classes) found.push(...this.classes(cell, column.classes));
    found.push(make('h3', null, cell.records.length > 1 ? `${cell.records.length} records, one per seed` : 'Record'));
    cell.records.forEach((number, i) => found.push(this.record(this.data.records[number], column, i === 0)));
    return found;
  }

  link(id) {
    const column = this.data.cells[id].column;
    return make('a', { href: `#cell=${encodeURIComponent(id)}` }, named(column));
  }

  classes(cell, classes) {
    const order = cell.classes.map((_, i) => i).filter((i) => cell.classes[i] !== null);
    order.sort((a, b) => cell.classes[a] - cell.classes[b]);
    const rows = order.map((i) => [classes.names[i], String(classes.counts[i]), cell.classes[i].toFixed(1)]);
    const table = tabled(['class', classes.counted, `${classes.score}, percent`], rows, 'plain classes');
    [...table.tBodies[0].rows].forEach((line, i) => {
      line.lastElementChild.classList.add('share');
      line.lastElementChild.style.setProperty('--share', cell.classes[order[i]]);
    });
    const found = [folded(`Scores by class (${order.length}, the lowest first)`, scrolled('Scores by class', table))];
    if (cell.confusions.length) {
      const lines = cell.confusions.map(([right, taken, count]) => [classes.names[right], classes.names[taken], String(count)]);
      const inside = [scrolled('Commonest confusions', tabled(['true class', 'taken for', 'videos, all seeds'], lines))];
      if (cell.matrix.length) inside.push(this.confusion(cell.matrix, classes.names));
      found.push(folded('Which classes are taken for which', ...inside));
    }
    return found;
  }

  confusion(matrix, names) {
    const size = names.length;
    const rows = names.map((name, i) => [name, ...matrix.slice(i * size, (i + 1) * size).map(String)]);
    const table = tabled(['true \\ predicted', ...names], rows, 'confusion');
    [...table.tBodies[0].rows].forEach((line, i) => {
      const total = matrix.slice(i * size, (i + 1) * size).reduce((sum, count) => sum + count, 0);
      [...line.cells].slice(1).forEach((entry, j) => {
        entry.style.setProperty('--heat', total ? (100 * matrix[i * size + j]) / total : 0);
        if (i === j) entry.classList.add('right');
      });
    });
    return scrolled('Confusion matrix', table);
  }

  record(record, column, open) {
    const seed = record.seed === null ? '' : `, seed ${record.seed}`;
    const block = folded(`${record.name}${seed}`);
    block.firstElementChild.dir = 'auto';
    block.open = open;
    const fill = () => { if (block.childElementCount === 1) block.append(...this.recordParts(record, column)); };
    if (open) fill();
    else block.addEventListener('toggle', fill, { once: true });
    return block;
  }

  recordParts(record, column) {
    const found = [make('p', null, record.scores.map(([name, value]) => `${name} ${value}`).join(', '))];
    if (record.changes.length) {
      found.push(make('h3', null, 'Changes from the recipe'), scrolled('Changes from the recipe', tabled(['setting', 'recipe', 'this cell'], record.changes)));
    } else if (!record.published && record.facts['recipe.name']) {
      found.push(make('p', null, `Settings: those of the recipe ${record.facts['recipe.name']}, unchanged.`));
    }
    found.push(this.facts(record.facts));
    if (record.curves && Object.keys(record.curves).length) {
      found.push(make('h3', null, 'Learning curves'), make('div', { class: 'curves' }, ...Object.entries(record.curves).map(([name, curve]) => drawCurve(name, curve))));
    }
    if (record.unscored.length) found.push(make('h3', null, 'Videos without a score'), scrolled('Videos without a score', tabled(['video', 'reason'], record.unscored)));
    if (record.notes.length) found.push(make('h3', null, 'Notes'), make('ul', null, ...record.notes.map((note) => make('li', { dir: 'auto' }, note))));
    if (record.settings) found.push(...this.settings(record.settings, column.settings));
    if (record.log) found.push(folded('End of the log', make('p', { class: 'note' }, named(record.log.path)), make('pre', { tabindex: '0' }, record.log.tail)));
    if (record.command) found.push(make('h3', null, 'Command'), command('', record.command));
    return found;
  }

  facts(facts) {
    const blocks = Object.entries(this.data.labels).map(([section, labels]) => {
      const shown = (key) => (/sha256$|^cell.id$/.test(key) ? make('code', { class: 'hash' }, facts[key]) : String(facts[key]));
      const rows = Object.entries(labels).filter(([key]) => facts[key] !== undefined).map(([key, label]) => [label, shown(key)]);
      return rows.length ? make('div', null, make('h3', null, section), tabled(null, rows, 'fact')) : null;
    });
    return make('div', { class: 'facts' }, ...blocks);
  }

  settings(changed, base) {
    const keys = Object.keys(changed);
    const found = [];
    if (keys.length) {
      const rows = keys.map((key) => [key, base[key] ?? 'not set', changed[key] ?? 'not set']);
      found.push(folded(`Settings unlike those of the first record of this column (${keys.length})`, scrolled('Settings', tabled(['setting', 'there', 'here'], rows))));
    }
    const all = folded(`All settings`);
    all.addEventListener('toggle', () => {
      const own = Object.entries({ ...base, ...changed }).filter(([, value]) => value !== null).sort();
      all.append(scrolled('All settings', tabled(['setting', 'value'], own)));
    }, { once: true });
    return [...found, all];
  }
}

// A small curve with the range of both axes.
function drawCurve(name, [steps, values]) {
  const [wide, high, left, bottom] = [320, 140, 44, 22];
  const space = 'http://www.w3.org/2000/svg';
  const svg = document.createElementNS(space, 'svg');
  svg.setAttribute('viewBox', `0 0 ${wide} ${high}`);
  svg.setAttribute('role', 'img');
  const [low, top] = [Math.min(...values), Math.max(...values)];
  const [first, last] = [steps[0], steps[steps.length - 1]];
  const x = (step) => left + ((wide - left - 8) * (step - first)) / (last - first || 1);
  const y = (value) => high - bottom - ((high - bottom - 18) * (value - low)) / (top - low || 1);
  const add = (tag, attributes, text) => {
    const part = document.createElementNS(space, tag);
    for (const [key, value] of Object.entries(attributes)) part.setAttribute(key, value);
    if (text) part.textContent = text;
    svg.append(part);
  };
  const shown = (value) => String(Number(value.toPrecision(3)));
  svg.setAttribute('aria-label', `${name}: from ${shown(values[0])} to ${shown(values[values.length - 1])} in ${last} steps`);
  add('line', { x1: left, x2: wide - 8, y1: high - bottom, y2: high - bottom });
  add('line', { x1: left, x2: left, y1: 18, y2: high - bottom });
  add('path', { d: steps.map((step, i) => `${i ? 'L' : 'M'}${x(step).toFixed(1)} ${y(values[i]).toFixed(1)}`).join('') });
  add('text', { x: 0, y: 12 }, name);
  add('text', { x: 0, y: y(top) + 4 }, shown(top));
  add('text', { x: 0, y: y(low) }, shown(low));
  add('text', { x: left, y: high - 6 }, `step ${first}`);
  add('text', { x: wide - 8, y: high - 6, 'text-anchor': 'end' }, String(last));
  return make('figure', null, svg);
}
