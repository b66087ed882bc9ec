// Short notices at the edge of the page, read aloud where somebody listens.

import { el, icon, leave, portrait } from './dom.js';

const SHOWN = 4;
const LASTS = 9_000;

const root = document.querySelector('[data-testid=toasts]');

/** Takes away what was meant for somebody else. */
export function clearToasts() {
  root.replaceChildren();
}

/** Shows a notice: `{event, title, text, person, href}`. */
export function toast({ event, title, text, person, href }) {
  const words = [el('strong', { text: title }), text && el('span', { text })];
  const node = el(
    'div',
    { class: 'toast', data: { testid: 'toast', event: event ?? '' } },
    person ? portrait(person, 32) : null,
    href ? el('a', { href }, words) : el('div', {}, words),
    el('button', { type: 'button', class: 'quiet', 'aria-label': 'Dismiss', on: { click: () => leave(node) } }, icon('close')),
  );
  root.append(node);
  while (root.childElementCount > SHOWN) root.firstElementChild.remove();
  setTimeout(() => leave(node), LASTS);
}
