// The Socket.IO connection: the official client, a token, acknowledgements as promises.

/* global io */

/**
 * Connects and stays connected.
 *
 * @param getToken called for every attempt, so that a token which ran out meanwhile is replaced
 * @param on `state(state, detail)`, `event(name, payload, meta)`, `sent(name, argument)`, `ack(name, answer)`,
 *   `refused(code, message)`
 */
export function connect(getToken, on) {
  let retry;
  let closed = false;
  const socket = io({
    autoConnect: false,
    auth: (answer) => {
      getToken().then(
        (token) => answer({ token }),
        (error) => {
          on.state('waiting', error.message);
          // Without a token there is nothing to ask for yet; the attempt is given up and made again.
          socket.disconnect();
          retry = setTimeout(() => socket.connect(), 2_000);
        },
      );
    },
  });
  socket.on('connect', () => {
    on.state('connected', socket.io.engine.transport.name);
    socket.io.engine.once('upgrade', (transport) => on.state('connected', transport.name));
  });
  socket.on('disconnect', (reason) => {
    if (closed) return;
    on.state('waiting', reason);
    // The library comes back by itself, except when the server closed the connection on purpose.
    if (reason === 'io server disconnect') retry = setTimeout(() => socket.connect(), 1_000);
  });
  socket.on('connect_error', (error) => {
    if (socket.active) {
      on.state('waiting', error.message);
      return;
    }
    // The server refused: the code stands at the head of the message.
    const [, code, message] = /^([a-z_]+): (.*)$/s.exec(error.message) ?? [null, 'refused', error.message];
    on.state('refused', code);
    on.refused(code, message);
  });
  socket.onAny((name, ...args) => {
    const [payload, meta] = args.filter((arg) => typeof arg !== 'function');
    on.event(name, payload, meta);
  });

  on.state('connecting', '');
  socket.connect();

  return {
    get connected() {
      return socket.connected;
    },
    /** Sends a command and resolves with its acknowledgement; never rejects. */
    async ask(name, argument) {
      on.sent(name, argument);
      const answer = await socket.timeout(10_000).emitWithAck(name, argument).catch(() => ({
        ok: false,
        error: { code: 'timeout', message: 'The server has not acknowledged this within ten seconds.' },
      }));
      on.ack(name, answer);
      return answer;
    },
    reconnect() {
      socket.connect();
    },
    close() {
      closed = true;
      clearTimeout(retry);
      socket.disconnect();
    },
  };
}
