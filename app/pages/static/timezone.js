// Selects the browser's time zone in a list with data-detect-timezone, if the list has it and UTC is still selected.
"use strict";
for (const list of document.querySelectorAll("select[data-detect-timezone]")) {
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  const known = [...list.options].some((option) => option.value === timeZone);
  if (known && list.value === "UTC") list.value = timeZone;
}
