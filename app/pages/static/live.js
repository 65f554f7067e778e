// Keeps what a page shows of a task as it is, without a reload: an element with data-events="<address>" follows that stream, and
// in it data-show="message" (status, error) shows a field of the task as text, a progress element how far it is.
// At the end the page is loaded once more if the element asks so (data-reload): what is done looks different,
// and has no stream to follow any more.
"use strict";
for (const place of document.querySelectorAll("[data-events]")) {
  const events = new EventSource(place.dataset.events);
  const show = (event) => {
    const task = JSON.parse(event.data);
    for (const part of place.querySelectorAll("[data-show]")) part.textContent = task[part.dataset.show] ?? "";
    for (const bar of place.querySelectorAll("progress")) bar.value = task.progress;
  };
  events.addEventListener("progress", show);
  events.addEventListener("end", (event) => {
    events.close();
    show(event);
    if ("reload" in place.dataset) location.reload();
  });
}
