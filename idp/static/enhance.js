/* Scolarité Services — every page works without this file. Texts come from data-* attributes (translated by the server). */
(function start() {
  'use strict';
  var d = document, all = function (s, r) { return [].slice.call((r || d).querySelectorAll(s)); };

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

  /* another language: the texts are replaced by those of its page, and all that was typed stays; no password is sent.
     If the network fails, nothing changes. An answer that is not this form opens the page anew, which says why. */
  var show = function (html) {
    var fresh = new DOMParser().parseFromString(html, 'text/html'), root = d.documentElement, typed = all('input[id]');
    var open = all('.more').map(function (more) { return more.open; });
    all('noscript', fresh).forEach(function (n) { n.remove(); });     /* parsed as if there were no script */
    root.lang = fresh.documentElement.lang;
    root.dir = fresh.documentElement.dir;
    d.title = fresh.title;
    d.body.replaceWith(fresh.body);
    typed.forEach(function (old) {
      var f = d.getElementById(old.id);
      if (f) { f.value = old.value; f.checked = old.checked; }
    });
    all('.more').forEach(function (more, i) { more.open = open[i]; });
    d.dispatchEvent(new Event('langue'));
    d.querySelector('.langs summary').focus();
  };
  d.addEventListener('langue', start, { once: true });
  all('.langs [name=langue]').forEach(function (b) {
    b.addEventListener('click', function (e) {
      var f = b.form, sent = new URLSearchParams(new FormData(f));
      e.preventDefault();
      all('.eyed > input', f).forEach(function (p) { sent.delete(p.name); });
      sent.append(b.name, b.value);
      fetch(f.action, { method: 'POST', body: sent, redirect: 'manual' }).then(function (answer) {
        return answer.ok ? answer.text().then(show) : location.reload();
      }).catch(function () {});
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
(function start() {
  'use strict';
  var d = document, api = window.PublicKeyCredential, waiting = null;
  var show = function (s) { d.querySelectorAll(s).forEach(function (e) { e.hidden = false; }); };
  /* an older browser keeps the password; a key belongs to a name, never to an IP */
  if (!api || !api.parseRequestOptionsFromJSON || /^[[\d]/.test(location.hostname)) {
    show('[data-without-passkeys]');
    d.addEventListener('langue', start, { once: true });
    return;
  }
  show('[data-with-passkeys]');
  /* another language: the buttons are others */
  d.addEventListener('langue', function () {
    if (waiting) waiting.abort();
    start();
  }, { once: true });
  /* the first sign-in by password leads to the offer of a passkey, if this device can make one */
  var can = d.querySelector('[data-can-passkey]');
  if (can && api.isUserVerifyingPlatformAuthenticatorAvailable) {
    api.isUserVerifyingPlatformAuthenticatorAvailable().then(function (yes) { if (yes) can.value = '1'; });
  }

  var signal = d.querySelector('[data-signal]');
  if (signal && api[signal.dataset.signal]) api[signal.dataset.signal](JSON.parse(signal.dataset.values)).catch(function () {});

  d.querySelectorAll('[data-passkey]').forEach(function (box) {
    var button = box.querySelector('button'), error = box.querySelector('.err'), form = box.closest('form'), kind = box.dataset.passkey;
    var ask = function (how) {
      var body = new URLSearchParams(new FormData(form));  /* with the name, which is kept if a proof comes first */
      return fetch(box.dataset.options, { method: 'POST', body: body }).then(function (answer) {
        if (answer.redirected) location.assign(answer.url);  /* a fresh proof comes first */
        if (!answer.ok || answer.redirected) throw new Error(answer.status);
        return answer.json();
      }).then(function (options) {
        how.publicKey = kind === 'get' ? api.parseRequestOptionsFromJSON(options) : api.parseCreationOptionsFromJSON(options);
        if (kind === 'create' && how.mediation) how.publicKey.authenticatorSelection.userVerification = 'preferred';
        return navigator.credentials[kind](how);
      }).then(function (credential) {
        button.value = JSON.stringify(credential);
        if (form.elements.seule) form.elements.seule.value = how.mediation ? '1' : '';
        form.querySelectorAll('[data-ticked]').forEach(function (f) {  /* the tick of another form */
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
    if (!box.hasAttribute('data-auto')) return;
    if (kind === 'get' && api.isConditionalMediationAvailable) {
      api.isConditionalMediationAvailable().then(function (yes) {
        if (yes) requestAnimationFrame(function () { setTimeout(suggest); });  /* after the first paint */
      });
    }
    /* once: reload and Back do not try it again */
    if (kind === 'create' && api.getClientCapabilities && !history.state) {
      api.getClientCapabilities().then(function (can) {
        if (!can.conditionalCreate) return;
        history.replaceState({ tried: 1 }, '');
        waiting = new AbortController();
        return ask({ mediation: 'conditional', signal: waiting.signal });
      }).catch(function () {});
    }
  });
})();
