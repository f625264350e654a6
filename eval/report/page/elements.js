'use strict';

// Builds an element. Text is always set as text, never as markup. Attributes that are null are left out.
function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== ''));
  return element;
}

// A name in its own direction, so that right-to-left names do not turn what stands beside them around.
const named = (text) => make('bdi', null, String(text));

// A table from a list of headings and of rows; entries are texts or elements.
function tabled(head, rows, kind) {
  const entry = (tag, value) => make(tag, tag === 'th' ? { scope: 'row' } : null, value instanceof Node ? value : named(value));
  const body = make('tbody', null, ...rows.map((row) => make('tr', null, ...row.map((value, i) => entry(i ? 'td' : 'th', value)))));
  const header = head ? make('thead', null, make('tr', null, ...head.map((text) => make('th', { scope: 'col' }, named(text))))) : null;
  return make('table', { class: kind || 'plain' }, header, body);
}

const scrolled = (label, child) => make('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': label }, child);

const folded = (heading, ...children) => make('details', null, make('summary', null, heading), ...children);

function command(label, text) {
  const block = make('div', { class: 'command' }, label ? make('p', null, label) : null, make('pre', { tabindex: '0' }, make('code', null, text)));
  addCopy(block);
  return block;
}

// A button that copies the text of a command; where the browser does not allow that, it selects the text.
function addCopy(block) {
  const button = make('button', { type: 'button', class: 'copy' }, 'Copy');
  button.addEventListener('click', async () => {
    const code = block.querySelector('code');
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = 'Copied';
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = 'Selected';
    }
    setTimeout(() => { button.textContent = 'Copy'; }, 1500);
  });
  block.append(button);
}

// What the part of the address behind # says: a cell that is open, filters, order. A plain anchor says nothing.
function readState() {
  const text = location.hash.slice(1);
  return new URLSearchParams(text.includes('=') ? text : '');
}

// Puts the state into the address. `push` makes the browser's back button return to the state before.
function writeState(changes, push) {
  const state = readState();
  for (const [key, value] of Object.entries(changes)) {
    if (value) state.set(key, value);
    else state.delete(key);
  }
  const text = state.toString().replaceAll('+', '%20');
  const address = location.pathname + location.search + (text ? `#${text}` : '');
  if (push) history.pushState(null, '', address);
  else history.replaceState(null, '', address);
}
