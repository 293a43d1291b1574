/* Scolarité Services — passkeys. The server begins the ceremony, the browser answers, the form carries the answer. */
(function () {
  'use strict';
  var d = document, api = window.PublicKeyCredential, waiting = null;
  if (!api || !navigator.credentials || /^[[\d]/.test(location.hostname)) return;  /* a key belongs to a name, never to an IP */
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


  /* the first sign-in by password leads to the offer of a passkey, if this device can make one */
  var can = d.querySelector('[data-can-passkey]');
  if (can && api.isUserVerifyingPlatformAuthenticatorAvailable) {
    api.isUserVerifyingPlatformAuthenticatorAvailable().then(function (yes) { if (yes) can.value = '1'; });
  }

  [].slice.call(d.querySelectorAll('[data-passkey]')).forEach(function (box) {
    var button = box.querySelector('button'), error = box.querySelector('.err'), form = box.closest('form');
    var ask = function (how) {
      var body = new URLSearchParams(new FormData(form));  /* with the name, which is kept if a proof comes first */
      return fetch(box.dataset.options, { method: 'POST', body: body, credentials: 'same-origin' }).then(function (answer) {
        if (answer.redirected) location.assign(answer.url);  /* a fresh proof comes first */
        if (!answer.ok || answer.redirected) throw new Error(answer.status);
        return answer.json();
      }).then(function (options) {
        how.publicKey = decoded(options);
        return navigator.credentials[box.dataset.passkey](how);
      }).then(function (credential) {
        button.value = encoded(credential);
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
