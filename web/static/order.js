// The order of rows: by the keys that the server gives them with a sort, then by namespace and name.

// What a row is placed by. keys: its `order`, if it was sorted by anything.
export function placed({ order, metadata: { namespace, name } }) {
  return { keys: order ?? [], namespace: namespace ?? "", name };
}

// Compares two of these. sort: the parameter that the rows were asked for with.
export function ordering(sort) {
  // A comma within quotes or brackets belongs to a name.
  const parts = (sort ?? "").match(/(?:"[^"]*"|\[[^\]]*\]|[^,])+/g) ?? [];
  const signs = parts.map((key) => (/^\s*-|:desc\s*$/i.test(key) ? -1 : 1));
  return (one, other) => {
    for (let index = 0; index < signs.length; index += 1) {
      const [mine, theirs] = [one.keys[index] ?? null, other.keys[index] ?? null];
      if (mine === null || theirs === null) {
        if (mine !== theirs) return mine === null ? 1 : -1;  // what is missing is last either way
        continue;
      }
      const order = compare(mine, theirs);
      if (order) return signs[index] * order;
    }
    return compare(one.namespace, other.namespace) || compare(one.name, other.name);
  };
}

// Where something belongs in a list of what has a `place` each.
export function placeOf(place, list, order) {
  let low = 0, high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (order(list[middle].place, place) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

// Numbers before text, text by code points, lists by their elements.
function compare(one, other) {
  if (Array.isArray(one) && Array.isArray(other)) {
    for (let index = 0; index < Math.min(one.length, other.length); index += 1) {
      const order = compare(one[index], other[index]);
      if (order) return order;
    }
    return one.length - other.length;
  }
  if (typeof one !== typeof other) return typeof one === "string" ? 1 : -1;
  if (one === other) return 0;
  if (typeof one === "string") return byCodePoints(one, other);
  return one < other ? -1 : 1;
}

// JavaScript compares UTF-16 units, which puts what lies beyond U+FFFF before U+E000.
function byCodePoints(one, other) {
  for (let index = 0; index < Math.min(one.length, other.length); index += 1) {
    const [mine, theirs] = [one.charCodeAt(index), other.charCodeAt(index)];
    if (mine !== theirs) return fixed(mine) - fixed(theirs);
  }
  return one.length - other.length;
}

function fixed(unit) {
  if (unit >= 0xe000) return unit - 0x800;
  return unit >= 0xd800 ? unit + 0x2000 : unit;
}
