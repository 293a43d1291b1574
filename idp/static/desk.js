/* Scolarité Services — the desk. Every page works without this file, except passkeys, which need a script. */
(function () {
  'use strict';
  var d = document;
  var bytes = function (text) {
    var raw = atob(text.replace(/-/g, '+').replace(/_/g, '/')), out = new Uint8Array(raw.length), i;
    for (i = 0; i < raw.length; i++) out[i] = raw.charCodeAt(i);
    return out;
  };
  var text = function (buffer) {
    var raw = '', view = new Uint8Array(buffer), i;
    for (i = 0; i < view.length; i++) raw += String.fromCharCode(view[i]);
    return btoa(raw).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
  };
  var decoded = function (options) {
    options.challenge = bytes(options.challenge);
    if (options.user) options.user.id = bytes(options.user.id);
    (options.excludeCredentials || []).concat(options.allowCredentials || []).forEach(function (c) { c.id = bytes(c.id); });
    return options;
  };
  var encoded = function (credential) {
    var r = credential.response, response = { clientDataJSON: text(r.clientDataJSON) };
    if (r.attestationObject) response.attestationObject = text(r.attestationObject);
    if (r.authenticatorData) response.authenticatorData = text(r.authenticatorData);
    if (r.signature) response.signature = text(r.signature);
    if (r.userHandle) response.userHandle = text(r.userHandle);
    return JSON.stringify({
      id: credential.id, rawId: text(credential.rawId), type: credential.type, response: response,
      clientExtensionResults: credential.getClientExtensionResults(),
      authenticatorAttachment: credential.authenticatorAttachment || undefined
    });
  };

  /* passkeys: the server begins the ceremony, the browser answers, the form carries the answer */
  [].slice.call(d.querySelectorAll('[data-passkey]')).forEach(function (box) {
    if (!window.PublicKeyCredential) return;
    var button = box.querySelector('button'), error = box.querySelector('.err'), form = box.closest('form');
    box.hidden = false;
    button.addEventListener('click', function (event) {
      if (button.value) return;
      event.preventDefault();
      error.hidden = true;
      button.setAttribute('aria-disabled', 'true');
      var body = new URLSearchParams(new FormData(form));  /* with the name, which is kept if a proof comes first */
      fetch(box.dataset.options, { method: 'POST', body: body, credentials: 'same-origin' }).then(function (answer) {
        if (answer.redirected) location.assign(answer.url);  /* a fresh proof comes first */
        if (!answer.ok || answer.redirected) throw new Error(answer.status);
        return answer.json();
      }).then(function (options) {
        return navigator.credentials[box.dataset.passkey]({ publicKey: decoded(options) });
      }).then(function (credential) {
        button.value = encoded(credential);
        button.removeAttribute('aria-disabled');
        form.requestSubmit(button);
      }).catch(function () {
        button.removeAttribute('aria-disabled');
        error.hidden = false;
      });
    });
  });

  /* The page of a job takes over the progress, so that the focus stays and a screen reader speaks only of a new state.
     It is loaded anew when the job is over. Without a script, the person reloads it. */
  var job = d.querySelector('[data-follow]');
  var follow = function () {
    fetch(location.href, { credentials: 'same-origin' }).then(function (answer) {
      if (answer.redirected) return '';
      if (!answer.ok) throw new Error(answer.status);
      return answer.text();
    }).then(function (page) {
      var fresh = new DOMParser().parseFromString(page, 'text/html');
      if (!fresh.querySelector('[data-follow]')) return location.reload();
      [].slice.call(d.querySelectorAll('[data-news]')).forEach(function (old) {
        var news = fresh.querySelector('[data-news="' + old.dataset.news + '"]');
        if (news && !news.isEqualNode(old)) old.replaceChildren.apply(old, [].slice.call(news.childNodes));
      });
      wait();
    }).catch(wait);
  };
  var wait = function () { setTimeout(follow, 1000 * job.dataset.follow); };
  if (job) wait();
})();
