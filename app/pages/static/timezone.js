// Offers the browser's time zone on the schedule form. A form without a time zone gets it at once; any other keeps its value until
// the reader presses the button.
"use strict";
const field = document.getElementById("timezone");
const offer = document.getElementById("timezone-offer");
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (zone && zone !== field.value && [...(field.options ?? [])].some((option) => option.value === zone)) {
  if (field.value === "") {
    field.value = zone;
  } else {
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
