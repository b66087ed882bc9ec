// The comments of one open post.

import * as api from './api.js';
import { el, leave, onSubmit, portrait, replay, timeAgo, twoStep } from './dom.js';
import { paragraphs, toStored, toTyped } from './mentions.js';

/** An opened post's comments and the form under them. `context` as for the posts. */
export class Thread {
  #context;
  #list = el('ol', { class: 'comments', data: { testid: 'comment-list' } });
  #notice = el('p', { class: 'hint', role: 'status', text: 'Loading the comments…' });
  #items = new Map();
  #answering = null;
  #input;
  #answerNote;

  constructor(postId, context) {
    this.postId = postId;
    this.#context = context;
    this.node = el(
      'section',
      { class: 'thread', 'aria-label': 'Comments', data: { testid: 'thread', state: 'loading' } },
      this.#notice,
      this.#list,
      this.#form(),
    );
  }

  load(items) {
    this.#items.clear();
    this.#list.replaceChildren();
    for (const item of items) this.#insert(item, false);
    this.node.dataset.state = 'live';
    this.#showEmpty();
  }

  refuse(message) {
    this.node.dataset.state = 'refused';
    this.#notice.textContent = message;
    this.#notice.hidden = false;
  }

  add(item) {
    if (this.#items.has(item.comment.id)) this.update(item);
    else this.#insert(item, true);
    this.#showEmpty();
  }

  update(item) {
    const known = this.#items.get(item.comment.id);
    if (!known) return;
    known.item = item;
    this.#draw(known);
    replay(known.body, 'changed');
  }

  remove(commentId) {
    const known = this.#items.get(commentId);
    if (!known) return;
    this.#items.delete(commentId);
    if (this.#answering === commentId) this.#answer(null);
    leave(known.node);
    this.#showEmpty();
  }

  #showEmpty() {
    this.#notice.hidden = this.#items.size > 0;
    this.#notice.textContent = 'No comments yet. Yours would be the first.';
  }

  #insert(item, arriving) {
    const { comment } = item;
    const body = el('div', { class: 'comment-body' });
    const replies = el('ol', { class: 'comments' });
    const node = el('li', { class: 'comment', data: { testid: 'comment-item', commentId: comment.id } }, body, replies);
    const known = { item, node, body, replies };
    this.#items.set(comment.id, known);
    this.#draw(known);
    // A reply whose parent is not shown (it is older than what was loaded) stands at the top level.
    const parent = this.#items.get(comment.parent_comment_id);
    (parent ? parent.replies : this.#list).append(node);
    if (arriving) node.classList.add('arriving');
  }

  #draw(known) {
    const { me } = this.#context;
    const { comment, author } = known.item;
    const mine = me.admin || comment.author_user_id === me.user_id;
    const tool = (text, testid, act) =>
      el('button', { type: 'button', class: 'quiet', text, data: { testid }, on: { click: act } });
    known.body.replaceChildren(
      portrait(author, 28),
      el(
        'div',
        {},
        el('p', { class: 'byline' }, el('strong', { text: author.name ?? author.user_id }), timeAgo(comment.created_at)),
        el('div', { class: 'prose', data: { testid: 'comment-content' } }, paragraphs(comment.content, me.user_id)),
        el(
          'div',
          { class: 'tools' },
          tool('Reply', 'comment-reply', () => this.#answer(comment.id)),
          mine && tool('Edit', 'comment-edit', () => this.#edit(known)),
          mine &&
            twoStep('Delete', 'Delete with its replies?', { class: 'quiet', data: { testid: 'comment-delete' } }, () =>
              api.deleteComment(comment.id).then(() => this.#context.wrote(), this.#context.failed),
            ),
        ),
      ),
    );
  }

  #edit(known) {
    const { people, wrote } = this.#context;
    const { comment } = known.item;
    const input = el('textarea', {
      rows: '2',
      required: true,
      value: toTyped(comment.content),
      'aria-label': 'Edit the comment',
      data: { testid: 'comment-edit-input' },
    });
    const form = el(
      'form',
      { class: 'panel' },
      input,
      el(
        'div',
        { class: 'actions' },
        el('button', { type: 'submit', class: 'primary', text: 'Save', data: { testid: 'comment-edit-submit' } }),
        el('button', { type: 'button', class: 'quiet', text: 'Cancel', on: { click: () => this.#draw(known) } }),
      ),
    );
    onSubmit(form, async () => {
      await api.editComment(comment.id, toStored(input.value, people));
      this.#draw(known);
      wrote();
    });
    known.body.replaceChildren(form);
    input.focus();
  }

  /** Which comment the form answers; null for the post itself. */
  #answer(commentId) {
    this.#answering = commentId;
    const author = commentId === null ? null : this.#items.get(commentId)?.item.author;
    this.#answerNote.hidden = !author;
    this.#answerNote.firstChild.textContent = author ? `In reply to ${author.name ?? author.user_id} ` : '';
    if (author) this.#input.focus();
  }

  #form() {
    const { me, people, wrote } = this.#context;
    this.#input = el('textarea', {
      rows: '1',
      required: true,
      placeholder: 'Write a comment',
      'aria-label': 'Write a comment',
      data: { testid: 'comment-input' },
      on: {
        keydown: (event) => {
          if (event.key === 'Enter' && (event.metaKey || event.ctrlKey)) event.target.form.requestSubmit();
        },
      },
    });
    this.#answerNote = el(
      'p',
      { class: 'hint answering', hidden: true },
      el('span'),
      el('button', { type: 'button', class: 'quiet', text: 'Never mind', on: { click: () => this.#answer(null) } }),
    );
    const form = el(
      'form',
      { class: 'comment-form', data: { testid: 'comment-form' } },
      this.#answerNote,
      portrait(me, 28),
      this.#input,
      el('button', { type: 'submit', class: 'primary', text: 'Send', data: { testid: 'comment-submit' } }),
    );
    onSubmit(form, async () => {
      await api.writeComment(this.postId, {
        content: toStored(this.#input.value, people),
        parent_comment_id: this.#answering,
      });
      this.#input.value = '';
      this.#answer(null);
      wrote();
    });
    return form;
  }
}
