(() => {
  'use strict';
  const tip = document.createElement('div');
  tip.id = 'tip';
  tip.hidden = true;
  tip.setAttribute('role', 'status');
  document.body.append(tip);
  const scale = (text) => {
    const [start, end, from, to, kind, unit] = text.split(',');
    const [s, e, f, t] = [start, end, from, to].map(Number);
    return {
      unit,
      value: (at) => {
        const share = (at - s) / (e - s);
        return kind === 'log' ? f * Math.pow(t / f, share) : f + share * (t - f);
      },
    };
  };
  const three = (v) => Number(v.toPrecision(3));
  const told = {
    ms: (v) => (v >= 999.5 ? three(v / 1000) + ' s' : v >= 0.9995 ? three(v) + ' ms' : three(v * 1000) + ' µs'),
    s: (v) => three(Math.max(0, v)) + ' s',
    '/s': (v) => three(Math.max(0, v)) + '/s',
    nines: (v) => Number((100 * (1 - Math.pow(10, -v))).toFixed(Math.max(0, Math.ceil(v)))) + '%',
  };
  for (const svg of document.querySelectorAll('svg[data-x]')) {
    const x = scale(svg.dataset.x);
    const looks = svg.dataset.looks?.split(',').map(Number);
    const head = (at) => {
      const value = x.value(at);
      if (!looks) return told[x.unit](value);
      const own = Math.max(0, looks.findLastIndex((origin) => origin <= value));
      return 'look ' + (own + 1) + ', ' + told[x.unit](value - looks[own]);
    };
    const lines = [...svg.querySelectorAll('polyline[data-name]')].map((line) => ({
      line,
      y: scale(line.dataset.y ?? svg.dataset.y),
      points: line.getAttribute('points').split(' ').map((p) => p.split(',').map(Number)),
    }));
    const errors = new Map();
    for (const path of svg.querySelectorAll('path[data-counts]')) {
      const counts = path.dataset.counts.split(',');
      [...path.getAttribute('d').matchAll(/M([\d.]+),/g)].forEach((m, i) => errors.set(Number(m[1]), counts[i]));
    }
    const cursor = document.createElementNS('http://www.w3.org/2000/svg', 'line');
    cursor.setAttribute('class', 'cursor');
    let current = null;
    const hide = () => { tip.hidden = true; cursor.remove(); current = null; };
    const seen = () => lines.filter(({ line }) => getComputedStyle(line).display !== 'none');
    // Values at the point of the curves that is nearest to `at`; the tip stands beside it, or beside the pointer.
    const show = (at, pointer) => {
      const rows = new Map();
      let nearest = null;
      for (const { line, y, points } of seen()) {
        for (const [px, py] of points) {
          const far = Math.abs(px - at);
          const own = rows.get(line.dataset.name);
          if (!own || far < own.far) rows.set(line.dataset.name, { far, py, y });
          if (nearest === null || far < Math.abs(nearest - at)) nearest = px;
        }
      }
      if (nearest === null) return hide();
      current = nearest;
      const body = [...rows].map(([name, p]) => name + '  ' + told[p.y.unit](p.y.value(p.py)));
      if (svg.querySelector('path[data-counts]')) body.push('errors  ' + (errors.get(nearest) ?? 0));
      tip.textContent = [head(nearest), ...body].join('\n');
      tip.hidden = false;
      const box = svg.getBoundingClientRect();
      const by = pointer ?? new DOMPoint(nearest, 20).matrixTransform(svg.getScreenCTM());
      const [left, top] = pointer ? [by.clientX, by.clientY] : [Math.min(Math.max(by.x, box.left), box.right), by.y];
      tip.style.left = Math.max(0, Math.min(left + 14, innerWidth - tip.offsetWidth - 8)) + 'px';
      tip.style.top = Math.max(0, Math.min(top + 14, innerHeight - tip.offsetHeight - 8)) + 'px';
      for (const [name, value] of [['x1', nearest], ['x2', nearest], ['y1', 10], ['y2', svg.viewBox.baseVal.height - 34]])
        cursor.setAttribute(name, value);
      svg.append(cursor);
    };
    svg.addEventListener('pointerleave', hide);
    svg.addEventListener('pointermove', (event) => {
      show(new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse()).x, event);
    });
    svg.tabIndex = 0;
    svg.addEventListener('blur', hide);
    svg.addEventListener('keydown', (event) => {
      if (event.key === 'Escape') return hide();
      const all = [...new Set(seen().flatMap(({ points }) => points.map(([px]) => px)))].sort((a, b) => a - b);
      const here = current === null ? -1 : all.indexOf(current);
      const to = { ArrowRight: here + 1, ArrowLeft: current === null ? all.length - 1 : here - 1, Home: 0, End: all.length - 1 }[event.key];
      if (to === undefined || all.length === 0) return;
      event.preventDefault();
      show(all[Math.max(0, Math.min(all.length - 1, to))]);
    });
  }
  // What cannot be seen without scrolling is reached by keyboard; what fits is not stopped at.
  const wide = [...document.querySelectorAll('.scroll, pre')];
  const reach = () => wide.forEach((e) => {
    if (e.scrollWidth > e.clientWidth && !e.querySelector('svg[data-x]')) e.tabIndex = 0;
    else e.removeAttribute('tabindex');
  });
  addEventListener('resize', reach);
  addEventListener('toggle', reach, true);
  reach();
  document.getElementById('keys').hidden = !document.querySelector('svg[data-x]');
  const all = () => [...document.querySelectorAll('details')];
  const button = document.getElementById('open');
  button.hidden = all().length === 0;
  button.addEventListener('click', () => {
    const open = all().some((d) => !d.open);
    all().forEach((d) => { d.open = open; });
    button.textContent = open ? 'close all' : 'open all';
    button.setAttribute('aria-pressed', open);
  });
  const reveal = () => {
    const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
    if (!target || target.tagName !== 'DETAILS') return;
    target.open = true;
    target.querySelector('summary').focus({ preventScroll: true });
  };
  addEventListener('hashchange', reveal);
  reveal();
  let closed = [];
  addEventListener('beforeprint', () => { closed = all().filter((d) => !d.open); closed.forEach((d) => { d.open = true; }); });
  addEventListener('afterprint', () => closed.forEach((d) => { d.open = false; }));
})();
