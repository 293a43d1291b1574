/* Scolarité Services — goes on once every ENT was told, or could not be in time (Front-Channel Logout 1.0, 3.1). */
(function () {
  'use strict';
  var next = document.getElementById('suite');
  if (!next) return;
  var gone = false;
  var go = function () { if (!gone) { gone = true; location.replace(next.href); } };
  window.addEventListener('load', go);  /* the window has loaded when its frames have */
  setTimeout(go, 1000 * Number(next.getAttribute('data-seconds')));
}());
