/* Scolarité Services — every page works without this file. Texts come from data-* attributes (translated by the server). */
(function () {
  'use strict';
  var d = document, all = function (s, r) { return [].slice.call((r || d).querySelectorAll(s)); };
  var fold = function (s) { return s.normalize('NFD').replace(/[\u0300-\u036f]/g, '').toLowerCase(); };

  /* a form that the server refused: Back and reload ask for its page again, where they would send it again */
  if (d.querySelector('form[novalidate]')) history.replaceState(history.state, '');

  /* errors: the summary takes the focus, its links take it to the field */
  var sum = d.querySelector('.sum');
  if (sum) sum.focus();
  all('.sum a[href^="#"]').forEach(function (a) {
    a.addEventListener('click', function (e) {
      var f = d.getElementById(a.hash.slice(1));
      if (f) { e.preventDefault(); f.focus(); f.scrollIntoView({ block: 'center' }); }
    });
  });

  /* menu of languages: Escape closes it and gives the focus back */
  all('.langs').forEach(function (menu) {
    menu.addEventListener('keydown', function (e) {
      if (e.key === 'Escape' && menu.open) { menu.open = false; menu.querySelector('summary').focus(); }
    });
  });

  /* another language: the form is shown again with what was typed; a password is not even sent */
  all('.langs [name=langue]').forEach(function (b) {
    b.addEventListener('click', function () {
      all('.eyed > input', b.form).forEach(function (f) {
        f.disabled = true;
        setTimeout(function () { f.disabled = false; });
      });
    });
  });

  /* show / hide password */
  all('.eye').forEach(function (b) {
    var f = d.getElementById(b.getAttribute('aria-controls'));
    var hide = function () { f.type = 'password'; b.classList.remove('on'); };
    b.hidden = false;
    b.parentNode.classList.add('eyed');
    b.addEventListener('click', function () {
      if (f.type === 'text') return hide();
      f.type = 'text';
      b.classList.add('on');
    });
    if (f.form) f.form.addEventListener('submit', hide);
  });

  /* live rules; one sentence is spoken when typing pauses */
  all('.rules[data-for]').forEach(function (ul) {
    var p = d.getElementById(ul.dataset.for), say = ul.nextElementSibling, t;
    var avoid = fold(ul.dataset.avoid || '').split(' ').filter(function (w) { return w.length > 3; });
    var test = {
      len: function () { return Array.from(p.value).length >= +ul.dataset.min; },
      own: function () { var v = fold(p.value); return avoid.length ? !!v && !avoid.some(function (w) { return v.indexOf(w) >= 0; }) : null; }
    };
    var run = function () {
      var left = 0;
      all('li', ul).forEach(function (li) {
        var ok = test[li.dataset.rule]();           /* null: only the server knows */
        li.classList.toggle('done', !!ok);
        if (ok === false) left++;
      });
      clearTimeout(t);
      t = setTimeout(function () { say.textContent = left ? ul.dataset.left.replace('{n}', left) : ul.dataset.ok; }, 900);
    };
    p.addEventListener('input', run);
    if (p.value) run();                             /* filled again by the browser */
  });

  /* countdown: resend, throttle. The server decides; this only tells, and speaks at the end. */
  all('[data-wait]').forEach(function (b) {
    var end = Date.now() + b.dataset.wait * 1000, out = d.getElementById(b.dataset.out), texts = out.dataset;
    var kind = new Intl.PluralRules(d.documentElement.lang);
    var say = function (n, usual, prefix) {       /* the form of the page's language for this number */
      var k = kind.select(n), own = prefix ? prefix + k[0].toUpperCase() + k.slice(1) : k;
      return (texts[own] || texts[usual]).replace('{n}', n);
    };
    var tick = function () {
      var n = Math.ceil((end - Date.now()) / 1000), wait = n > 0;
      b.setAttribute('aria-disabled', wait);
      if (n < 2) out.setAttribute('role', 'status');
      out.textContent = !wait ? texts.over : n >= 120 ? say(Math.ceil(n / 60), 'minutes', 'minutes') : say(n, 'text', '');
      if (wait) setTimeout(tick, 1000);
    };
    b.addEventListener('click', function (e) { if (b.getAttribute('aria-disabled') === 'true') e.preventDefault(); });
    tick();
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

  /* the waiting page leads on when the link was opened elsewhere: it asks ever more rarely, and for half an hour at most */
  all('[data-poll]').forEach(function (f) {
    var pause = 3, end = Date.now() + 18e5, t;
    var ask = function () {
      clearTimeout(t);
      if (Date.now() > end) return;
      if (d.hidden) return;                         /* it asks again when the person comes back */
      fetch(f.dataset.poll, { credentials: 'same-origin', headers: { Accept: 'application/json' } }).then(function (answer) {
        if (answer.status >= 400 && answer.status < 500) end = 0;        /* the activation is over */
        return answer.ok ? answer.json() : {};
      }).then(function (state) {
        if (!end) return;
        if (!state.confirmed) return later();
        end = 0;
        d.querySelector('[data-news]').hidden = false;
        location.replace(location.href);
      }).catch(later);
    };
    var later = function () { t = setTimeout(ask, 1000 * pause); pause = Math.min(60, pause * 1.4); };
    f.addEventListener('submit', function () { end = 0; });          /* the answer to the code must arrive */
    d.addEventListener('visibilitychange', ask);
    later();
  });

  /* a second tap on a slow network sends nothing twice; a page found again by the back button sends */
  all('form').forEach(function (f) {
    var free = function () { delete f.dataset.sent; };
    f.addEventListener('submit', function (e) {
      if (f.dataset.sent) return e.preventDefault();
      f.dataset.sent = 1;
      setTimeout(free, 8000);
    });
    addEventListener('pageshow', free);
  });
}());

/* Scolarité Services — passkeys. The server begins the ceremony, the browser answers, the form carries the answer. */
(function () {
  'use strict';
  var d = document, api = window.PublicKeyCredential, waiting = null;
  /* an older browser keeps the password; a key belongs to a name, never to an IP */
  if (!api || !api.parseRequestOptionsFromJSON || /^[[\d]/.test(location.hostname)) return;
  /* the first sign-in by password leads to the offer of a passkey, if this device can make one */
  var can = d.querySelector('[data-can-passkey]');
  if (can && api.isUserVerifyingPlatformAuthenticatorAvailable) {
    api.isUserVerifyingPlatformAuthenticatorAvailable().then(function (yes) { if (yes) can.value = '1'; });
  }

  [].slice.call(d.querySelectorAll('[data-passkey]')).forEach(function (box) {
    var button = box.querySelector('button'), error = box.querySelector('.err'), form = box.closest('form'), kind = box.dataset.passkey;
    var ask = function (how) {
      var body = new URLSearchParams(new FormData(form));  /* with the name, which is kept if a proof comes first */
      return fetch(box.dataset.options, { method: 'POST', body: body, credentials: 'same-origin' }).then(function (answer) {
        if (answer.redirected) location.assign(answer.url);  /* a fresh proof comes first */
        if (!answer.ok || answer.redirected) throw new Error(answer.status);
        return answer.json();
      }).then(function (options) {
        how.publicKey = kind === 'get' ? api.parseRequestOptionsFromJSON(options) : api.parseCreationOptionsFromJSON(options);
        return navigator.credentials[kind](how);
      }).then(function (credential) {
        button.value = JSON.stringify(credential);
        [].slice.call(form.querySelectorAll('[data-ticked]')).forEach(function (f) {  /* the tick of another form */
          f.value = d.getElementById(f.dataset.ticked).checked ? '1' : '';
        });
        button.removeAttribute('aria-disabled');
        form.requestSubmit(button);
      });
    };
    /* the browser offers its passkeys among the identifiers that it fills in; the challenge is renewed before its end */
    var suggest = function () {
      var mine = waiting = new AbortController();
      setTimeout(function () { if (waiting === mine) { mine.abort(); suggest(); } }, 480000);
      ask({ mediation: 'conditional', signal: mine.signal }).catch(function () {});
    };
    box.hidden = false;
    button.addEventListener('click', function (event) {
      event.preventDefault();
      button.value = '';  /* an answer of before, if the page was found again by the back button */
      if (waiting) waiting.abort();
      waiting = null;
      error.hidden = true;
      button.setAttribute('aria-disabled', 'true');
      ask({}).catch(function () {
        button.removeAttribute('aria-disabled');
        error.hidden = false;
      });
    });
    if (box.hasAttribute('data-autofill') && api.isConditionalMediationAvailable) {
      api.isConditionalMediationAvailable().then(function (yes) { if (yes) suggest(); });
    }
  });
})();
