// Mentions stand in the text as @{"id":"…","label":"…"}; people write @id and read the name.

import { el } from './dom.js';

const STORED = /@(\{"id":"[^"]*","label":"[^"]*"\})/g;
const TYPED = /(^|[^\w@])@([a-z]+)\b/g;

function parse(json) {
  try {
    return JSON.parse(json);
  } catch {
    return null;
  }
}

/** What a person typed, as the forum stores it. */
export function toStored(text, people) {
  return text.replace(TYPED, (all, before, id) => {
    const person = people.find((candidate) => candidate.user_id === id);
    return person ? `${before}@${JSON.stringify({ id, label: person.name })}` : all;
  });
}

/** What the forum stores, as a person would type it. */
export function toTyped(text) {
  return text.replace(STORED, (all, json) => {
    const mention = parse(json);
    return mention ? `@${mention.id}` : all;
  });
}

/** What the forum stores, with names in place of mentions. */
export function toPlain(text) {
  return text.replace(STORED, (all, json) => {
    const mention = parse(json);
    return mention ? `@${mention.label}` : all;
  });
}

/** Paragraphs with the mentions set apart; `me` stands out. */
export function paragraphs(text, me) {
  return text.split(/\n{2,}/).map((paragraph) => {
    const parts = paragraph.split(STORED).map((part, index) => {
      const mention = index % 2 === 1 ? parse(part) : null;
      if (!mention) return part;
      return el('span', { class: mention.id === me ? 'mention mine' : 'mention', text: `@${mention.label}` });
    });
    return el('p', {}, parts);
  });
}
