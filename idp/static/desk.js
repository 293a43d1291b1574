/* Scolarité Services — the desk. Every page works without this file. */
(function () {
  'use strict';
  var d = document;
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
