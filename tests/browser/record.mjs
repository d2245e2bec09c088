// A small shop, and what Chromium records of a visit to it: `node record.mjs CHROMIUM HAR`. Prints the shop's address once the
// recording is written, and serves until standard input closes, so that what was made of it can be tried on the same shop.
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, join } from 'node:path';

const { chromium } = createRequire(join(process.cwd(), 'x.cjs'))('playwright-core');
const found = (name) => process.env.PATH.split(delimiter).map((f) => join(f, name)).find(existsSync) ?? name;
const [executablePath, har] = process.argv.slice(2);

const [forms, sessions, tokens, orders] = [new Set(), new Set(), new Set(), new Map()];
const LOGIN = (csrf) => `<!doctype html><link rel="stylesheet" href="/site.css"><form method="post" action="/login">
<input type="hidden" name="csrf" value="${csrf}"><input name="user"><input type="password" name="password"><button>in</button></form>`;
const APP = (cdn) => `<!doctype html><script src="/app.js"></script><img src="${cdn}/logo.png"><script>
const api = (path, more = {}) => fetch(path, more).then((r) => r.json());
const json = { 'content-type': 'application/json' };
(async () => {
  const { access_token } = await api('/api/token', { method: 'POST', headers: json, body: JSON.stringify({ user: 'ann', password: 'hunter2-hunter2' }) });
  const headers = { ...json, authorization: 'Bearer ' + access_token, 'idempotency-key': crypto.randomUUID() };
  const { id } = await api('/api/orders', { method: 'POST', headers, body: JSON.stringify({ sku: 'A-1', note: 'costs \${x}' }) });
  await api('/api/orders/' + id + '?fields=all&api_key=k-4711-4711', { headers });
  await fetch('/api/orders/' + id, { method: 'DELETE', headers });
  await fetch('${cdn}/beat?from=shop').catch(() => {});
  document.title = 'done';
})();
</script>`;

const body = async (request) => {
  let text = '';
  for await (const piece of request) text += piece;
  return text;
};
const cookies = (request) => Object.fromEntries((request.headers.cookie ?? '').split('; ').map((pair) => pair.split('=')));
let cdn = '';
const shop = createServer(async (request, response) => {
  const send = (status, type, text, more = {}) => response.writeHead(status, { 'content-type': type, ...more }).end(text);
  const answer = (status, value) => send(status, 'application/json', JSON.stringify(value));
  const url = new URL(request.url, 'http://shop');
  const text = await body(request);
  const known = tokens.has((request.headers.authorization ?? '').replace('Bearer ', ''));
  const id = url.pathname.split('/')[3];
  if (url.pathname === '/login' && request.method === 'GET') {
    const csrf = randomUUID();
    forms.add(csrf);
    return send(200, 'text/html', LOGIN(csrf));
  }
  if (url.pathname === '/login') {
    const form = new URLSearchParams(text);
    if (!forms.has(form.get('csrf')) || form.get('password') !== 'hunter2-hunter2') return answer(403, {});
    const session = randomUUID();
    sessions.add(session);
    return send(303, 'text/plain', '', { location: '/', 'set-cookie': `sid=${session}; Path=/` });
  }
  if (url.pathname === '/') return sessions.has(cookies(request).sid) ? send(200, 'text/html', APP(cdn)) : answer(401, {});
  if (url.pathname === '/api/token') {
    if (!sessions.has(cookies(request).sid) || JSON.parse(text).password !== 'hunter2-hunter2') return answer(403, {});
    const token = randomUUID();
    tokens.add(token);
    return answer(200, { access_token: token, expires_in: 60 });
  }
  if (url.pathname.startsWith('/api/') && !known) return answer(401, {});
  if (url.pathname === '/api/orders' && JSON.parse(text).note === 'costs ${x}') {
    const own = `ord_${randomUUID().slice(0, 12)}`;
    orders.set(own, JSON.parse(text));
    return answer(201, { id: own });
  }
  if (orders.has(id) && request.method === 'DELETE') return orders.delete(id), response.writeHead(204).end();
  if (orders.has(id) && url.searchParams.get('api_key') === 'k-4711-4711') return answer(200, orders.get(id));
  if (url.pathname === '/app.js') return send(200, 'text/javascript', '');
  if (url.pathname === '/site.css') return send(200, 'text/css', '');
  return answer(404, {});
});
const other = createServer((request, response) => {
  const image = request.url.endsWith('.png');
  response.writeHead(200, { 'content-type': image ? 'image/png' : 'application/json', 'access-control-allow-origin': '*' }).end('{}');
});
const listen = (server) => new Promise((done) => server.listen(0, '127.0.0.1', () => done(server.address().port)));
const address = `http://127.0.0.1:${await listen(shop)}`;
cdn = `http://localhost:${await listen(other)}`;

const browser = await chromium.launch({ executablePath: found(executablePath), args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking'] });
const context = await browser.newContext({ recordHar: { path: har, content: 'embed' } });
const page = await context.newPage();
await page.goto(`${address}/login`);
await page.fill('[name=user]', 'ann');
await page.fill('[name=password]', 'hunter2-hunter2');
await page.click('button');
await page.waitForFunction(() => document.title === 'done');
await context.close();
await browser.close();
console.log(address);
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
