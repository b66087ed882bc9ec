// One person's session in this window: the board they look at, and what the server's events do to it.
//
// The page reads by REST and then listens. What it writes by REST it does not draw itself: it appears when the event
// comes, like everybody else's, so that whatever is seen has gone through the database.

import * as api from './api.js';
import { BoardHead } from './board.js';
import { connect } from './live.js';
import { toPlain } from './mentions.js';
import { PostList } from './posts.js';
import { Sidebar } from './sidebar.js';
import { Thread } from './thread.js';
import { toast } from './toasts.js';
import { address } from './welcome.js';

const $ = (testid) => document.querySelector(`[data-testid=${testid}]`);

/** How long reading waits for the connection. */
const PATIENCE_MS = 1_500;

/** Events after which the list of boards is read again. */
const BOARD_LIST_EVENTS = new Set([
  'board:created',
  'board:deleted',
  'board:settingsChanged',
  'board:accessRevoked',
  'community:settingsChanged',
]);

/** Why a board closes, as `board:accessRevoked` says it. */
const REASONS = {
  board_roles: 'An admin has just closed this board to your roles.',
  community_roles: 'Your community has just closed its boards to your roles.',
  import: 'Your community no longer shows this board.',
};

const HELD_EVENTS = new Set([
  'board:newPost',
  'board:postUpdated',
  'board:postDeleted',
  'post:voteChanged',
  'post:commentCountChanged',
]);

const THREAD_EVENTS = new Set(['post:newComment', 'post:commentUpdated', 'post:commentDeleted']);

/** Choosing somebody else ends one session and begins another. */
export class Session {
  #me;
  #tape;
  #live = null;
  #sidebar = new Sidebar();
  #head;
  #posts;
  #context;
  #boards = [];
  #boardId = null;
  #joined = null;
  /** The post whose comments are wanted open, and its thread once there is one. */
  #postId = null;
  #thread = null;
  /** Raised with every change of board, so that a late answer to an earlier one is dropped. */
  #visit = 0;
  /** Events that arrive while REST is being read wait here, and are applied on top of it. */
  #held = null;
  #ended = false;

