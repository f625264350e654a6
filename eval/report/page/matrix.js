// The heat table: sort by a column, filter by encoder, protocol and dataset, walk over cells with the arrow keys.
class Matrix {
  constructor(table, data) {
    this.table = table;
    this.data = data;
    this.body = table.tBodies[0];
    this.lines = [...this.body.rows];
    this.form = document.getElementById('filters');
    this.encoder = document.getElementById('filter-encoder');
    this.protocol = document.getElementById('filter-protocol');
    this.dataset = document.getElementById('filter-dataset');
    this.byColumn = data.columns.map(() => []);
    for (const cell of table.querySelectorAll('[data-column]')) this.byColumn[Number(cell.dataset.column)].push(cell);
    this.setUpFilters();
    this.setUpSorting();
    table.addEventListener('keydown', (event) => this.walk(event));
  }

  setUpFilters() {
    for (const [select, key] of [[this.protocol, 'protocol'], [this.dataset, 'dataset']]) {
      const names = new Set(this.data.columns.filter((column) => !column.mean).map((column) => column[key]));
      for (const name of names) select.append(make('option', { value: name }, name));
    }
    this.form.hidden = false;
    this.form.addEventListener('submit', (event) => event.preventDefault());
    this.form.addEventListener('reset', () => setTimeout(() => this.changed()));
    this.form.addEventListener('input', () => this.changed());
  }

  setUpSorting() {
    for (const head of this.table.querySelectorAll('th[data-sort]')) {
      head.setAttribute('aria-sort', 'none');
      const button = make('button', { type: 'button', class: 'sort' }, ...head.childNodes);
      head.append(button);
      button.addEventListener('click', () => {
        const state = readState();
        const same = state.get('sort') === head.dataset.sort;
        // best first, worst first, as it was
        const next = !same ? { sort: head.dataset.sort, order: null }
          : state.get('order') ? { sort: null, order: null } : { sort: head.dataset.sort, order: 'worst' };
        writeState(next);
        this.sort(next.sort, Boolean(next.order));
      });
    }
  }

  changed() {
    writeState({ encoder: this.encoder.value, protocol: this.protocol.value, dataset: this.dataset.value });
    this.filter();
  }

  // Takes over what the address says.
  restore(state) {
    this.encoder.value = state.get('encoder') || '';
    this.protocol.value = state.get('protocol') || '';
    this.dataset.value = state.get('dataset') || '';
    this.filter();
    this.sort(state.get('sort'), Boolean(state.get('order')));
  }

  filter() {
    const wanted = this.encoder.value.toLowerCase().split(',').map((part) => part.trim()).filter(Boolean);
    let rows = 0;
    for (const line of this.lines) {
      const name = line.dataset.row.toLowerCase();
      line.hidden = wanted.length > 0 && !wanted.some((part) => name.includes(part));
      rows += !line.hidden;
    }
    const chosen = this.protocol.value || this.dataset.value;
    const keep = this.data.columns.map((column) => !chosen || (!column.mean
      && (!this.protocol.value || column.protocol === this.protocol.value)
      && (!this.dataset.value || column.dataset === this.dataset.value)));
    this.byColumn.forEach((cells, number) => cells.forEach((cell) => { cell.hidden = !keep[number]; }));
    for (const head of this.table.querySelectorAll('th[data-columns]')) {
      const count = head.dataset.columns.split(' ').filter((number) => keep[Number(number)]).length;
      head.hidden = count === 0;
      head.colSpan = Math.max(1, count);
    }
    const columns = keep.filter(Boolean).length;
    document.getElementById('shown').textContent =
      `${rows} of ${this.lines.length} encoders, ${columns} of ${keep.length} columns`;
  }

  sort(by, worstFirst) {
    for (const head of this.table.querySelectorAll('th[data-sort]')) {
      const down = head.dataset.sort === by;
      head.setAttribute('aria-sort', down ? (worstFirst ? 'ascending' : 'descending') : 'none');
    }
    const lines = [...this.lines];
    const column = this.data.columns.find((each) => each.name === by);
    if (by === 'name') {
      lines.sort((a, b) => (worstFirst ? -1 : 1) * a.dataset.row.localeCompare(b.dataset.row));
    } else if (column) {
      const sign = (column.higher ? -1 : 1) * (worstFirst ? -1 : 1);
      const value = (line) => this.data.cells[`${line.dataset.row} | ${by}`]?.mean;
      const keyed = lines.map((line) => [line, value(line)]);
      // Rows without a number come last in both orders.
      keyed.sort(([, a], [, b]) => (a === undefined) - (b === undefined) || (a === undefined ? 0 : sign * (a - b)));
      keyed.forEach(([line], i) => { lines[i] = line; });
    }
    this.body.append(...lines);
  }

  // Arrow keys move from one number to the next, past hidden and missing cells.
  walk(event) {
    const step = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
    const cell = event.target.closest('tbody td');
    if (!step || !cell || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const rows = [...this.body.rows].filter((line) => !line.hidden);
    let [row, column] = [rows.indexOf(cell.parentElement), cell.cellIndex];
    for (;;) {
      row += step[0];
      column += step[1];
      const next = rows[row]?.cells[column];
      if (!next) return;
      const link = next.hidden ? null : next.querySelector('a');
      if (link) {
        event.preventDefault();
        link.focus();
        return;
      }
    }
  }
}
