// The event log: everything that came over the socket, newest first, and what was asked.

import { el } from './dom.js';

/** More than anybody scrolls back; the oldest entries go. */
const KEPT = 300;

const TOKEN = /("(?:\\.|[^"\\])*")(\s*:)?|\b(true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/** Indented JSON, coloured. */
function pretty(value) {
  const text = JSON.stringify(value, null, 2) ?? 'nothing';
  const pre = el('pre', { class: 'json', tabindex: '0' });
  let end = 0;
  for (const match of text.matchAll(TOKEN)) {
    pre.append(text.slice(end, match.index));
    const kind = match[2] ? 'key' : match[1] ? 'string' : match[3] ? 'word' : 'number';
    pre.append(el('span', { class: kind, text: match[1] ?? match[0] }), match[2] ?? '');
    end = match.index + match[0].length;
  }
  pre.append(text.slice(end));
  return pre;
}

/** The payload in a few words; of what we sent, what stands behind the name. */
function gist(kind, value) {
  if (kind === 'sent') return value.length > 1 ? `with ${JSON.stringify(value[1])}` : 'with nothing';
  if (value === undefined) return '';
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  return Object.entries(value)
    .map(([key, entry]) => {
      if (Array.isArray(entry)) return `${key} [${entry.length}]`;
      if (entry === null || typeof entry !== 'object') return `${key} ${entry}`;
      return `${key} ${entry.title ? `“${entry.title}”` : (entry.name ?? entry.id ?? entry.code ?? '{…}')}`;
    })
    .join(' · ');
}

function family(name) {
  if (/vote/i.test(name)) return 'vote';
  if (/comment/i.test(name)) return 'comment';
  if (/access|error|expired|refused/i.test(name)) return 'access';
  if (/post/i.test(name)) return 'post';
  if (/notification/.test(name)) return 'notification';
  return 'other';
}

function clock(date) {
  return `${date.toLocaleTimeString('en-GB')}.${String(date.getMilliseconds()).padStart(3, '0')}`;
}

export class Tape {
  #list = document.querySelector('[data-testid=log]');
  #filter = document.querySelector('[data-testid=log-filter]');
  #cursor = document.querySelector('[data-testid=cursor]');
  #count = document.querySelector('[data-testid=log-count]');
  #badge = document.querySelector('[data-testid=log-badge]');
  #events = 0;

  constructor() {
    this.#filter.addEventListener('input', () => {
      for (const entry of this.#list.children) this.#applyFilter(entry);
    });
    document.querySelector('[data-testid=log-clear]').addEventListener('click', () => this.clear());
  }

  clear() {
    this.#list.replaceChildren();
    this.#events = 0;
    this.#tally();
  }

  /** An event of the server. */
  event(name, payload, meta) {
    const arrived = new Date();
    const notes = [];
    if (meta?.cursor !== undefined) {
      this.#cursor.textContent = meta.cursor;
      notes.push(el('dt', { text: 'meta.cursor' }), el('dd', { text: meta.cursor, data: { testid: 'log-cursor' } }));
    }
    if (meta?.at !== undefined) {
      notes.push(el('dt', { text: 'meta.at' }), el('dd', { text: meta.at }));
      const age = arrived - new Date(meta.at);
      if (age >= 0) notes.push(el('dt', { text: 'arrived' }), el('dd', { text: `${age} ms later` }));
    }
    this.#events += 1;
    this.#add('event', name, payload, arrived, notes);
  }

  /** A cursor that came with an acknowledgement or a session. */
  cursor(cursor) {
    if (typeof cursor === 'string') this.#cursor.textContent = cursor;
  }

  /** What we emit: the name and what stands behind it, if anything does. */
  sent(name, argument) {
    this.#add('sent', name, argument === undefined ? [name] : [name, argument], new Date(), []);
  }

  ack(name, answer) {
    this.#add(answer.ok ? 'ack' : 'nack', name, answer, new Date(), []);
  }

  #add(kind, name, payload, time, notes) {
    const label = { event: '', sent: 'we ask', ack: 'ack', nack: 'refused' }[kind];
    const entry = el(
      'li',
      { data: { testid: 'log-entry', event: name, kind, family: kind === 'nack' ? 'access' : family(name) } },
      el(
        'details',
        {},
        el(
          'summary',
          {},
          el('time', { datetime: time.toISOString(), text: clock(time) }),
          el('span', { class: 'name' }, label && el('em', { text: label }), name),
          el('span', { class: 'gist', text: gist(kind, payload) }),
        ),
      ),
    );
    // Most entries are never opened; their JSON is laid out when they are.
    const details = entry.firstElementChild;
    details.addEventListener('toggle', () => {
      if (details.childElementCount > 1) return;
      details.append(pretty(payload));
      if (notes.length) details.append(el('dl', {}, notes));
    });
    this.#applyFilter(entry);
    this.#list.prepend(entry);
    while (this.#list.childElementCount > KEPT) this.#list.lastElementChild.remove();
    this.#tally();
  }

  #applyFilter(entry) {
    const wanted = this.#filter.value.trim().toLowerCase();
    entry.hidden = wanted !== '' && !entry.textContent.toLowerCase().includes(wanted);
  }

  #tally() {
    this.#count.textContent = this.#events === 1 ? '1 event' : `${this.#events} events`;
    this.#badge.textContent = this.#events > 99 ? '99+' : String(this.#events);
  }
}
