// The forum's REST API. Everything the page changes goes through here, nothing through the socket.

/** A refusal as the forum words it. */
export class Refusal extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

let speaker = null;

/** Who the following requests come from. */
export function speakAs(userId) {
  speaker = userId;
}

async function request(method, path, body) {
  const headers = {};
  if (speaker) headers['x-demo-user'] = speaker;
  if (body !== undefined) headers['content-type'] = 'application/json';
  let response;
  try {
    response = await fetch(`/demo/api${path}`, { method, headers, body: body && JSON.stringify(body) });
  } catch {
    throw new Refusal(0, 'unreachable', 'The server does not answer. Is it still running?');
  }
  const answer = await response.json().catch(() => null);
  if (!response.ok) {
    const error = answer?.error ?? { code: 'internal', message: `The server answered ${response.status}.` };
    throw new Refusal(response.status, error.code, error.message);
  }
  return answer;
}

export const people = () => request('GET', '/people');
export const token = () => request('POST', '/token').then((answer) => answer.token);

export const boards = () => request('GET', '/boards').then((answer) => answer.boards);
export const createBoard = (board) => request('POST', '/boards', board);
export const updateBoard = (id, change) => request('PATCH', `/boards/${id}`, change);
export const deleteBoard = (id) => request('DELETE', `/boards/${id}`);

export const posts = (boardId) => request('GET', `/boards/${boardId}/posts`);
export const writePost = (boardId, post) => request('POST', `/boards/${boardId}/posts`, post);
export const editPost = (id, change) => request('PATCH', `/posts/${id}`, change);
export const movePost = (id, boardId) => request('PUT', `/posts/${id}/board`, { board_id: boardId });
export const deletePost = (id) => request('DELETE', `/posts/${id}`);
export const vote = (id) => request('PUT', `/posts/${id}/vote`);
export const unvote = (id) => request('DELETE', `/posts/${id}/vote`);

export const comments = (postId) => request('GET', `/posts/${postId}/comments`).then((answer) => answer.comments);
export const writeComment = (postId, comment) => request('POST', `/posts/${postId}/comments`, comment);
export const editComment = (id, content) => request('PATCH', `/comments/${id}`, { content });
export const deleteComment = (id) => request('DELETE', `/comments/${id}`);
