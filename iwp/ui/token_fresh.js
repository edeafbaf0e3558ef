// Whether question and file are still those that were asked. Sides and settings count from the next
// Compare, which the page says beside them.

const stale = find(".stale");
const form = { picture: undefined, video: undefined };   // paths of its files, once they changed

const typed = () => {
  const box = document.querySelector("#question textarea");
  return box ? box.value.trim() : "";
};

// An empty field asks nothing, so what is shown is as good as before.
const otherQuestion = () => Boolean(typed()) && typed() !== view.map.question;

function otherFile() {
  const tab = document.querySelector("#video-tab-button");
  const film = tab !== null && tab.getAttribute("aria-selected") === "true";
  const file = film ? form.video : form.picture;
  return Boolean(file) && file !== view.map.file;
}

const outdated = () => Boolean(view.map) && (otherQuestion() || otherFile());

function checkForm() {
  const about = view.map && otherQuestion()
    ? "to \u201c" + view.map.question + "\u201d" : "about what was asked before";
  stale.hidden = !outdated();
  stale.textContent = stale.hidden
    ? "" : "These are still the answers " + about + ". Press Compare to ask anew.";
}

// Neither while a hand picks, whose patches would be gone, nor where Compare would refuse.
function askable() {
  const refusals = [...document.querySelectorAll("#media .refusal")];
  const refused = refusals.some((words) => words.offsetParent);      // on the open tab
  return !hand && Boolean(typed()) && !refused;
}

// Who lets go of the budget wants an answer to what stands in the form.
function letGo() {
  if (outdated() && askable()) document.querySelector("#compare").click();
  else release();
}

// gradio tells of every change of a field, whoever made it.
function formChanged(picture, video) {
  form.picture = picture ? picture.path : null;
  form.video = video ? video.path : null;
  requestAnimationFrame(checkForm);      // by then the field, or the tab, has changed
}
