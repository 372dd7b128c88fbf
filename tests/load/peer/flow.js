// The flow of the benchmark as an xstate machine: two questions, an answer that chooses a branch,
// a goodbye. Three messages in, three out, as in `../turns.json`.
'use strict';

const { createActor, emit, assign, setup } = require('xstate');

const TOPIC = 'What is it about?\n\n1 an order\n2 a bill';
const words = { 1: 'order', 2: 'bill' };

const reply = (text) => emit({ type: 'reply', text });

const machine = setup({
  guards: {
    known: ({ event }) => event.text.trim() in words,
    order: ({ context }) => context.topic === 'order',
  },
}).createMachine({
  id: 'turns',
  initial: 'start',
  context: { topic: '', number: '' },
  states: {
    start: { on: { message: { target: 'topic', actions: reply(TOPIC) } } },
    topic: {
      on: {
        message: [
          {
            guard: 'known',
            target: 'number',
            actions: [
              assign({ topic: ({ event }) => words[event.text.trim()] }),
              emit(({ context }) => ({
                type: 'reply',
                text: `Which ${context.topic}? Please give its number.`,
              })),
            ],
          },
          { target: 'done', actions: reply('We will call you back.') },
        ],
      },
    },
    number: {
      on: {
        message: [
          {
            guard: 'order',
            target: 'done',
            actions: [
              assign({ number: ({ event }) => event.text }),
              emit(({ context }) => ({
                type: 'reply',
                text: `Order ${context.number} is on its way. Goodbye!`,
              })),
            ],
          },
          {
            target: 'done',
            actions: [
              assign({ number: ({ event }) => event.text }),
              emit(({ context }) => ({
                type: 'reply',
                text: `Bill ${context.number} is paid. Goodbye!`,
              })),
            ],
          },
        ],
      },
    },
    done: { type: 'final' },
  },
});

/// Takes one step: the stored snapshot (or null) and the customer's text in, replies and the
/// snapshot to store (null at the end) out.
function step(snapshot, text) {
  const actor = createActor(machine, snapshot ? { snapshot } : undefined);
  const replies = [];
  actor.on('reply', (event) => replies.push(event.text));
  actor.start();
  actor.send({ type: 'message', text });
  const after = actor.getSnapshot();
  const stored = after.status === 'active' ? actor.getPersistedSnapshot() : null;
  actor.stop();
  return { replies, snapshot: stored };
}

module.exports = { step };
