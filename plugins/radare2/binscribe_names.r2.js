// Gives functions the names and remarks that binscribe has for them.
//
// `binscribe export FILE --to r2 -o names.r2.js` writes this script with DATA filled
// in. Run it after the analysis, in radare2 5.8 or newer:
//
//   r2 -A -i names.r2.js FILE
//
// Only names that radare2 made itself (fcn....) are replaced.

(function () {
  // apply: rename and remark; comment: remark only; show: print only; undo: take back
  // what was applied and has not been changed since.
  const MODE = "apply";
  const DATA = null;

  const MARK = "binscribe: ";

  // The lines of a comment that are not binscribe's.
  function others(comment) {
    return comment.split("\n").filter((line) => line && !line.startsWith(MARK));
  }

  function remark(address, before, lines) {
    const comment = lines.join("\n");
    if (comment === before) {
      return;
    }
    r2.cmd("CC- @ " + address);
    if (comment) {
      // b64 takes bytes, one in each character.
      const bytes = unescape(encodeURIComponent(comment));
      r2.cmd("CCu base64:" + b64(bytes) + " @ " + address);
    }
  }

  function main() {
    if (!DATA) {
      console.log("make this script by `binscribe export FILE --to r2 -o names.r2.js`");
      return;
    }
    if (DATA.version !== 1) {
      console.log("this script reads version 1, not " + DATA.version);
      return;
    }
    const hashed = r2.cmdj("itj");
    if (hashed && hashed.sha256 && hashed.sha256 !== DATA.sha256) {
      console.log("made for another file: " + DATA.binary.path);
      return;
    }
    const base = r2.cmdj("ij").bin.baddr || Number(DATA.binary.image_base);
    const functions = new Map(r2.cmdj("aflj").map((found) => [found.addr, found]));
    const comments = new Map(r2.cmdj("CCj").map((found) => [found.offset, found.name]));
    let named = 0;
    let kept = 0;
    let missing = 0;
    for (const entry of DATA.functions) {
      const place = base + Number(entry.rva);
      const address = "0x" + place.toString(16);
      const found = functions.get(place);
      if (!found) {
        missing += 1;
        continue;
      }
      const usual = "fcn." + place.toString(16).padStart(8, "0");
      const before = comments.get(place) || "";
      if (MODE === "undo") {
        if (entry.name && found.name === entry.name) {
          r2.cmd("afn " + usual + " @ " + address);
          named += 1;
        }
        remark(address, before, others(before));
        continue;
      }
      const free = found.name === usual;
      if (entry.name && !free) {
        kept += 1;
      }
      if (MODE === "show") {
        if (entry.name && free) {
          named += 1;
          console.log(address + " " + found.name + " -> " + entry.name);
        }
        continue;
      }
      const lines = (entry.comment || "").split("\n").filter((line) => line);
      remark(address, before, others(before).concat(lines.map((line) => MARK + line)));
      if (entry.name && free && MODE === "apply") {
        r2.cmd("afn " + entry.name + " @ " + address);
        named += 1;
      }
    }
    const done = { apply: "named", comment: "named", show: "would be named", undo: "taken back" };
    console.log(
      `binscribe: ${named} ${done[MODE]}, ${kept} kept the name they had, ` +
        `${missing} are no functions here`
    );
  }

  main();
})();
