// The peer's front: checks the HMAC over the raw body, puts the body into a BullMQ queue, answers
// 200 when Redis has taken it. `node http.js PORT REDIS_PORT SECRET`
'use strict';

const { createHmac, timingSafeEqual } = require('node:crypto');
const { Queue } = require('bullmq');
const fastify = require('fastify');
const Redis = require('ioredis');

const { Group } = require('./group');

const [port, redisPort, secret] = process.argv.slice(2);
const connection = new Redis({ host: '127.0.0.1', port: Number(redisPort), maxRetriesPerRequest: null });
const queue = new Queue('webhooks', {
  connection,
  defaultJobOptions: { removeOnComplete: true, removeOnFail: true, attempts: 5 },
});
// Bodies that arrive together go to Redis in one pipeline.
const adding = new Group(256, (bodies) =>
  queue.addBulk(bodies.map((body) => ({ name: 'w', data: body }))),
);

function signed(header, body) {
  if (typeof header !== 'string' || !header.startsWith('sha256=')) return false;
  const given = Buffer.from(header.slice(7), 'hex');
  const right = createHmac('sha256', secret).update(body).digest();
  return given.length === right.length && timingSafeEqual(given, right);
}

const app = fastify({ logger: false, bodyLimit: 4 << 20 });
app.removeAllContentTypeParsers();
app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) =>
  done(null, body),
);
app.post('/webhooks/whatsapp', async (request, answer) => {
  if (!signed(request.headers['x-hub-signature-256'], request.body)) {
    return answer.code(401).send();
  }
  // As text: the worker parses it, once.
  await adding.submit(request.body.toString());
  return answer.code(200).send();
});
app.listen({ port: Number(port), host: '127.0.0.1' }).then(() => console.log('ready'));
