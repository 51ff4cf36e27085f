// Keeps the columns of a table as wide as they are while its cells change: a browser would lay out all rows again for
// each of them, since every cell has a say in the width of its column. What grows beyond it is given room soon.

// Often enough for a reader.
const GROWS_MS = 1000;

export class Widths {
  constructor(table) {
    this.table = table;
    this.longest = [];  // characters, by column
    this.settled = false;
    this.waiting = new Map();  // by column: the cell that wants more room
    new ResizeObserver(() => this.free()).observe(table.parentElement);
  }

  // Before the first change: columns stay as they are.
  hold() {
    if (this.settled) return;
    this.settled = true;
    const heads = [...this.table.tHead.rows[0].cells];
    const [whole, widths] = [this.table.offsetWidth, heads.map((head) => head.getBoundingClientRect().width)];
    this.longest = heads.map((head, index) =>
      Math.max(0, ...Array.from(this.table.tBodies[0].rows, (row) => row.cells[index]?.textContent.length ?? 0)));
    this.table.style.width = `${whole}px`;
    heads.forEach((head, index) => { head.style.width = `${widths[index]}px`; });
    this.table.classList.add("settled");
  }

  // The browser decides again, and what it decides is held from the next change on.
  free() {
    if (!this.settled) return;
    this.settled = false;
    this.table.classList.remove("settled");
    this.table.style.width = "";
    for (const head of this.table.tHead.rows[0].cells) head.style.width = "";
  }

  // A cell of a column says something new. Its column alone grows: to lay out all of them anew takes long.
  said(index, cell) {
    if (!this.settled || cell.textContent.length <= this.longest[index]) return;
    this.longest[index] = cell.textContent.length;
    if (!this.waiting.size) setTimeout(() => requestAnimationFrame(() => this.grow()), GROWS_MS);
    this.waiting.set(index, cell);
  }

  grow() {
    const wanted = [...this.waiting].map(([index, cell]) => [index, cell.scrollWidth - cell.clientWidth]);
    this.waiting.clear();
    if (!this.settled) return;
    const heads = this.table.tHead.rows[0].cells;
    for (const [index, more] of wanted) {
      if (more <= 0) continue;
      heads[index].style.width = `${parseFloat(heads[index].style.width) + more}px`;
      this.table.style.width = `${parseFloat(this.table.style.width) + more}px`;
    }
  }
}