  constructor(me, everybody, tape) {
    this.#me = me;
    this.#tape = tape;
    this.#context = {
      me,
      people: everybody,
      boards: () => this.#boards,
      toggleThread: (postId) => this.#go(this.#postId === postId ? null : postId),
      wrote: (offline) => this.#wrote(offline),
      failed: (error) => toast({ event: 'refusal', title: 'That did not work', text: error.message }),
    };
    this.#posts = new PostList($('post-list'), $('no-posts'), this.#context);
    this.#head = new BoardHead(this.#context);
    this.#sidebar.showNewBoard(me, everybody);
  }

  get #connected() {
    return this.#live?.connected ?? false;
  }

  /** On a board that my community knows nothing of I begin on one of its own: whoever I was before looked at it. */
  async start(boardId, postId) {
    await this.#refreshBoards();
    if (this.#ended) return;
    const isKnown = boardId === null || this.#boards.length === 0 || this.#boards.some((board) => board.id === boardId);
    let settled;
    const firstAnswer = new Promise((resolve) => (settled = resolve));
    this.#live = connect(api.token, {
      state: (state, detail) => {
        this.#showState(state, detail);
        if (state !== 'connecting') settled();
      },
      refused: (code, message) => this.#showRefusedConnection(code, message),
      sent: (name, argument) => this.#tape.sent(name, argument),
      ack: (name, answer) => {
        this.#tape.cursor(answer.cursor);
        this.#tape.ack(name, answer);
      },
      event: (name, payload, meta) => {
        this.#tape.event(name, payload, meta);
        this.#receive(name, payload ?? {});
      },
    });
    // Joining first saves a second reading; a service that does not answer must not keep the forum from being read.
    await Promise.race([firstAnswer, new Promise((resolve) => setTimeout(resolve, PATIENCE_MS))]);
    if (!this.#ended) await (isKnown ? this.visit(boardId, postId) : this.visit(null, null));
  }

  end() {
    this.#ended = true;
    this.#visit += 1;
    this.#live?.close();
  }

  /** Follows the address: another board, another post, or the same again. */
  async visit(boardId, postId) {
    const target = boardId ?? this.#boards.find((board) => board.open)?.id ?? this.#boards[0]?.id;
    if (target === undefined) return;
    if (boardId === null) {
      location.replace(this.#address(target, postId));
      return;
    }
    this.#postId = postId;
    if (target === this.#boardId) await this.#openThread();
    else await this.#enterBoard(target);
  }

  #go(postId) {
    location.hash = this.#address(this.#boardId, postId);
  }

  #address(boardId, postId) {
    return address(this.#me.user_id, boardId, postId);
  }

  /** A write has gone through. Its event draws it; without a connection the page has to ask. */
  #wrote(offline) {
    if (this.#connected) return;
    if (offline) offline();
    else this.#load(this.#visit);
  }

  async #refreshBoards() {
    try {
      this.#boards = await api.boards();
    } catch (error) {
      this.#context.failed(error);
    }
    if (!this.#ended) this.#sidebar.show(this.#boards, this.#me, this.#boardId);
  }

  /** Joins first and reads afterwards: an event in between is held back, never missed. */
  async #enterBoard(boardId) {
    const visit = ++this.#visit;
    this.#closeThread();
    if (this.#joined !== null && this.#joined !== boardId && this.#connected) {
      this.#live.ask('board:leave', this.#joined);
    }
    this.#joined = null;
    this.#boardId = boardId;
    this.#held = [];
    this.#posts.clear();
    this.#sidebar.show(this.#boards, this.#me, boardId);
    document.body.dataset.pane = 'board';
    if (this.#connected) {
      const answer = await this.#live.ask('board:join', boardId);
      if (visit !== this.#visit) return;
      if (!answer.ok) {
        this.#refuse(answer.error.code, answer.error.message, 'board:join');
        this.#refreshBoards();
        return;
      }
      this.#joined = boardId;
    }
    await this.#load(visit);
  }

  async #load(visit) {
    this.#held ??= [];
    try {
      const { board, posts } = await api.posts(this.#boardId);
      if (visit !== this.#visit) return;
      this.#head.show(board);
      this.#closeThread();
      this.#posts.load(posts);
    } catch (error) {
      if (visit === this.#visit) this.#refuse(error.code, error.message, 'the REST API');
    }
    if (visit !== this.#visit) return;
    this.#release();
    this.#posts.get(this.#postId)?.node.scrollIntoView();
    await this.#openThread();
  }

  #release() {
    const held = this.#held ?? [];
    this.#held = null;
    for (const [name, payload] of held) this.#apply(name, payload);
  }

  #refuse(code, message, source) {
    this.#held = null;
    this.#closeThread();
    this.#posts.clear();
    const board = this.#boards.find((candidate) => candidate.id === this.#boardId);
    this.#head.refuse(this.#boardId, board?.name ?? 'Board', { code, message, source });
  }

  async #openThread() {
    if (this.#thread?.postId === this.#postId) return;
    this.#closeThread();
    const card = this.#posts.get(this.#postId);
    if (!card) return;
    const thread = new Thread(card.id, this.#context);
    this.#thread = thread;
    card.hold(thread.node);
    await this.#fillThread(thread);
  }

  async #fillThread(thread) {
    const early = [];
    thread.early = early;
    try {
      if (this.#connected) {
        const answer = await this.#live.ask('post:join', thread.postId);
        if (!answer.ok) throw new Error(`${answer.error.code}: ${answer.error.message}`);
      }
      const comments = await api.comments(thread.postId);
      thread.early = null;
      if (this.#thread !== thread) return;
      thread.load(comments);
      for (const [name, payload] of early) this.#apply(name, payload);
    } catch (error) {
      thread.early = null;
      thread.refuse(error.message);
    }
  }

  #closeThread() {
    if (!this.#thread) return;
    const { postId } = this.#thread;
    this.#thread = null;
    this.#posts.get(postId)?.hold(null);
    if (this.#connected) this.#live.ask('post:leave', postId);
  }

  /** The server has taken this socket out of the room already; nothing is left to leave. */
  #forgetThread() {
    if (this.#thread) this.#posts.get(this.#thread.postId)?.hold(null);
    this.#thread = null;
  }

  /** After a (re)connect the rooms are gone and events may have been missed: join and read again. */
  async #reenter() {
    if (this.#boardId === null) return;
    this.#forgetThread();
    this.#joined = null;
    await this.#refreshBoards();
    if (!this.#ended) await this.#enterBoard(this.#boardId);
  }

  #receive(name, payload) {
    const reload = BOARD_LIST_EVENTS.has(name);
    if (reload) this.#refreshBoards().then(() => this.#sidebar.point(payload.boardId ?? payload.board?.id));
    if (this.#held && HELD_EVENTS.has(name)) this.#held.push([name, payload]);
    else this.#apply(name, payload);
  }

  #apply(name, payload) {
    const here = payload.boardId === this.#boardId;
    const thread = this.#thread?.postId === payload.postId ? this.#thread : null;
    if (thread?.early && THREAD_EVENTS.has(name)) {
      thread.early.push([name, payload]);
      return;
    }
    switch (name) {
      case 'board:newPost':
        if (payload.post.board_id === this.#boardId) this.#posts.add(payload);
        break;
      case 'board:postUpdated':
        this.#posts.get(payload.post.id)?.update(payload.post, payload.author);
        break;
      case 'board:postDeleted':
        if (here) this.#postGone(payload);
        break;
      case 'post:voteChanged':
        this.#posts.get(payload.postId)?.setVotes(payload.newCount);
        break;
      case 'post:commentCountChanged':
        this.#posts.get(payload.postId)?.setComments(payload.newCount);
        break;
      case 'post:newComment':
        thread?.add(payload);
        break;
      case 'post:commentUpdated':
        thread?.update(payload);
        break;
      case 'post:commentDeleted':
        thread?.remove(payload.commentId);
        break;
      case 'board:created':
        toast({ event: name, title: `New board: ${payload.board.name}`, href: this.#address(payload.board.id) });
        break;
      case 'board:settingsChanged':
        if (here) this.#refreshHead();
        break;
      case 'board:deleted':
        if (here) this.#shutOut(name, 'deleted', 'This board has been deleted, with everything on it.');
        break;
      case 'board:accessRevoked':
        if (here) this.#shutOut(name, payload.reason, REASONS[payload.reason] ?? 'This board has closed to you.');
        else toast({ event: name, title: `${this.#boardName(payload.boardId)}: closed to you`, text: REASONS[payload.reason] });
        break;
      case 'board:accessGranted':
        if (here) this.#reenter();
        else this.#announceGrant(payload.boardId);
        break;
      case 'community:settingsChanged':
        toast({ event: name, title: 'Your community’s settings have changed' });
        this.#reenter();
        break;
      case 'notification:new':
        this.#notify(payload);
        break;
      case 'session:ready':
        this.#tape.cursor(payload.cursor);
        break;
    }
  }

  #postGone({ postId, moved }) {
    const title = this.#posts.get(postId)?.title;
    if (this.#thread?.postId === postId) {
      this.#closeThread();
      toast({ event: 'board:postDeleted', title: moved ? 'Moved to another board' : 'Deleted', text: title });
      this.#go(null);
    }
    this.#posts.remove(postId);
  }

  async #refreshHead() {
    const visit = this.#visit;
    const { board } = await api.posts(this.#boardId).catch(() => ({}));
    if (board && visit === this.#visit) this.#head.show(board);
  }

  #shutOut(source, code, message) {
    this.#visit += 1;
    this.#joined = null;
    this.#forgetThread();
    this.#refuse(code, message, source);
  }

  async #announceGrant(boardId) {
    await this.#refreshBoards();
    this.#sidebar.point(boardId);
    const title = `${this.#boardName(boardId)} is open to you`;
    toast({ event: 'board:accessGranted', title, href: this.#address(boardId) });
  }

  #notify({ kind, postId, boardId, actor, excerpt }) {
    const did = { reply: 'answered you', comment: 'commented on your post', mention: 'mentioned you' }[kind] ?? 'wrote';
    toast({
      event: 'notification:new',
      title: `${actor?.name ?? 'Somebody'} ${did}`,
      text: excerpt && toPlain(excerpt),
      person: actor,
      href: this.#address(boardId, postId),
    });
  }

  #boardName(boardId) {
    return this.#boards.find((board) => board.id === boardId)?.name ?? `Board ${boardId}`;
  }

  #showState(state, detail) {
    const pill = $('connection-state');
    const before = pill.dataset.state;
    pill.dataset.state = state;
    pill.textContent = { connected: 'Live', connecting: 'Connecting', waiting: 'Reconnecting', refused: 'Refused' }[state];
    pill.title = detail;
    $('transport').textContent = state === 'connected' ? detail : '';
    if (state !== 'refused') $('connection-refusal').hidden = true;
    if (state === 'connected' && before !== 'connected') this.#reenter();
  }

  #showRefusedConnection(code, message) {
    const banner = $('connection-refusal');
    banner.dataset.code = code;
    banner.querySelector('[data-part=code]').textContent = code;
    banner.querySelector('[data-part=message]').textContent = message;
    banner.querySelector('button').onclick = () => this.#live.reconnect();
    banner.hidden = false;
  }
}
