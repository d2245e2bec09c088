// Opens HTML reports in Chromium and says what is wrong with them: `node report.mjs CHROMIUM PICTURES FILE...`
// PICTURES is a folder for screenshots. Prints a line for each thing that holds; ends with 1 at the first that does not.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, delimiter, join } from 'node:path';
import { pathToFileURL } from 'node:url';

const require = createRequire(join(process.cwd(), 'x.cjs'));
const { chromium } = require('playwright-core');
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
// A program by its name, as a shell finds it.
const found = (name) => process.env.PATH.split(delimiter).map((f) => join(f, name)).find(existsSync) ?? name;
const [executablePath, pictures, ...files] = process.argv.slice(2);

// Plots, tables and their rows: three endpoints with four plots each, two forests and the noise; of others what their runs
// have.
const WHOLE = { plots: 15, tables: 7, rows: 30 };
const LEAST = {
  pass: WHOLE,
  fail: WHOLE,
  inconclusive: WHOLE,
  deployment: { plots: 15, tables: 9, rows: 40 },
  beside: { plots: 9, tables: 11, rows: 45 },
  looks: { plots: 9, tables: 6, rows: 20 },
  'beside hostile': { plots: 6, tables: 5, rows: 15 },
};
const SOME = { plots: 9, tables: 5, rows: 15 };

const browser = await chromium.launch({ executablePath: found(executablePath), args: ['--no-sandbox'] });

