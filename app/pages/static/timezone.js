// Offers the browser's time zone in the list #timezone. A list without a choice gets it at once, and so does the sign-up form, on which
// UTC is the default; on the schedule form, any other value stays until the reader presses the button.
"use strict";
const field = document.getElementById("timezone");
const offer = document.getElementById("timezone-offer");
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (zone && zone !== field.value && [...(field.options ?? [])].some((option) => option.value === zone)) {
  if (field.value === "" || (!offer && field.value === "UTC")) {
    field.value = zone;
  } else if (offer) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "quiet";
    button.textContent = `Use ${zone}`;
    button.addEventListener("click", () => {
      field.value = zone;
      offer.hidden = true;
      field.focus();
    });
    offer.append("Your browser has another time zone. ", button);
    offer.hidden = false;
  }
}
