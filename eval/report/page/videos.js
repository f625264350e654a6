// Videos that one encoder gets right and another wrong. A reader picks the column and the two encoders.
class Disagreements {
  constructor(root, data) {
    this.root = root;
    this.videos = data.videos;
    this.classes = new Map(data.columns.map((column) => [column.name, column.classes]));
    this.column = this.select('Column', 'versus-column', this.videos.columns.map((each) => each.column));
    this.first = this.select('Encoder', 'versus-first', []);
    this.second = this.select('against', 'versus-second', []);
    this.form = make('form', { class: 'filters' }, ...[this.column, this.first, this.second].map((each) => each.parentElement));
    this.lists = make('div', { 'aria-live': 'polite' });
    root.append(this.form, this.lists);
    this.form.addEventListener('submit', (event) => event.preventDefault());
    this.form.addEventListener('change', (event) => {
      if (event.target === this.column) this.fillRows();
      writeState({ versus: this.column.value, first: this.first.value, second: this.second.value });
      this.show();
    });
  }

  select(label, id, names) {
    const select = make('select', { id }, ...names.map((name) => make('option', { value: name }, name)));
    make('label', { for: id }, label, select);
    return select;
  }

  get entry() {
    return this.videos.columns.find((each) => each.column === this.column.value);
  }

  restore(state) {
    if (this.videos.columns.some((each) => each.column === state.get('versus'))) this.column.value = state.get('versus');
    this.fillRows(state.get('first'), state.get('second'));
    this.show();
  }

  // The two encoders that were chosen, if the column has them; else the pair that disagrees most.
  fillRows(first = this.first.value, second = this.second.value) {
    const { rows, pairs } = this.entry;
    for (const select of [this.first, this.second]) select.replaceChildren(...rows.map((name) => make('option', { value: name }, name)));
    if (rows.includes(first) && rows.includes(second) && first !== second) {
      this.first.value = first;
      this.second.value = second;
      return;
    }
    let best = [0, 1];
    rows.forEach((_, i) => rows.forEach((__, j) => { if (pairs[i][j] > pairs[best[0]][best[1]]) best = [i, j]; }));
    [this.first.value, this.second.value] = [rows[best[0]], rows[best[1]]];
  }

  show() {
    const { rows, pairs, items, num_videos: total } = this.entry;
    const [a, b] = [rows.indexOf(this.first.value), rows.indexOf(this.second.value)];
    if (a === b) {
      this.lists.replaceChildren(make('p', null, 'Choose two different encoders.'));
      return;
    }
    this.lists.replaceChildren(...[[a, b], [b, a]].flatMap(([right, wrong]) => {
      const shown = items.filter((item) => item.right[right] === 1 && item.right[wrong] === 0);
      const heading = make('h3', null, named(rows[right]), ' right, ', named(rows[wrong]), ` wrong: ${pairs[right][wrong]} of ${total} videos`);
      const some = shown.length < pairs[right][wrong] ? make('p', { class: 'note' }, shown.length ? `${shown.length} of them are here.` : 'None of them is here.') : null;
      return [heading, some, make('div', { class: 'clips' }, ...shown.map((item) => this.clip(item, right, wrong)))].filter(Boolean);
    }));
  }

  clip(item, right, wrong) {
    const { rows } = this.entry;
    const names = this.classes.get(this.column.value)?.names;
    const word = (number) => named(names ? names[number] : `class ${number}`);
    const picture = item.clip === undefined ? make('div', { class: 'unseen', title: item.why }, 'not shown, see below') : this.player(item);
    return make('figure', { class: 'clip' }, picture, make('figcaption', null,
      make('div', null, make('b', null, word(item.label))),
      make('div', { class: 'good' }, '\u2713 ', named(rows[right])),
      make('div', { class: 'bad' }, '\u2717 ', named(rows[wrong]), ' says ', word(item.given[wrong])),
      make('div', { class: 'note' }, named(item.video))));
  }

  player(item) {
    const video = make('video', {
      controls: '', loop: '', playsinline: '', preload: 'metadata', 'aria-label': `clip of ${item.video}`,
      src: `data:video/mp4;base64,${this.videos.clips[item.clip]}`,
    });
    video.muted = true;
    return video;
  }
}