// Whatever is done in it, a page writes no errors, asks nothing and fetches nothing but itself.
async function visit(file, options, look) {
  const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, ...options });
  const page = await context.newPage();
  const problems = [];
  const requests = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) problems.push(message.text());
  });
  page.on('pageerror', (error) => problems.push(String(error)));
  page.on('dialog', (dialog) => {
    problems.push(`dialog ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on('request', (request) => requests.push(request.url()));
  const url = pathToFileURL(file).href;
  await page.goto(url);
  await look(page);
  if (options.javaScriptEnabled !== false) {
    assert.equal(await page.evaluate(() => window.pwned), undefined, 'nothing foreign ran');
  }
  assert.deepEqual(problems, [], 'no errors');
  assert.deepEqual(requests, [url], 'no request but for the page');
  await context.close();
}

// Of a page that is hundreds of screens long a picture takes minutes, and nobody would look at it.
async function picture(page, name) {
  const tall = await page.evaluate(() => document.documentElement.scrollHeight);
  await page.screenshot({ path: join(pictures, `${name}.png`), fullPage: tall < 12000 });
}

// Events reach the page after what caused them: what they do is waited for, and fails where it does not come.
const until = (page, what, message) => page.waitForFunction(what, null, { timeout: 5000 }).catch(() => assert.fail(message));

const openAll = (page) => page.$$eval('details', (all) => all.forEach((d) => { d.open = true; }));
const closeAll = (page) => page.$$eval('details', (all) => all.forEach((d) => { d.open = false; }));

// Everything that should be drawn is, and is told in words too.
async function drawn(page, least) {
  const plots = await page.$$eval('svg.plot', (all) => all.map((svg) => ({
    marks: svg.querySelectorAll('polyline, circle, rect, path:not(.grid), polygon').length,
    short: [...svg.querySelectorAll('polyline')].filter((l) => l.getAttribute('points').split(' ').length < 2).length,
    broken: /NaN|Infinity/.test(svg.outerHTML),
    words: svg.querySelector('desc').textContent.length,
    ticks: svg.querySelectorAll('.below text').length,
  })));
  assert.ok(plots.length >= least.plots, `${plots.length} plots`);
  for (const plot of plots) {
    assert.ok(plot.marks > 0 && plot.short === 0 && !plot.broken && plot.words > 20 && plot.ticks > 1, JSON.stringify(plot));
  }
  const tables = await page.locator('table').count();
  const rows = await page.locator('tbody tr').count();
  assert.ok(tables >= least.tables && rows >= least.rows, `${tables} tables with ${rows} rows`);
  assert.match(await page.getAttribute('meta[http-equiv]', 'content'), /^default-src 'none'; .*script-src 'sha256-/);
  return plots.length;
}

// Each box of each legend takes its own line away, and no other; the first by keyboard.
async function toggles(page) {
  await openAll(page);
  const told = await page.$$eval('figure:has(input)', (figures) => {
    const seen = (f, n) => [...f.querySelectorAll(`svg.plot .s${n}`)].filter((e) => getComputedStyle(e).display !== 'none').length;
    const wrong = [];
    let count = 0;
    for (const figure of figures) {
      const boxes = [...figure.querySelectorAll('input')];
      const styles = boxes.map((box) => box.className.slice(1));
      for (const box of boxes) {
        const before = styles.map((n) => seen(figure, n));
        box.click();
        const after = styles.map((n) => seen(figure, n));
        const own = boxes.indexOf(box);
        if (before.some((n) => n === 0) || after.some((n, i) => n !== (i === own ? 0 : before[i]))) wrong.push(figure.textContent);
        box.click();
        count += 1;
      }
    }
    return { wrong, count };
  });
  assert.deepEqual(told.wrong, []);
  if (told.count === 0) return 0;
  const box = page.locator('figure input').first();
  await box.focus();
  await page.keyboard.press('Space');
  assert.equal(await box.isChecked(), false, 'by keyboard');
  await page.keyboard.press('Space');
  return told.count;
}

// Pointer and arrow keys tell what the tables tell: p99 of the first endpoint on its curve.
async function values(page) {
  const plot = page.locator('details:has(svg[data-x]) svg[data-x]').first();
  if ((await plot.count()) === 0) return 'no values';
  await openAll(page);
  await plot.scrollIntoViewIfNeeded();
  const at = await plot.evaluate((svg) => {
    const tick = [...svg.querySelectorAll('.below text')].find((text) => text.textContent === '99%');
    const point = new DOMPoint(Number(tick.getAttribute('x')), 60).matrixTransform(svg.getScreenCTM());
    return [point.x, point.y];
  });
  await page.mouse.move(...at);
  const tip = page.locator('#tip');
  await until(page, () => !document.querySelector('#tip').hidden, 'the pointer tells values');
  const p99 = (text) => /p99 ([\d.]+ \S+)/.exec(text)[1];
  const table = p99(await plot.locator('desc').textContent());
  const told = /this run\s+([\d.]+) (\S+)/.exec(await tip.textContent());
  const [value, unit] = table.replace(',', '').split(' ');
  assert.equal(told[2], unit.replace(',', ''));
  assert.ok(Math.abs(told[1] / value - 1) < 0.05, `${told[0]} on the curve, ${table} in the table`);
  await page.mouse.move(0, 0);
  await until(page, () => document.querySelector('#tip').hidden, 'a pointer that leaves tells nothing');
  await plot.focus();
  await page.keyboard.press('Home');
  const first = await tip.textContent();
  await page.keyboard.press('ArrowRight');
  assert.notEqual(await tip.textContent(), first, 'arrow keys tell values');
  await page.keyboard.press('Escape');
  assert.equal(await tip.isVisible(), false);
  const over = page.locator('svg[data-x]:has(.s4)').first();
  await over.focus();
  await page.keyboard.press('ArrowRight');
  assert.match(await tip.textContent(), /p50 .*\np95 .*\np99 .*\nrequests\/s done|done {2}[\d.]+\/s/, 'rates are told too');
  return table;
}

async function links(page) {
  await closeAll(page);
  const stops = await page.$$eval('a, button, summary, input, [tabindex="0"]', (all) =>
    all.filter((e) => e.checkVisibility() && e.tabIndex >= 0).length);
  assert.ok(stops < 60, `${stops} places to tab through with all folds closed`);
  const link = page.locator('th a[href^="#e"]').first();
  if ((await link.count()) > 0) {
    await link.click();
    await until(page, () => document.querySelector('details:target')?.open, 'a row leads to its plots');
    await until(page, () => document.querySelector('details:target > summary') === document.activeElement, 'and so does the keyboard');
  }
  await closeAll(page);
  await page.locator('#open').click();
  assert.equal(await page.$$eval('details', (all) => all.filter((d) => !d.open).length), 0, 'all is opened');
}

const colours = (page) => page.evaluate(() => ['body', 'svg.plot .line, svg.plot line.interval', 'svg.plot text'].map((which) => {
  const style = getComputedStyle(document.querySelector(which));
  return which === 'body' ? style.backgroundColor : style.stroke + style.fill;
}));

async function themes(page, name) {
  const light = await colours(page);
  await picture(page, `${name}-light`);
  await page.locator('#dark').check();
  const dark = await colours(page);
  assert.ok(light.every((colour, i) => colour !== dark[i]), `dark has other colours: ${light} ${dark}`);
  await page.emulateMedia({ colorScheme: 'dark' });
  await page.locator('#light').check();
  assert.deepEqual(await colours(page), light, 'light where the system is dark');
  await page.locator('#auto').check();
  assert.deepEqual(await colours(page), dark, 'as the system');
  await page.emulateMedia({ colorScheme: 'light' });
}

// Nothing of what is drawn or written reaches beyond the page, or a plot's own frame.
const beyond = (page, width) => page.evaluate((width) => {
  const out = [...document.querySelectorAll('h1, h2, p, li, summary, td, th, figure, svg.plot')].filter((e) => e.getBoundingClientRect().right > width + 1);
  const clipped = [...document.querySelectorAll('svg.plot text')].filter((e) => {
    const [box, frame] = [e.getBBox(), e.ownerSVGElement.viewBox.baseVal];
    return box.width > 0 && (box.x < -1 || box.x + box.width > frame.width + 1);
  });
  return [...out, ...clipped].slice(0, 5).map((e) => `${e.tagName} ${e.textContent.slice(0, 80)}`);
}, width);

for (const file of files) {
  const name = basename(file, '.html');
  const least = LEAST[name] ?? SOME;
  await visit(file, { colorScheme: 'light' }, async (page) => {
    const plots = await drawn(page, least);
    await themes(page, name);
    const boxes = await toggles(page);
    const told = await values(page);
    await links(page);
    console.log(`ok ${name}: ${plots} plots, ${boxes} toggles, p99 ${told}, no errors, no requests`);
  });

  for (const colorScheme of ['light', 'dark']) {
    await visit(file, { colorScheme, bypassCSP: true }, async (page) => {
      await openAll(page);
      await page.evaluate(axe);
      const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
      const serious = found.violations
        .filter((v) => ['moderate', 'serious', 'critical'].includes(v.impact))
        .map((v) => `${v.id}: ${v.help}: ${v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160)).join(' | ')}`);
      assert.deepEqual(serious, [], `axe-core, ${colorScheme}`);
      if (colorScheme === 'dark') await picture(page, `${name}-dark`);
    });
  }
  console.log(`ok ${name}: axe-core finds nothing, in light and dark`);

  for (const width of [390, 320]) {
    await visit(file, { viewport: { width, height: 844 } }, async (page) => {
      await openAll(page);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(wide <= width, `at ${width} pixels the page is ${wide} wide`);
      if (width === 390) await picture(page, `${name}-390`);
    });
  }
  await visit(file, { javaScriptEnabled: false }, async (page) => {
    const plot = page.locator('svg.plot:visible');
    const shown = await plot.count();
    assert.ok(shown >= 3, `${shown} plots without scripts`);
    const box = await plot.first().boundingBox();
    assert.ok(box.width > 400 && box.height > 80, 'a plot has a size without scripts');
    // What is folded is printed all the same.
    await page.emulateMedia({ media: 'print' });
    const heights = await page.locator('details:not([open]) table').evaluateAll((all) => all.map((t) => t.getBoundingClientRect().height));
    assert.ok(heights.length > 0 && heights.every((height) => height > 20), `folds on paper: ${heights}`);
    console.log(`ok ${name}: fits 390 and 320 pixels; shows ${shown} plots without scripts`);
  });

  await visit(file, {}, async (page) => {
    await openAll(page);
    assert.deepEqual(await beyond(page, 1200), [], 'on the screen');
    const pdf = await page.pdf({ format: 'A4', path: join(pictures, `${name}.pdf`) });
    assert.ok(pdf.length > 20_000, `a PDF of ${pdf.length} bytes`);
    await page.emulateMedia({ media: 'print' });
    await page.setViewportSize({ width: 690, height: 980 });
    assert.deepEqual(await beyond(page, 690), [], 'on paper');
    const text = await page.locator('svg.plot text').first().evaluate((e) => e.getBoundingClientRect().height);
    assert.ok(text > 8, `text of ${text} pixels on paper`);
  });
  console.log(`ok ${name}: prints to A4`);
}
await browser.close();
