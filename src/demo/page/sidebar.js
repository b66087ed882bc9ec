// The list of boards, closed ones included, and the form for a new one.

import * as api from './api.js';
import { el, icon, onSubmit, replay } from './dom.js';
import { address } from './welcome.js';

/** Every role somebody in the community holds. */
export function rolesOf(people, communityId) {
  const members = people.filter((person) => person.community_id === communityId);
  return [...new Set(members.flatMap((person) => person.roles))].sort();
}

/** Check boxes for roles; none ticked means everybody. */
export function roleBoxes(roles, chosen) {
  return el(
    'fieldset',
    { class: 'roles' },
    el('legend', { text: 'Open to' }),
    roles.map((role) =>
      el(
        'label',
        {},
        el('input', {
          type: 'checkbox',
          name: 'role',
          value: role,
          checked: chosen.includes(role),
          data: { testid: 'role-option' },
        }),
        role,
      ),
    ),
    el('p', { class: 'hint', text: 'None ticked: open to the whole community. Admins always enter.' }),
  );
}

export function chosenRoles(form) {
  return [...form.querySelectorAll('[name=role]:checked')].map((box) => box.value);
}

export class Sidebar {
  #list = document.querySelector('[data-testid=board-list]');
  #slot = document.querySelector('[data-part=new-board]');

  /** The form that only an admin has. */
  showNewBoard(me, people) {
    if (!me.admin) {
      this.#slot.replaceChildren();
      return;
    }
    const name = el('input', { type: 'text', required: true, maxlength: '255', data: { testid: 'new-board-name' } });
    const description = el('input', { type: 'text', data: { testid: 'new-board-description' } });
    const form = el(
      'form',
      { class: 'panel', data: { testid: 'new-board-form' } },
      el('label', { class: 'field' }, 'Name', name),
      el('label', { class: 'field' }, 'What it is for', description),
      roleBoxes(rolesOf(people, me.community_id), []),
      el('button', { type: 'submit', class: 'primary', text: 'Create board', data: { testid: 'new-board-submit' } }),
    );
    const details = el('details', { class: 'new-board' }, el('summary', { text: 'New board', data: { testid: 'new-board' } }), form);
    onSubmit(form, async () => {
      await api.createBoard({ name: name.value, description: description.value, allowed_roles: chosenRoles(form) });
      form.reset();
      details.open = false;
    });
    this.#slot.replaceChildren(details);
  }

  show(boards, me, current) {
    const focused = this.#list.contains(document.activeElement) ? document.activeElement.dataset.boardId : null;
    this.#list.replaceChildren(
      ...boards.map((board) => {
        const lock = board.restricted || !board.open ? icon(board.open ? 'unlock' : 'lock') : null;
        const state = board.open ? (board.restricted ? 'for some roles, yours among them' : null) : 'closed to you';
        return el(
          'li',
          {},
          el(
            'a',
            {
              href: address(me.user_id, board.id),
              'aria-current': board.id === current ? 'page' : null,
              // On a phone the list covers the board; choosing the board one is on changes no address.
              on: { click: () => (document.body.dataset.pane = 'board') },
              data: { testid: 'board-item', boardId: board.id, open: board.open, restricted: board.restricted },
            },
            el(
              'span',
              { class: 'board-name' },
              el('span', { text: board.name }),
              board.imported_from && el('small', { text: `from ${board.imported_from}` }),
            ),
            lock,
            state && el('span', { class: 'visually-hidden', text: `, ${state}` }),
          ),
        );
      }),
    );
    if (focused) this.#list.querySelector(`[data-board-id="${focused}"]`)?.focus();
  }

  /** Draws the eye to a board that has just opened, closed or come. */
  point(boardId) {
    const item = this.#list.querySelector(`[data-board-id="${Number(boardId)}"]`);
    if (item) replay(item, 'pointed');
  }
}
