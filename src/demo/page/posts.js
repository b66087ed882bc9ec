// A board's posts: one card each, changed by what the server sends.

import * as api from './api.js';
import { el, icon, leave, onSubmit, portrait, replay, timeAgo, twoStep } from './dom.js';
import { paragraphs, toStored, toTyped } from './mentions.js';

/** A post in the list. `context` is `{me, people, boards, toggleThread, wrote, failed}`. */
class PostCard {
  #context;
  #post;
  #author;
  #voted;

  constructor({ post, author, voted }, context) {
    this.#context = context;
    this.#post = post;
    this.#author = author;
    this.#voted = Boolean(voted);

    this.count = el('span', { class: 'vote-count', data: { testid: 'vote-count' } });
    this.voteButton = el(
      'button',
      { type: 'button', class: 'vote', data: { testid: 'vote-button' }, on: { click: () => this.#vote() } },
      icon('up'),
      this.count,
    );
    this.commentCount = el('span', { data: { testid: 'comment-count' } });
    this.toggle = el(
      'button',
      {
        type: 'button',
        class: 'quiet',
        'aria-expanded': 'false',
        data: { testid: 'post-open' },
        on: { click: () => context.toggleThread(this.#post.id) },
      },
      icon('talk'),
      this.commentCount,
    );
    this.text = el('div', { class: 'post-text' });
    this.thread = el('div', { class: 'thread-slot' });
    this.node = el(
      'li',
      { class: 'post', data: { testid: 'post-item', postId: post.id } },
      el(
        'article',
        {},
        this.voteButton,
        el('div', { class: 'post-body' }, this.text, el('footer', {}, this.toggle, this.#tools())),
        this.thread,
      ),
    );
    this.#draw();
  }

  get id() {
    return this.#post.id;
  }

  get title() {
    return this.#post.title;
  }

  /** The row as the server has just sent it; my own vote is not in it. */
  update(post, author) {
    this.#post = { ...this.#post, ...post };
    this.#author = author ?? this.#author;
    this.#draw();
    replay(this.text, 'changed');
  }

  setVotes(count) {
    const before = this.#post.upvote_count;
    this.#post.upvote_count = count;
    this.#drawCounts();
    if (count !== before) {
      this.count.dataset.trend = count > before ? 'up' : 'down';
      replay(this.count, 'ticked');
    }
  }

  setComments(count) {
    const before = this.#post.comment_count;
    this.#post.comment_count = count;
    this.#drawCounts();
    if (count !== before) replay(this.toggle, 'ticked');
  }

  /** Puts a thread into the card, or takes it out. */
  hold(thread) {
    this.thread.replaceChildren(...(thread ? [thread] : []));
    this.toggle.setAttribute('aria-expanded', String(Boolean(thread)));
    this.node.classList.toggle('open', Boolean(thread));
  }

  #draw() {
    const { me } = this.#context;
    this.text.replaceChildren(
      el('h2', { text: this.#post.title, data: { testid: 'post-title' } }),
      el(
        'p',
        { class: 'byline' },
        portrait(this.#author, 20),
        el('strong', { text: this.#author.name ?? this.#author.user_id }),
        timeAgo(this.#post.created_at),
        (this.#post.tags ?? []).map((tag) => el('span', { class: 'tag', text: tag })),
      ),
      el(
        'div',
        { class: 'prose', data: { testid: 'post-content' } },
        paragraphs(this.#post.content, me.user_id),
        this.#post.content_truncated && el('p', { class: 'hint', text: 'The rest of this long post comes when you reload.' }),
      ),
    );
    this.#drawCounts();
  }

  #drawCounts() {
    const votes = this.#post.upvote_count;
    const comments = this.#post.comment_count;
    this.count.textContent = String(votes);
    this.voteButton.setAttribute('aria-pressed', String(this.#voted));
    this.voteButton.setAttribute('aria-label', `${this.#voted ? 'Take back your vote' : 'Vote'}, ${votes} so far`);
    this.commentCount.textContent = comments === 1 ? '1 comment' : `${comments} comments`;
    this.toggle.title = 'The forum’s own counter; deleting a comment does not lower it';
  }

  async #vote() {
    const wanted = !this.#voted;
    this.#voted = wanted;
    this.#drawCounts();
    try {
      const answer = await (wanted ? api.vote(this.id) : api.unvote(this.id));
      this.#context.wrote(() => this.setVotes(answer.upvote_count));
    } catch (error) {
      // Another window of the same person was faster: then the button already shows what is stored.
      if (error.code !== 'vote_unchanged') this.#voted = !wanted;
      this.#drawCounts();
      this.#context.failed(error);
    }
  }

  #tools() {
    const { me, wrote, failed } = this.#context;
    if (!me.admin && this.#post.author_user_id !== me.user_id) return null;
    const tool = (text, testid, act) =>
      el('button', { type: 'button', class: 'quiet', text, data: { testid }, on: { click: act } });
    return el(
      'div',
      { class: 'tools' },
      tool('Edit', 'post-edit', () => this.#edit()),
      tool('Move', 'post-move', () => this.#move()),
      twoStep('Delete', 'Delete for everyone?', { class: 'quiet', data: { testid: 'post-delete' } }, () =>
        api.deletePost(this.id).then(() => wrote(), failed),
      ),
    );
  }

  #edit() {
    const { people, wrote } = this.#context;
    const title = el('input', {
      type: 'text',
      required: true,
      maxlength: '255',
      value: this.#post.title,
      data: { testid: 'edit-title' },
    });
    const content = el('textarea', {
      required: true,
      rows: '4',
      value: toTyped(this.#post.content),
      data: { testid: 'edit-content' },
    });
    this.#form('edit-form', 'Save', [el('label', { class: 'field' }, 'Title', title), el('label', { class: 'field' }, 'Text', content)], () =>
      api.editPost(this.id, { title: title.value, content: toStored(content.value, people) }).then(() => wrote()),
    );
    title.focus({ preventScroll: true });
  }

  #move() {
    const { boards, wrote } = this.#context;
    const targets = boards().filter((board) => board.open && board.id !== this.#post.board_id);
    const choice = el(
      'select',
      { data: { testid: 'move-target' } },
      targets.map((board) => el('option', { value: board.id, text: board.name })),
    );
    this.#form('move-form', 'Move', [el('label', { class: 'field' }, 'To the board', choice)], () =>
      api.movePost(this.id, Number(choice.value)).then(() => wrote()),
    );
    choice.focus({ preventScroll: true });
  }

  /** A small form over the text; one at a time. */
  #form(testid, label, fields, act) {
    this.node.querySelector('form.over')?.remove();
    const form = el(
      'form',
      { class: 'over panel', data: { testid } },
      fields,
      el(
        'div',
        { class: 'actions' },
        el('button', { type: 'submit', class: 'primary', text: label, data: { testid: `${testid}-submit` } }),
        el('button', { type: 'button', class: 'quiet', text: 'Cancel', on: { click: () => form.remove() } }),
      ),
    );
    onSubmit(form, async () => {
      await act();
      form.remove();
    });
    this.text.after(form);
    // Whole: on a phone the lower half of the window may be all that is left below the post.
    form.scrollIntoView({ block: 'nearest' });
  }
}

/** The list of a board's posts. */
export class PostList {
  #node;
  #empty;
  #context;
  #cards = new Map();

  constructor(node, empty, context) {
    this.#node = node;
    this.#empty = empty;
    this.#context = context;
  }

  /** Everything at once, as REST gives it. */
  load(items) {
    this.clear();
    for (const item of items) {
      const card = new PostCard(item, this.#context);
      this.#cards.set(card.id, card);
      this.#node.append(card.node);
    }
    this.#showEmpty();
  }

  clear() {
    this.#cards.clear();
    this.#node.replaceChildren();
    this.#empty.hidden = true;
  }

  get(postId) {
    return this.#cards.get(postId);
  }

  /** A post that has just come. */
  add(item) {
    const known = this.#cards.get(item.post.id);
    if (known) {
      known.update(item.post, item.author);
      return;
    }
    const card = new PostCard(item, this.#context);
    this.#cards.set(card.id, card);
    this.#node.prepend(card.node);
    card.node.classList.add('arriving');
    this.#showEmpty();
  }

  remove(postId) {
    const card = this.#cards.get(postId);
    if (!card) return;
    this.#cards.delete(postId);
    leave(card.node);
    this.#showEmpty();
  }

  #showEmpty() {
    this.#empty.hidden = this.#cards.size > 0;
  }
}
