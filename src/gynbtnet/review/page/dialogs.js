// Dialogs: a question, the keys, and what the correction was.

const element = (id) => document.getElementById(id);

function open(content, yes, no) {
  const dialog = element("dialog");
  element("dialog-content").replaceChildren(...content);
  element("dialog-yes").textContent = yes;
  element("dialog-no").textContent = no ?? "";
  element("dialog-no").hidden = !no;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

function make(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

export function ask(sentence, yes) {
  return open([make("p", sentence)], yes, "Cancel");
}

export function showKeys(...groups) {
  const list = make("dl");
  const moves = [
    ["↑ ↓", "Next and previous slice of the plane with the frame; also the mouse wheel"],
    ["Page up, page down", "Ten slices"],
    ["← →", "Change the plane"],
    ["1 … 9", "Select a structure"],
    ["G", "Go to the largest slice of the selected structure"],
    ["N, Shift+N", "Go to the next or previous flag"],
    ["A", "Accept the selected structure, or withdraw"],
    ["H", "Hide or show the selected structure"],
    ["[ ]", "Size of the brush"],
    ["+ −", "Zoom; also Ctrl and the wheel. The middle button moves the picture"],
    ["W", "Next window; drag with the right button for an own one"],
    ["Ctrl+S", "Write the contours"],
  ];
  const named = groups.flat().map(([, title, key, help]) => [key, `${title}. ${help}`]);
  for (const [key, text] of [...moves, ...named]) list.append(make("dt", key), make("dd", text));
  return open([make("h2", "Keys"), list], "Close");
}

export function showCorrection(answer, shown) {
  const table = make("table");
  const head = make("tr");
  const heads = ["Structure", "State", "Added", "Removed", "Slices", "Added path", "Share", "Surface DSC", "Active time"];
  head.append(...heads.map((text, i) => make("th", text, i > 1 ? "number" : "")));
  table.append(head);
  const numbers = (value, digits, unit = "") => (value === null || value === undefined ? "–" : `${value.toFixed(digits)}${unit}`);
  for (const structure of shown.structures) {
    const { status, correction, active_seconds: seconds } = answer.review.structures[structure.id];
    const cells = [
      structure.name, status, `${correction.voxels_added} voxels`, `${correction.voxels_removed} voxels`,
      String(correction.slices_touched), numbers(correction.added_path_length_mm, 0, " mm"),
      correction.added_path_length_share === null ? "–" : `${(100 * correction.added_path_length_share).toFixed(1)} %`,
      numbers(correction.surface_dsc, 3), numbers(seconds, 0, " s"),
    ];
    const row = make("tr");
    row.append(...cells.map((text, i) => make("td", text, i > 1 ? "number" : "")));
    table.append(row);
    for (const change of correction.dose) {
      if (change.difference_gy) {
        const line = make("tr");
        const cell = make("td", `${change.metric}: ${numbers(change.before_gy, 2)} → ${numbers(change.after_gy, 2)} Gy`);
        cell.colSpan = heads.length;
        line.append(cell);
        table.append(line);
      }
    }
  }
  const approved = answer.review.approved_by ? `Approved by ${answer.review.approved_by}.` : "Not approved.";
  return open([make("h2", "Written"), make("p", `${answer.folder}: ${answer.review.files.join(", ")}. ${approved}`), table], "Close");
}
