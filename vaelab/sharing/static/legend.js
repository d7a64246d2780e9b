// Words of the page that come from names: everything goes in as text.

function legendEntry(name, group) {
  const [item, mark, label] = ["li", "canvas", "span"].map((kind) => document.createElement(kind));
  Object.assign(mark, { width: 28, height: 28 });
  mark.setAttribute("aria-hidden", "true");
  label.textContent = name;
  label.dir = "auto";
  item.append(mark, label);
  const paint = () => {
    const pen = mark.getContext("2d");
    pen.clearRect(0, 0, 28, 28);
    drawShape(pen, group, 14, 14, 9);
    pen.fillStyle = colourOf(group);
    pen.fill();
  };
  paint();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
  return item;
}

function line(text) {
  const item = document.createElement("li");
  Object.assign(item, { textContent: text, dir: "auto" });
  return item;
}

document.title = data.title;
byId("title").textContent = data.title;
byId("how").textContent = data.how;
byId("legend").replaceChildren(...(data.groupNames.length > 1 ? data.groupNames.map(legendEntry) : []));
byId("contents").replaceChildren(...data.contents.map(line));
byId("sounds").replaceChildren(
  ...data.names.flatMap((name, index) => (data.sounds[index] === null ? [] : [line(`${name}: ${data.kinds[index]}`)])),
);
byId("which").hidden = data.sounds.every((sound) => sound === null);
document.body.dataset.ready = "yes";
