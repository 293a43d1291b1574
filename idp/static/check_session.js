/* Scolarité Services — answers an ENT's frame: unchanged, changed or error (Session Management 1.0, 3.2). */
(function () {
  'use strict';
  var cookie = document.currentScript.getAttribute('data-cookie');
  var state = function () {
    var found = document.cookie.split('; ').filter(function (pair) { return pair.indexOf(cookie + '=') === 0; })[0];
    return found ? found.slice(cookie.length + 1) : '';
  };
  var hex = function (buffer) {
    return Array.prototype.map.call(new Uint8Array(buffer), function (byte) {
      return ('0' + byte.toString(16)).slice(-2);
    }).join('');
  };
  window.addEventListener('message', function (event) {
    if (event.source === window || !event.source) return;
    var say = function (word) { event.source.postMessage(word, event.origin); };
    var asked = /^(\S{1,100}) ([0-9a-f]{64})\.(\S{1,100})$/.exec(typeof event.data === 'string' ? event.data : '');
    if (!asked || event.origin === 'null') { if (event.origin !== 'null') say('error'); return; }
    var text = asked[1] + ' ' + event.origin + ' ' + state() + ' ' + asked[3];
    crypto.subtle.digest('SHA-256', new TextEncoder().encode(text)).then(function (digest) {
      say(hex(digest) === asked[2] ? 'unchanged' : 'changed');
    }, function () { say('error'); });
  });
}());
