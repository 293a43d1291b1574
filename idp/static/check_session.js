/* Scolarité Services — answers an ENT's frame: unchanged, changed or error (Session Management 1.0, 3.2). */
(function () {
  'use strict';
  var cookie = document.currentScript.getAttribute('data-cookie');
  var kept = function () {
    var found = document.cookie.split('; ').filter(function (pair) { return pair.indexOf(cookie + '=') === 0; })[0];
    return found ? found.slice(cookie.length + 1) : '';
  };
  /* no cookie: nobody is signed in, or the browser hides it from frames of other sites, which is no change to tell of */
  var state = function () {
    var found = kept();
    if (found || !document.hasStorageAccess) return found;
    return document.hasStorageAccess().then(function (shown) {
      if (!shown) throw new Error('hidden');
      return found;
    });
  };
  var hex = function (buffer) {
    return Array.prototype.map.call(new Uint8Array(buffer), function (byte) {
      return ('0' + byte.toString(16)).slice(-2);
    }).join('');
  };
  var compare = function (asked, origin) {
    return Promise.resolve().then(state).then(function (found) {
      var text = asked[1] + ' ' + origin + ' ' + found + ' ' + asked[3];
      return crypto.subtle.digest('SHA-256', new TextEncoder().encode(text));
    }).then(function (digest) { return hex(digest) === asked[2] ? 'unchanged' : 'changed'; });
  };
  window.addEventListener('message', function (event) {
    if (event.source === window || !event.source || event.origin === 'null') return;  /* nobody to answer */
    var say = function (word) { event.source.postMessage(word, event.origin); };
    var asked = /^(\S{1,100}) ([0-9a-f]{64})\.(\S{1,100})$/.exec(typeof event.data === 'string' ? event.data : '');
    if (!asked) return say('error');
    compare(asked, event.origin).then(say, function () { say('error'); });
  });
}());
