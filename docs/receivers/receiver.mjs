// A receiver of sfsync's callbacks in JavaScript (Node 18 or newer): npm install standardwebhooks, and run it.
//
//     CALLBACK_SECRET=whsec_… node receiver.mjs
//
// It checks who has sent a message, keeps the newest number of each SKU, and answers fast. It keeps nothing on
// disk: when it starts it reads all numbers from `GET /v1/levels`, where SFSYNC_URL, SFSYNC_TOKEN and CHANNEL are
// given. Put a web server that speaks TLS in front of it.
//
//     CALLBACK_SECRET   one secret, or several with blanks between while they rotate
//     PORT              8900 by default; 0 takes a free one
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { Webhook } from 'standardwebhooks';

const MOST_BYTES = 256 * 1024;
const AGAIN_MS = 5000;
const secrets = process.env.CALLBACK_SECRET.trim().split(/\s+/).map((secret) => new Webhook(secret));
const stock = new Map(); // SKU -> location -> { quantity, sequence }

// Keep what is newer than what we have: an older number changes nothing.
function take(levels) {
  for (const { sku, location, quantity, sequence } of levels) {
    if (!stock.has(sku)) stock.set(sku, new Map());
    const known = stock.get(sku).get(location);
    if (!known || sequence > known.sequence) stock.get(sku).set(location, { quantity, sequence });
  }
}

// What the shop may show of a SKU; one that nobody has told of is not for sale.
function quantityOf(sku) {
  return [...(stock.get(sku)?.values() ?? [])].reduce((sum, { quantity }) => sum + quantity, 0);
}

// True for a message that one of our secrets signed, in the last five minutes.
function signed(body, headers) {
  return secrets.some((secret) => {
    try {
      secret.verify(body, headers, { jsonParse: false });
      return true;
    } catch {
      return false;
    }
  });
}

async function read(request) {
  const parts = [];
  let size = 0;
  for await (const part of request) {
    size += part.length;
    if (size > MOST_BYTES) return null;
    parts.push(part);
  }
  return Buffer.concat(parts); // the very bytes: the signature is over them
}

async function door(request, response) {
  if (request.method === 'GET') {
    const sku = new URL(request.url, 'http://localhost').searchParams.get('sku') ?? '';
    response.writeHead(200, { 'content-type': 'application/json' });
    return response.end(JSON.stringify({ sku, quantity: quantityOf(sku) }));
  }
  const body = await read(request);
  if (body === null) return response.writeHead(413, { connection: 'close' }).end();
  if (!signed(body, request.headers)) return response.writeHead(401).end();
  const message = JSON.parse(body.toString());
  if (message.type === 'stock.changed') take(message.data.levels); // other types may come one day
  return response.writeHead(204).end();
}

// Read all numbers. What comes in by callback meanwhile is newer, and stays.
async function catchUp(url, token, channel) {
  let cursor = null;
  for (;;) {
    const query = new URLSearchParams({ channel, limit: '1000', ...(cursor && { after: cursor }) });
    try {
      const answer = await fetch(`${url}/v1/levels?${query}`, { headers: { authorization: `Bearer ${token}` } });
      if (!answer.ok) throw new Error(`sfsync answers ${answer.status}`);
      const page = await answer.json();
      take(page.levels);
      cursor = page.cursor;
      if (!page.more) return;
    } catch (error) {
      console.error(`not caught up yet: ${error.message}`);
      await sleep(AGAIN_MS);
    }
  }
}

const server = createServer((request, response) => {
  door(request, response).catch(() => response.writeHead(500).end());
});
server.requestTimeout = 10_000; // for a sender to say what it has to say
server.listen(Number(process.env.PORT ?? 8900), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}/stock`);
  const { SFSYNC_URL, SFSYNC_TOKEN, CHANNEL } = process.env;
  if (SFSYNC_URL) catchUp(SFSYNC_URL, SFSYNC_TOKEN, CHANNEL);
});
