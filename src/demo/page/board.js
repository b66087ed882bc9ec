// The head of a board: its name, an admin's settings, the form for a new post, and a refusal when there is one.

import * as api from './api.js';
import { el, icon, onSubmit, portrait, twoStep } from './dom.js';
import { toStored } from './mentions.js';
import { chosenRoles, roleBoxes, rolesOf } from './sidebar.js';

const CHOOSE_ANOTHER = 'Choose another board, or be somebody else for a while.';

/** What can be done about a refusal, by its code. */
const NEXT = {
  forbidden: 'Be somebody whose roles open it, or, as an admin, change its settings.',
  board_roles: 'Be somebody whose roles open it, or, as an admin, change its settings.',
  community_roles: CHOOSE_ANOTHER,
  import: CHOOSE_ANOTHER,
  deleted: 'Choose another board.',
  not_found: CHOOSE_ANOTHER,
};

export class BoardHead {
  #head = document.querySelector('[data-testid=board-head]');
  #compose;
  #refusal = document.querySelector('[data-testid=refusal]');
  #context;
  #boardId = null;

  constructor(context) {
    this.#context = context;
    this.#compose = this.#composer();
    document.querySelector('[data-part=compose]').replaceChildren(this.#compose);
  }

  /** A board that is open; `board` as REST gives it. */
  show(board) {
    this.#boardId = board.id;
    this.#refusal.hidden = true;
    this.#compose.hidden = false;
    const settings = board.allowed_roles ? this.#settings(board) : null;
    const open = this.#head.querySelector('details')?.open && this.#head.dataset.boardId === String(board.id);
    if (settings && open) settings.open = true;
    this.#head.dataset.boardId = board.id;
    this.#head.replaceChildren(
      el('h1', { text: board.name, data: { testid: 'board-name' } }),
      el('p', { class: 'lead', text: board.description ?? '' }),
      el(
        'p',
        { class: 'facts' },
        el('code', { text: `board:${board.id}`, title: 'The room this window is in' }),
        board.imported_from && el('span', { class: 'chip', text: `imported from ${board.imported_from}` }),
        board.restricted &&
          el(
            'span',
            { class: 'chip', data: { testid: 'board-roles' } },
            icon('unlock'),
            board.allowed_roles ? `for ${board.allowed_roles.join(', ')}` : 'for some roles, yours among them',
          ),
      ),
      settings ?? '',
    );
  }

  /** A board that can't be shown, with the reason as the server gave it. */
  refuse(boardId, name, { code, message, source }) {
    this.#boardId = boardId;
    this.#compose.hidden = true;
    this.#head.dataset.boardId = boardId;
    this.#head.replaceChildren(el('h1', { text: name, data: { testid: 'board-name' } }));
    this.#refusal.hidden = false;
    this.#refusal.dataset.code = code;
    this.#refusal.dataset.source = source;
    this.#refusal.replaceChildren(
      icon('lock'),
      el(
        'div',
        {},
        el('p', { class: 'code', text: code, data: { testid: 'refusal-code' } }),
        el('p', { class: 'message', text: message, data: { testid: 'refusal-message' } }),
        el('p', { class: 'hint' }, 'The server said so with ', el('code', { text: source }), '. ', NEXT[code] ?? ''),
      ),
    );
  }

  #composer() {
    const { me, people, wrote } = this.#context;
    const title = el('input', {
      type: 'text',
      required: true,
      maxlength: '255',
      placeholder: 'Start a topic',
      'aria-label': 'Title of a new post',
      data: { testid: 'compose-title' },
    });
    const content = el('textarea', {
      required: true,
      rows: '2',
      placeholder: 'What is it about?',
      'aria-label': 'Text of a new post',
      data: { testid: 'compose-content' },
    });
    const form = el(
      'form',
      { class: 'compose', hidden: true, data: { testid: 'compose-form' } },
      portrait(me, 36),
      el('div', { class: 'fields' }, title, content),
      el('button', { type: 'submit', class: 'primary', text: 'Post', data: { testid: 'compose-submit' } }),
    );
    onSubmit(form, async () => {
      await api.writePost(this.#boardId, { title: title.value, content: toStored(content.value, people) });
      form.reset();
      wrote();
    });
    return form;
  }

  #settings(board) {
    const { me, people, failed } = this.#context;
    const name = el('input', {
      type: 'text',
      required: true,
      maxlength: '255',
      value: board.name,
      data: { testid: 'settings-name' },
    });
    const description = el('input', {
      type: 'text',
      value: board.description ?? '',
      data: { testid: 'settings-description' },
    });
    const roles = [...new Set([...rolesOf(people, me.community_id), ...board.allowed_roles])];
    const form = el(
      'form',
      { class: 'panel', data: { testid: 'settings-form' } },
      el('label', { class: 'field' }, 'Name', name),
      el('label', { class: 'field' }, 'What it is for', description),
      roleBoxes(roles, board.allowed_roles),
      el(
        'div',
        { class: 'actions' },
        el('button', { type: 'submit', class: 'primary', text: 'Save for everyone', data: { testid: 'settings-save' } }),
        twoStep('Delete this board', 'Delete it with every post?', { class: 'quiet', data: { testid: 'board-delete' } }, () =>
          api.deleteBoard(board.id).then(() => this.#context.wrote(), failed),
        ),
      ),
    );
    onSubmit(form, async () => {
      await api.updateBoard(board.id, {
        name: name.value,
        description: description.value,
        allowed_roles: chosenRoles(form),
      });
      this.#context.wrote();
    });
    return el(
      'details',
      { class: 'settings', data: { testid: 'board-settings' } },
      el('summary', {}, icon('gear'), 'Settings'),
      form,
    );
  }
}
