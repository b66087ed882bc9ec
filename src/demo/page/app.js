// The window: who I am in it, as the address says, and the frame around the forum.

import * as api from './api.js';
import { icon, portrait } from './dom.js';
import { Session } from './session.js';
import { Tape } from './tape.js';
import { clearToasts, toast } from './toasts.js';
import { address, showWelcome } from './welcome.js';

const $ = (testid) => document.querySelector(`[data-testid=${testid}]`);

function readAddress() {
  const hash = new URLSearchParams(location.hash.slice(1));
  const number = (name) => (/^\d+$/.test(hash.get(name) ?? '') ? Number(hash.get(name)) : null);
  return { as: hash.get('as'), board: number('board'), post: number('post') };
}

function fillPicker({ communities, people }) {
  const picker = $('person-picker');
  for (const community of communities) {
    const group = document.createElement('optgroup');
    group.label = community.name;
    for (const person of people.filter((candidate) => candidate.community_id === community.id)) {
      group.append(new Option(person.admin ? `${person.name} (admin)` : person.name, person.user_id));
    }
    picker.append(group);
  }
  const communityOf = (userId) => people.find((person) => person.user_id === userId)?.community_id;
  picker.addEventListener('change', () => {
    const { as, board, post } = readAddress();
    // Another community has other boards: its first is chosen then.
    const stays = communityOf(as) === communityOf(picker.value);
    location.hash = stays ? address(picker.value, board, post) : address(picker.value, null, null);
  });
}

function showMe(me, communities) {
  $('person-picker').value = me.user_id;
  document.querySelector('[data-part=my-portrait]').replaceChildren(portrait(me, 34));
  $('person-roles').textContent = me.roles.join(', ') || 'no roles';
  $('community-name').textContent = communities.find((community) => community.id === me.community_id).name;
  document.title = `${me.name}, Curia realtime demo`;
}

/** Says aloud, too, which part of the page a narrow window shows. */
function markTab() {
  for (const tab of document.querySelectorAll('[data-show]')) {
    tab.setAttribute('aria-pressed', String(tab.dataset.show === document.body.dataset.pane));
  }
}

async function main() {
  for (const slot of document.querySelectorAll('[data-icon]')) slot.prepend(icon(slot.dataset.icon));
  for (const tab of document.querySelectorAll('[data-show]')) {
    tab.addEventListener('click', () => (document.body.dataset.pane = tab.dataset.show));
  }
  markTab();
  new MutationObserver(markTab).observe(document.body, { attributeFilter: ['data-pane'] });
  const everybody = await api.people();
  const tape = new Tape();
  let session = null;
  let me = null;
  fillPicker(everybody);

  const follow = async () => {
    const { as, board, post } = readAddress();
    const wanted = everybody.people.find((person) => person.user_id === as) ?? null;
    $('second-window').href = `/demo${address(null, board, null)}`;
    if (wanted === me && session) {
      await session.visit(board, post);
      return;
    }
    session?.end();
    session = null;
    clearToasts();
    me = wanted;
    document.body.dataset.view = me ? 'forum' : 'welcome';
    if (!me) {
      document.title = 'Curia realtime demo';
      showWelcome($('welcome'), everybody, board);
      return;
    }
    tape.clear();
    api.speakAs(me.user_id);
    showMe(me, everybody.communities);
    session = new Session(me, everybody.people, tape);
    await session.start(board, post);
  };
  window.addEventListener('hashchange', follow);
  await follow();
}

main().catch((error) => toast({ event: 'refusal', title: 'The demo could not start', text: error.message }));
