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

const browser = await chromium.launch({ executablePath: found(executablePath), args: ['--no-sandbox'] });

async function open(file, options) {
  const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, ...options });
  const page = await context.newPage();
  const problems = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) problems.push(message.text());
  });
  page.on('pageerror', (error) => problems.push(String(error)));
  page.on('dialog', (dialog) => {
    problems.push(`dialog ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on('request', (request) => {
    if (!/^file:/.test(request.url())) problems.push(`request to ${request.url()}`);
  });
  await page.goto(pathToFileURL(file).href);
  return { context, page, problems };
}

// Of a page that is hundreds of screens long a picture takes minutes, and nobody would look at it.
async function picture(page, name) {
  const tall = await page.evaluate(() => document.documentElement.scrollHeight);
  await page.screenshot({ path: join(pictures, `${name}.png`), fullPage: tall < 12000 });
}

async function toggles(page) {
  const figure = page.locator('figure:has(input.t1)').first();
  if ((await figure.count()) === 0) return;
  await page.$$eval('details', (all) => all.forEach((d) => { d.open = true; }));
  const box = figure.locator('input.t1');
  const line = figure.locator('svg.plot polyline.s1').first();
  assert.equal(await line.isVisible(), true);
  await box.focus();
  await page.keyboard.press('Space');
  assert.equal(await line.evaluate((e) => getComputedStyle(e).display), 'none', 'a line is switched off by keyboard');
  await box.check();
  assert.equal(await line.isVisible(), true);
}

for (const file of files) {
  const name = basename(file, '.html');
  const { context, page, problems } = await open(file, { colorScheme: 'light' });
  const plots = await page.locator('svg.plot').count();
  const light = await page.$eval('body', (e) => getComputedStyle(e).backgroundColor);
  await picture(page, `${name}-light`);
  await page.locator('#dark').check();
  const dark = await page.$eval('body', (e) => getComputedStyle(e).backgroundColor);
  assert.notEqual(dark, light, 'dark is another background');
  await page.locator('#auto').check();
  await toggles(page);
  const closed = () => page.$$eval('details', (all) => all.filter((d) => !d.open).length);
  await page.$$eval('details', (all) => all.forEach((d) => { d.open = false; }));
  if ((await page.locator('details').count()) > 0) {
    await page.locator('#open').click();
    assert.equal(await closed(), 0, 'all is opened');
  }
  const link = page.locator('th a[href^="#e"]').first();
  if ((await link.count()) > 0) {
    await page.$$eval('details', (all) => all.forEach((d) => { d.open = false; }));
    await link.click();
    assert.equal(await page.locator('details:target').evaluate((d) => d.open), true, 'a row leads to its plots');
  }
  const plot = page.locator('svg[data-x]').first();
  if ((await plot.count()) > 0) {
    await plot.scrollIntoViewIfNeeded();
    await plot.hover();
    const tip = await page.locator('#tip').textContent();
    assert.match(tip, /\d (µs|ms|s)/, 'hovering tells values');
    assert.equal(await page.locator('#tip').isVisible(), true);
  }
  assert.equal(await page.evaluate(() => window.pwned), undefined, 'nothing foreign ran');
  assert.deepEqual(problems, [], 'no errors, no requests');
  await context.close();
  console.log(`ok ${name}: ${plots} plots, toggles, hovering, no errors, no requests`);

  for (const colorScheme of ['light', 'dark']) {
    const { context, page } = await open(file, { colorScheme, bypassCSP: true });
    await page.$$eval('details', (all) => all.forEach((d) => { d.open = true; }));
    await page.evaluate(axe);
    const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
    const serious = found.violations
      .filter((v) => ['serious', 'critical'].includes(v.impact))
      .map((v) => `${v.id}: ${v.help}: ${v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160)).join(' | ')}`);
    assert.deepEqual(serious, [], `axe-core, ${colorScheme}`);
    if (colorScheme === 'dark') await picture(page, `${name}-dark`);
    await context.close();
  }
  console.log(`ok ${name}: axe-core finds nothing serious, in light and dark`);

  const narrow = await open(file, { viewport: { width: 390, height: 844 } });
  const wide = await narrow.page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(wide <= 390, `at 390 pixels the page is ${wide} wide`);
  await picture(narrow.page, `${name}-390`);
  await narrow.context.close();

  const still = await open(file, { javaScriptEnabled: false });
  const shown = await still.page.locator('svg.plot:visible').count();
  assert.ok(plots === 0 || shown > 0, 'plots are there without scripts');
  if (shown > 0) {
    const box = await still.page.locator('svg.plot:visible').first().boundingBox();
    assert.ok(box.width > 200 && box.height > 50, 'a plot has a size without scripts');
  }
  assert.deepEqual(still.problems, []);
  await still.context.close();
  console.log(`ok ${name}: fits 390 pixels; shows ${shown} plots without scripts`);

  const paper = await open(file, {});
  const pdf = await paper.page.pdf({ format: 'A4', path: join(pictures, `${name}.pdf`) });
  assert.ok(pdf.length > 1000);
  await paper.page.emulateMedia({ media: 'print' });
  await paper.page.setViewportSize({ width: 690, height: 980 });
  const printed = await paper.page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(printed <= 690, `on paper the page is ${printed} of 690 wide`);
  await paper.context.close();
  console.log(`ok ${name}: prints to A4`);
}
await browser.close();
