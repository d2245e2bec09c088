(() => {
  'use strict';
  const tip = document.createElement('div');
  tip.id = 'tip';
  tip.hidden = true;
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
    s: (v) => three(v) + ' s',
    nines: (v) => Number((100 * (1 - Math.pow(10, -v))).toFixed(Math.max(0, Math.ceil(v)))) + '%',
  };
  for (const svg of document.querySelectorAll('svg[data-x]')) {
    const x = scale(svg.dataset.x);
    const y = scale(svg.dataset.y);
    const lines = [...svg.querySelectorAll('polyline[data-name]')].map((line) => ({
      line,
      points: line.getAttribute('points').split(' ').map((p) => p.split(',').map(Number)),
    }));
    const cursor = document.createElementNS('http://www.w3.org/2000/svg', 'line');
    cursor.setAttribute('class', 'cursor');
    const hide = () => { tip.hidden = true; cursor.remove(); };
    svg.addEventListener('pointerleave', hide);
    svg.addEventListener('pointermove', (event) => {
      const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
      const rows = new Map();
      let nearest = null;
      for (const { line, points } of lines) {
        if (getComputedStyle(line).display === 'none') continue;
        for (const [px, py] of points) {
          const far = Math.abs(px - at.x);
          const own = rows.get(line.dataset.name);
          if (!own || far < own.far) rows.set(line.dataset.name, { far, px, py });
          if (nearest === null || far < Math.abs(nearest - at.x)) nearest = px;
        }
      }
      if (nearest === null) return hide();
      const head = told[x.unit](x.value(nearest));
      const body = [...rows].map(([name, p]) => name + '  ' + told[y.unit](y.value(p.py)));
      tip.textContent = [head, ...body].join('\n');
      tip.hidden = false;
      tip.style.left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8) + 'px';
      tip.style.top = Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8) + 'px';
      for (const [name, value] of [['x1', nearest], ['x2', nearest], ['y1', 10], ['y2', svg.viewBox.baseVal.height - 34]])
        cursor.setAttribute(name, value);
      svg.append(cursor);
    });
  }
  const all = () => [...document.querySelectorAll('details')];
  const button = document.getElementById('open');
  if (button) {
    button.hidden = false;
    button.addEventListener('click', () => {
      const open = all().some((d) => !d.open);
      all().forEach((d) => { d.open = open; });
      button.textContent = open ? 'close all' : 'open all';
      button.setAttribute('aria-pressed', open);
    });
  }
  const reveal = () => {
    const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
    if (target && target.tagName === 'DETAILS') target.open = true;
  };
  addEventListener('hashchange', reveal);
  reveal();
  let closed = [];
  addEventListener('beforeprint', () => { closed = all().filter((d) => !d.open); closed.forEach((d) => { d.open = true; }); });
  addEventListener('afterprint', () => closed.forEach((d) => { d.open = false; }));
})();
