/* Scolarité Services — what helps to type a new password, an email address, a code: pages after the first have it beside enhance.js. */
(function start() {
  'use strict';
  var d = document, all = function (s, r) { return [].slice.call((r || d).querySelectorAll(s)); };
  var fold = function (s) { return s.normalize('NFD').replace(/[\u0300-\u036f]/g, '').toLowerCase(); };

  d.addEventListener('langue', start, { once: true });      /* another language: the fields are others */

  /* live rules; one sentence is spoken when typing pauses */
  all('.rules[data-for]').forEach(function (ul) {
    var p = d.getElementById(ul.dataset.for), say = ul.nextElementSibling, t;
    var avoid = fold(ul.dataset.avoid || '').split(' ').filter(function (w) { return w.length > 3; });
    var test = {
      len: function () { return Array.from(p.value).length >= +ul.dataset.min; },
      own: function () { var v = fold(p.value); return avoid.length ? !!v && !avoid.some(function (w) { return v.indexOf(w) >= 0; }) : null; }
    };
    var mark = function () {
      return all('li', ul).filter(function (li) {
        var ok = test[li.dataset.rule]();           /* null: only the server knows */
        li.classList.toggle('done', !!ok);
        li.querySelector('.vh').textContent = ok === null ? '' : ' – ' + (ok ? ul.dataset.done : ul.dataset.todo);
        return ok === false;
      }).length;
    };
    var run = function () {
      var left = mark();
      clearTimeout(t);
      t = setTimeout(function () { say.textContent = left ? ul.dataset.left.replace('{n}', left) : ul.dataset.ok; }, 900);
    };
    p.addEventListener('input', run);
    if (p.value) run(); else mark();                /* filled again by the browser */
  });

  /* address: a likely slip of the finger is offered, never imposed; hotmail.be is no slip of hotmail.fr */
  var near = function (a, b) {
    var m = [], i, j;
    for (i = 0; i <= a.length; i++) for (m[i] = [i], j = 1; j <= b.length; j++)
      m[i][j] = i ? Math.min(m[i - 1][j] + 1, m[i][j - 1] + 1, m[i - 1][j - 1] + (a[i - 1] !== b[j - 1]),
        i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? m[i - 2][j - 2] + 1 : 99) : j;
    return m[a.length][b.length];
  };
  var end = function (s) { return s.slice(s.lastIndexOf('.')); };
  all('[data-domains]').forEach(function (f) {
    var box = d.getElementById(f.dataset.tip), b = box.querySelector('button'), known = f.dataset.domains.split(' ');
    var look = function () {
      var at = f.value.trim().split('@'), typed = (at[1] || '').toLowerCase(), best = 3, hit = '';
      if (at.length === 2 && typed.length < 30 && known.indexOf(typed) < 0) known.forEach(function (x) {
        var n = near(x, typed);
        if (n < best && (n === 1 || end(x) === end(typed))) { best = n; hit = x; }
      });
      box.hidden = !hit;
      if (hit) b.textContent = at[0] + '@' + hit;
    };
    var typing;
    /* after a pause while typing, never at the tap on the button, which the line would push from under the finger */
    f.addEventListener('input', function () { clearTimeout(typing); typing = setTimeout(look, 400); });
    if (f.value) look();
    b.addEventListener('click', function () { f.value = b.textContent; box.hidden = true; f.focus(); });
  });

  /* the waiting page leads on when the link was opened, or the person signed in, elsewhere: it asks ever more rarely, and for half an hour at most */
  all('[data-poll]').forEach(function (f) {
    var pause = 3, end = Date.now() + 18e5, t;
    var ask = function () {
      clearTimeout(t);
      if (Date.now() > end || !f.isConnected) return;
      if (d.hidden) return;                         /* it asks again when the person comes back */
      fetch(f.dataset.poll, { credentials: 'same-origin', headers: { Accept: 'application/json' } }).then(function (answer) {
        if (answer.status >= 400 && answer.status < 500) end = 0;        /* the activation is over */
        return answer.ok ? answer.json() : {};
      }).then(function (state) {
        if (!end) return;
        if (state.state !== 'confirmed' && state.state !== 'replaced') return later();
        end = 0;
        if (state.state === 'confirmed') d.querySelector('[data-news]').hidden = false;
        location.replace(location.href);
      }).catch(later);
    };
    var later = function () { t = setTimeout(ask, 1000 * pause); pause = Math.min(60, pause * 1.4); };
    f.addEventListener('submit', function () { end = 0; });          /* the answer to the code must arrive */
    d.addEventListener('visibilitychange', ask);
    later();
  });
}());
