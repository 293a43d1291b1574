/* Scolarité Services — sends the answer on to the ENT (OAuth 2.0 Form Post Response Mode). Without it, its button does. */
(function () {
  'use strict';
  document.getElementById('retour').submit();
}());
