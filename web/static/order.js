// The order of rows: by the keys that the server gives them with a sort, else by namespace and name.

export function keysOf(object) {
  return object.order ?? [object.metadata.namespace ?? "", object.metadata.name];
}

// Where something with these keys belongs in a list of what has an `order` each.
export function placeOf(order, list) {
  let low = 0, high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compare(list[middle].order, order) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

// As the server orders: numbers before text, missing last, text by code points, lists by their elements.
export function compare(one, other) {
  if (Array.isArray(one) && Array.isArray(other)) {
    for (let index = 0; index < Math.min(one.length, other.length); index += 1) {
      const order = compare(one[index], other[index]);
      if (order) return order;
    }
    return one.length - other.length;
  }
  const [first, second] = [rank(one), rank(other)];
  if (first !== second) return first - second;
  if (one === other) return 0;
  if (typeof one === "string") return byCodePoints(one, other);
  return one < other ? -1 : 1;
}

function rank(value) {
  if (value === null || value === undefined) return 4;
  return { number: 0, boolean: 1, string: 2 }[typeof value] ?? 3;
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
