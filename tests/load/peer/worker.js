// The peer's worker: takes webhooks from BullMQ, runs one step of the customer's xstate machine on
// the snapshot in PostgreSQL, stores snapshot and outgoing message, posts it to the Graph API over
// keep-alive connections, and keeps statuses and ledger.
// `node worker.js PG_URL REDIS_PORT GRAPH_URL`
'use strict';

const { createInterface } = require('node:readline');

const { Queue, Worker } = require('bullmq');
const Redis = require('ioredis');
const { Pool } = require('pg');
const undici = require('undici');

const { step } = require('./flow');
const { Group } = require('./group');

const [pgUrl, redisPort, graphUrl] = process.argv.slice(2);
const CONCURRENCY = 128;

// As Frontdesk's connections have it: otherwise the plans made for empty tables stay while they grow.
const options = '-c jit=off -c enable_seqscan=off -c plan_cache_mode=force_generic_plan';
const pool = new Pool({ connectionString: pgUrl, max: 8, options });
const graph = new undici.Pool(graphUrl, { connections: 64, pipelining: 1 });

const SCHEMA = `
CREATE TABLE IF NOT EXISTS session (customer text PRIMARY KEY, snapshot text);
CREATE TABLE IF NOT EXISTS inbound (wamid text PRIMARY KEY, customer text NOT NULL, body text NOT NULL);
CREATE TABLE IF NOT EXISTS outbound (
  id text PRIMARY KEY, customer text NOT NULL, body text NOT NULL, wamid text, status text NOT NULL);
CREATE TABLE IF NOT EXISTS ledger (
  wamid text PRIMARY KEY, customer text NOT NULL, category text NOT NULL, amount_micros bigint NOT NULL);
`;

// Every statement is prepared once per connection (it has a name) and takes whole groups.
const LOAD = {
  name: 'load',
  text: `SELECT k.customer, s.snapshot, i.wamid IS NOT NULL AS known
         FROM unnest($1::text[], $2::text[]) AS k (customer, wamid)
         LEFT JOIN session s ON s.customer = k.customer
         LEFT JOIN inbound i ON i.wamid = k.wamid`,
};
// One statement, one commit, one flush for a group of turns.
const SAVE = {
  name: 'save',
  text: `WITH taken AS (
           INSERT INTO inbound (wamid, customer, body)
           SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) ON CONFLICT DO NOTHING),
         kept AS (
           INSERT INTO session (customer, snapshot) SELECT * FROM unnest($2::text[], $4::text[])
           ON CONFLICT (customer) DO UPDATE SET snapshot = excluded.snapshot)
         INSERT INTO outbound (id, customer, body, status)
         SELECT id, customer, body, 'queued' FROM unnest($5::text[], $6::text[], $7::text[])
           AS o (id, customer, body) ON CONFLICT DO NOTHING`,
};
const SENT = {
  name: 'sent',
  text: `UPDATE outbound SET wamid = n.wamid, status = 'accepted'
         FROM unnest($1::text[], $2::text[]) AS n (id, wamid)
         WHERE outbound.id = n.id AND outbound.status = 'queued'`,
};
// The ledger gets a row when a message is delivered, once.
const STATUSES = {
  name: 'statuses',
  text: `WITH told AS (
           SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
             AS s (id, wamid, customer, status, category)),
         billed AS (
           INSERT INTO ledger (wamid, customer, category, amount_micros)
           SELECT wamid, customer, category, 0 FROM told WHERE status = 'delivered'
           ON CONFLICT DO NOTHING)
         UPDATE outbound SET status = t.status, wamid = t.wamid
         FROM (SELECT DISTINCT ON (id) * FROM told ORDER BY id, array_position(ARRAY['read', 'delivered', 'sent'], status)) t
         WHERE outbound.id = t.id
           AND array_position(ARRAY['queued', 'accepted', 'sent', 'delivered', 'read'], outbound.status)
             < array_position(ARRAY['queued', 'accepted', 'sent', 'delivered', 'read'], t.status)`,
};

const column = (items, name) => items.map((item) => item[name]);

const load = new Group(256, async (items) => {
  const { rows } = await pool.query({
    ...LOAD,
    values: [column(items, 'customer'), column(items, 'wamid')],
  });
  const found = new Map(rows.map((row) => [row.customer, row]));
  return items.map((item) => found.get(item.customer));
});
const save = new Group(256, async (items) => {
  const out = items.flatMap((item) => item.out);
  await pool.query({
    ...SAVE,
    values: [
      column(items, 'wamid'), column(items, 'customer'), column(items, 'body'),
      column(items, 'snapshot'), column(out, 'id'), column(out, 'customer'), column(out, 'text'),
    ],
  });
  return items;
});
const sent = new Group(256, async (items) => {
  await pool.query({ ...SENT, values: [column(items, 'id'), column(items, 'wamid')] });
  return items;
});
const told = new Group(256, async (items) => {
  await pool.query({
    ...STATUSES,
    values: ['id', 'wamid', 'customer', 'status', 'category'].map((name) => column(items, name)),
  });
  return items;
});

async function message(numberId, message) {
  const customer = message.from;
  const wamid = message.id;
  const body = message.text.body;
  const before = await load.submit({ customer, wamid });
  if (before.known) return;
  const { replies, snapshot } = step(before.snapshot && JSON.parse(before.snapshot), body);
  const out = replies.map((text, at) => ({ id: `${wamid}.${at}`, customer, text }));
  const stored = snapshot && JSON.stringify(snapshot);
  await save.submit({ customer, wamid, body, snapshot: stored, out });
  for (const one of out) {
    const answer = await graph.request({
      method: 'POST',
      path: `/v24.0/${numberId}/messages`,
      headers: { 'content-type': 'application/json', authorization: 'Bearer dev-graph-token' },
      body: JSON.stringify({
        messaging_product: 'whatsapp', recipient_type: 'individual', to: customer, type: 'text',
        text: { body: one.text }, biz_opaque_callback_data: one.id,
      }),
    });
    const { messages } = await answer.body.json();
    await sent.submit({ id: one.id, wamid: messages[0].id });
  }
}

const status = (update) =>
  told.submit({
    id: update.biz_opaque_callback_data, wamid: update.id, customer: update.recipient_id,
    status: update.status, category: update.pricing?.category ?? '',
  });

async function job({ data }) {
  const body = JSON.parse(data);
  const work = [];
  for (const entry of body.entry) {
    for (const { value } of entry.changes) {
      for (const one of value.messages ?? []) {
        work.push(message(value.metadata.phone_number_id, one));
      }
      for (const one of value.statuses ?? []) work.push(status(one));
    }
  }
  await Promise.all(work);
}

async function main() {
  await pool.query(SCHEMA);
  const connection = new Redis({
    host: '127.0.0.1', port: Number(redisPort), maxRetriesPerRequest: null,
  });
  const worker = new Worker('webhooks', job, { connection, concurrency: CONCURRENCY });
  worker.on('failed', (_job, error) => console.error(error));
  worker.on('error', (error) => console.error(error));
  await worker.waitUntilReady();
  console.log('ready');
  // The driver asks by a line what the ledger holds, or what is not done yet.
  const queue = new Queue('webhooks', { connection });
  for await (const line of createInterface({ input: process.stdin })) {
    if (line === 'waiting') {
      console.log(await queue.getJobCountByTypes('wait', 'active', 'delayed', 'prioritized'));
    } else {
      const { rows } = await pool.query('SELECT count(*) AS count FROM ledger');
      console.log(rows[0].count);
    }
  }
}

main();
