// A page's colour, readable on light ground and on dark (WCAG 2.1), as serve/accent.py makes it for frames.

// AA's 4.5, and some more for rows under the pointer.
const CONTRAST = 5;
const GROUNDS = { light: [0xfb, 0xfc, 0xfd], dark: [0x17, 0x1e, 0x26] };
const STEPS = 40;

// The value of a CSS colour for `#rrggbb`; "" for anything else.
export function adapted(accent) {
  const found = /^#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})$/i.exec(accent);
  if (!found) return "";
  const colour = found.slice(1).map((part) => parseInt(part, 16));
  return `light-dark(rgb(${readable(colour, GROUNDS.light, 0)}), rgb(${readable(colour, GROUNDS.dark, 255)}))`;
}

// Mixed with black or white as little as it takes.
function readable(colour, ground, towards) {
  for (let step = 0; ; step += 1) {
    const mixed = colour.map((own) => Math.round(own + ((towards - own) * step) / STEPS));
    if (step === STEPS || contrast(mixed, ground) >= CONTRAST) return mixed.join(" ");
  }
}

function contrast(one, other) {
  const [darker, lighter] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (lighter + 0.05) / (darker + 0.05);
}

function luminance(colour) {
  const [red, green, blue] = colour.map((part) => part / 255)
    .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
