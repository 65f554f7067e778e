// Live updates without a reload. An element with data-events="<URL>" follows that event stream while the page is visible.
// Inside it, data-show="message" (status, error, ...) shows that field as text, and a progress element shows `progress`.
// The field "notice" reports a problem of the stream and is otherwise empty. When the stream ends, data-reload reloads the
// page, because a finished task has other content and no stream.
"use strict";
for (const container of document.querySelectorAll("[data-events]")) {
  let events = null;
  let ended = false;
  const show = (event) => {
    const update = { notice: "", ...JSON.parse(event.data) };
    for (const element of container.querySelectorAll("[data-show]")) {
      if (element.dataset.show in update) element.textContent = update[element.dataset.show] ?? "";
    }
    for (const bar of container.querySelectorAll("progress")) bar.value = update.progress ?? bar.value;
  };
  const follow = () => {
    events?.close();
    if (ended || document.hidden) return;
    events = new EventSource(container.dataset.events);
    events.addEventListener("progress", show);
    events.addEventListener("end", (event) => {
      ended = true;
      events.close();
      show(event);
      if ("reload" in container.dataset) location.reload();
    });
  };
  document.addEventListener("visibilitychange", follow);
  follow();
}
