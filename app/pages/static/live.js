// Keeps what a page shows as it is, without a reload: an element with data-events="<address>" follows that stream while it is
// looked at, and in it data-show="message" (status, error, ...) shows a field as text, a progress element how far a task is.
// "state" says what is wrong with the stream, and is empty otherwise. At the end the page is loaded once more if the element asks
// so (data-reload): what is done looks different, and has no stream to follow any more.
"use strict";
for (const place of document.querySelectorAll("[data-events]")) {
  let events = null;
  let over = false;
  const show = (event) => {
    const news = { state: "", ...JSON.parse(event.data) };
    for (const part of place.querySelectorAll("[data-show]")) {
      if (part.dataset.show in news) part.textContent = news[part.dataset.show] ?? "";
    }
    for (const bar of place.querySelectorAll("progress")) bar.value = news.progress ?? bar.value;
  };
  const follow = () => {
    events?.close();
    if (over || document.hidden) return;
    events = new EventSource(place.dataset.events);
    events.addEventListener("progress", show);
    events.addEventListener("end", (event) => {
      over = true;
      events.close();
      show(event);
      if ("reload" in place.dataset) location.reload();
    });
  };
  document.addEventListener("visibilitychange", follow);
  follow();
}
