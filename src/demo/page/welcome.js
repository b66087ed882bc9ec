// The first thing a newcomer sees: who do you want to be in this window?

import { el, icon, portrait } from './dom.js';

/** The address of the page as somebody, on some board, with some post open. */
export function address(as, board, post) {
  const hash = new URLSearchParams();
  if (as) hash.set('as', as);
  if (board) hash.set('board', board);
  if (post) hash.set('post', post);
  return `#${hash}`;
}

function card(person, board) {
  const roles = person.roles.length ? person.roles.join(', ') : 'no roles';
  return el(
    'li',
    { class: 'person' },
    el(
      'a',
      { href: address(person.user_id, board), data: { testid: 'person-card', userId: person.user_id } },
      portrait(person, 44),
      el('span', {}, el('strong', { text: person.name }), el('small', { text: person.admin ? `admin · ${roles}` : roles })),
    ),
    el(
      'a',
      {
        class: 'elsewhere',
        href: address(person.user_id, board),
        target: '_blank',
        rel: 'noopener',
        'aria-label': `Be ${person.name} in a new window`,
        title: 'In a new window',
      },
      icon('window'),
    ),
  );
}

/** Lists everybody, community by community. */
export function showWelcome(root, { communities, people }, board) {
  root.querySelector('[data-part=communities]').replaceChildren(
    ...communities.map((community) =>
      el(
        'section',
        {},
        el('h2', { text: community.name }),
        el('ul', {}, people.filter((person) => person.community_id === community.id).map((person) => card(person, board))),
      ),
    ),
  );
}
