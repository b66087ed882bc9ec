// Building the page. Data reaches it as text nodes and attributes only, never as markup.

const SVG = 'http://www.w3.org/2000/svg';

const ICONS = {
  up: 'M8 3.2 13 9H9.6v4H6.4V9H3z',
  lock: 'M4.5 7V5.2a3.5 3.5 0 0 1 7 0V7H13v7H3V7zm1.6 0h3.8V5.2a1.9 1.9 0 0 0-3.8 0z',
  unlock: 'M6.1 7H13v7H3V7h1.5V4.6a3.5 3.5 0 0 1 6.6-1.7l-1.4.8A1.9 1.9 0 0 0 6.1 4.6z',
  talk: 'M2 2.5h12v8.5H8.2L4.8 14v-3H2z',
  window: 'M2 3h7v1.6H3.6v7.8h7.8V9H13v5H2zm8.5-1H14v3.5h-1.5V4.6L8.6 8.5 7.5 7.4l3.9-3.9h-.9z',
  close: 'm4.2 3.1 3.8 3.8 3.8-3.8 1.1 1.1L9.1 8l3.8 3.8-1.1 1.1L8 9.1l-3.8 3.8-1.1-1.1L6.9 8 3.1 4.2z',
  gear: 'M7 1.5h2l.3 1.8 1.3.6 1.5-1 1.4 1.4-1 1.5.6 1.3 1.8.3v2l-1.8.3-.6 1.3 1 1.5-1.4 1.4-1.5-1-1.3.6L9 15.3H7l-.3-1.8-1.3-.6-1.5 1-1.4-1.4 1-1.5-.6-1.3-1.8-.3v-2l1.8-.3.6-1.3-1-1.5 1.4-1.4 1.5 1 1.3-.6zM8 6a2.4 2.4 0 1 0 0 4.8A2.4 2.4 0 0 0 8 6z',
};

/** An element. `props` are attributes, except `on` (listeners), `data` (data-*) and `text`. */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === 'on') for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    else if (name === 'data') for (const [key, entry] of Object.entries(value)) node.dataset[key] = entry;
    else if (name === 'text') node.textContent = value;
    else if (name === 'value' || name === 'checked' || name === 'disabled') node[name] = value;
    else node.setAttribute(name, value === true ? '' : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** A drawing that says nothing to a screen reader; the words beside it do. */
export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 16 16');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', ICONS[name]);
  path.setAttribute('fill-rule', 'evenodd');
  svg.append(path);
  return svg;
}

/** Somebody's portrait. Only pictures of our own origin are loaded. */
export function portrait(person, size = 24) {
  const source = person.profile_picture_url;
  if (typeof source === 'string' && source.startsWith('/')) {
    return el('img', { class: 'portrait', src: source, alt: '', width: size, height: size });
  }
  return el('span', { class: 'portrait', 'aria-hidden': 'true', text: (person.name ?? '?').slice(0, 1) });
}

const RELATIVE = new Intl.RelativeTimeFormat('en', { numeric: 'auto', style: 'short' });
const UNITS = [['day', 86_400], ['hour', 3_600], ['minute', 60]];

function ago(time) {
  const seconds = (Date.now() - new Date(time).getTime()) / 1000;
  const unit = UNITS.find(([, length]) => seconds >= length);
  return unit ? RELATIVE.format(-Math.floor(seconds / unit[1]), unit[0]) : 'just now';
}

/** A time that reads "5 min ago" and is kept true. */
export function timeAgo(time) {
  return el('time', { class: 'ago', datetime: time, title: new Date(time).toLocaleString('en'), text: ago(time) });
}

setInterval(() => {
  for (const time of document.querySelectorAll('time.ago')) time.textContent = ago(time.dateTime);
}, 20_000);

/** Runs a CSS animation of the class again. */
export function replay(node, name) {
  node.classList.remove(name);
  void node.offsetWidth;
  node.classList.add(name);
}

/** Takes an element out, after its leaving animation where there is one. */
export function leave(node) {
  node.classList.add('leaving');
  node.inert = true;
  Promise.allSettled(node.getAnimations().map((animation) => animation.finished)).then(() => node.remove());
}

/** A button that asks once more before it does what can't be undone. */
export function twoStep(label, confirmation, props, act) {
  let timer;
  const button = el('button', { type: 'button', ...props, text: label });
  const calm = () => {
    clearTimeout(timer);
    button.textContent = label;
    delete button.dataset.armed;
  };
  button.addEventListener('click', () => {
    if (button.dataset.armed) {
      calm();
      act();
      return;
    }
    button.dataset.armed = 'true';
    button.textContent = confirmation;
    timer = setTimeout(calm, 5_000);
  });
  button.addEventListener('blur', calm);
  return button;
}

/** A form's submit as an async action: locked while it runs, its refusal shown under it. */
export function onSubmit(form, act) {
  const problem = el('p', { class: 'problem', role: 'alert', hidden: true, data: { testid: 'problem' } });
  form.append(problem);
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const button = form.querySelector('[type=submit]');
    button.disabled = true;
    problem.hidden = true;
    try {
      await act();
    } catch (error) {
      problem.textContent = error.message;
      problem.hidden = false;
    } finally {
      button.disabled = false;
    }
  });
}
