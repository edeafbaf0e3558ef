// What can be taken along: a link, a Python snippet, a JSON report. All of it is in the value, so
// that the clipboard is written within the click. `WORDS` comes from the server.

const bar = element.querySelector(".share-bar");
const button = (name) => bar.querySelector("." + name);
const say = (words) => { bar.querySelector(".said").textContent = words; };
let query;

function show() {
  const value = props.value || {};
  button("link").disabled = value.query === undefined || value.query === null;
  button("snippet").disabled = !value.snippet;
  button("report").disabled = !value.report;
  if (value.query !== query) say("");  // what was said stays while a comparison goes on
  query = value.query;
}

// Pages that are not served over https have no clipboard of their own.
function copyOld(text) {
  const area = document.createElement("textarea");
  area.value = text;
  area.style.position = "fixed";
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  return copied;
}

async function copy(text, words) {
  const focused = document.activeElement;
  let copied = false;
  try {
    await navigator.clipboard.writeText(text);
    copied = true;
  } catch (error) {
    copied = copyOld(text);
    focused.focus();
  }
  say(copied ? words : WORDS.refused);
}

button("link").addEventListener("click", () => {
  const { query, whole, video } = props.value;
  const link = location.origin + location.pathname + "?" + query;
  copy(link, whole ? WORDS.link : video ? WORDS.videoless : WORDS.pictureless);
});
button("snippet").addEventListener("click", () => {
  copy(props.value.snippet, props.value.video ? WORDS.video_snippet : WORDS.snippet);
});
button("report").addEventListener("click", () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([props.value.report], { type: "application/json" }));
  link.download = "iwp_report.json";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 4000);
  say(WORDS.report);
});

watch("value", show);
show();
